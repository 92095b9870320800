// See tool_schema.h.
#include "runtime/app/tool_schema.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gm {
namespace {

// What may be copied all told, so that references cannot multiply it.
constexpr size_t kMostCopies = 500000;
constexpr size_t kMostNested = 64;

// Keywords of schemas that are resolved, or say nothing that can be shown.
constexpr std::string_view kDropped[] = {"$ref",
                                         "$defs",
                                         "definitions",
                                         "$schema",
                                         "$id",
                                         "$comment",
                                         "anyOf",
                                         "oneOf",
                                         "allOf",
                                         "not",
                                         "if",
                                         "then",
                                         "else",
                                         "const",
                                         "title",
                                         "additionalProperties",
                                         "patternProperties",
                                         "propertyNames",
                                         "dependentRequired",
                                         "dependentSchemas",
                                         "unevaluatedProperties",
                                         "unevaluatedItems",
                                         "prefixItems",
                                         "contains",
                                         "examples"};

Value text_value(std::string_view text) {
  Value v;
  v.kind = Value::String;
  v.text = text;
  return v;
}

Value map_value() {
  Value v;
  v.kind = Value::Map;
  return v;
}

bool is(const Value *v, Value::Kind kind) { return v && v->kind == kind; }

Value *find(Value &map, std::string_view key) {
  for (Field &field : map.fields)
    if (field.key == key)
      return &field.value;
  return nullptr;
}

void set(Value &map, std::string_view key, Value value) {
  if (Value *found = find(map, key))
    *found = std::move(value);
  else
    map.fields.push_back({std::string(key), std::move(value)});
}

void erase(Value &map, std::string_view key) {
  std::erase_if(map.fields, [&](const Field &f) { return f.key == key; });
}

using Names = std::set<std::string>;

Names names_of(const Value *list) {
  Names names;
  if (is(list, Value::List))
    for (const Value &each : list->items)
      if (each.kind == Value::String)
        names.insert(each.text);
  return names;
}

size_t size_of(const Value &value) {
  size_t size = 1;
  for (const Value &item : value.items)
    size += size_of(item);
  for (const Field &field : value.fields)
    size += size_of(field.value);
  return size;
}

// What JSON schema calls the type of a value.
std::string_view type_of(const Value &v) {
  constexpr std::string_view names[] = {
      "null", "boolean", "integer", "number", "string", "array", "object"};
  return names[v.kind];
}

class Normaliser {
public:
  Normaliser(const Value &root, const Value &schema)
      : root(root), open{&schema} {}

  Value run(const Value &schema) {
    if (copies > kMostCopies || depth >= kMostNested)
      return object({});
    ++depth;
    Value out = merged(schema);
    settle_type(out);
    tidy(out);
    --depth;
    return out;
  }

private:
  static Value object(const Value *description) {
    Value out = map_value();
    if (is(description, Value::String))
      set(out, "description", *description);
    set(out, "type", text_value("object"));
    set(out, "properties", map_value());
    return out;
  }

  // `schema` without references, alternatives and conjunctions. Those of their
  // subschemas are normalised when they are reached.
  Value merged(const Value &schema) {
    if (schema.kind != Value::Map)
      return map_value(); // true, false and what is none
    if ((copies += size_of(schema)) > kMostCopies)
      return map_value();
    Value out = map_value();
    for (const Field &field : schema.fields)
      if (std::find(std::begin(kDropped), std::end(kDropped), field.key) ==
          std::end(kDropped))
        out.fields.push_back(field);
    if (const Value *value = schema.find("const")) {
      Value one;
      one.kind = Value::List;
      one.items.push_back(*value);
      set(out, "enum", std::move(one));
    }
    if (const Value *items = schema.find("prefixItems");
        is(items, Value::List) && !items->items.empty() && !find(out, "items"))
      set(out, "items", items->items[0]);
    if (const Value *ref = schema.find("$ref"); is(ref, Value::String))
      add_reference(ref->text, out);
    if (const Value *all = schema.find("allOf"); is(all, Value::List))
      for (const Value &each : all->items)
        join(nested(each), out, true);
    for (const char *key : {"anyOf", "oneOf"})
      if (const Value *any = schema.find(key); is(any, Value::List))
        add_alternatives(*any, out);
    return out;
  }

  Value nested(const Value &schema) {
    if (copies > kMostCopies || depth >= kMostNested)
      return map_value();
    ++depth;
    Value out = merged(schema);
    --depth;
    return out;
  }

  void add_reference(const std::string &name, Value &out) {
    const Value *target = resolve(name);
    if (!target || std::find(open.begin(), open.end(), target) != open.end()) {
      join(object(nullptr), out, true);
      return;
    }
    open.push_back(target);
    // Its subschemas are done here, where it is known to be open.
    join(run(*target), out, true);
    open.pop_back();
  }

  // "#", "#/$defs/Name", "#/definitions/a~1b"
  const Value *resolve(std::string_view name) const {
    if (!name.starts_with('#'))
      return nullptr;
    name.remove_prefix(1);
    const Value *at = &root;
    while (!name.empty()) {
      if (name[0] != '/')
        return nullptr;
      name.remove_prefix(1);
      const size_t end = std::min(name.find('/'), name.size());
      std::string key(name.substr(0, end));
      name.remove_prefix(end);
      for (const auto &[escape, plain] :
           {std::pair("~1", "/"), std::pair("~0", "~")})
        for (size_t i = 0; (i = key.find(escape, i)) != key.npos; ++i)
          key.replace(i, 2, plain);
      if (at->kind != Value::Map || !(at = at->find(key)))
        return nullptr;
    }
    return at;
  }

  // One of them holds: what they share is required, and all that they know is
  // shown. Of different types the first is.
  void add_alternatives(const Value &any, Value &out) {
    Value joined;
    bool first = true, nullable = false;
    for (const Value &each : any.items) {
      Value one = nested(each);
      const Value *type = one.find("type");
      if (is(type, Value::String) && type->text == "null") {
        nullable = true;
        continue;
      }
      settle_type(one);
      if (first)
        joined = std::move(one);
      else
        join(one, joined, false);
      first = false;
    }
    if (!first)
      join(joined, out, true);
    if (nullable)
      set(out, "nullable", truth());
  }

  static Value truth() {
    Value yes;
    yes.kind = Value::Bool;
    yes.truth = true;
    return yes;
  }

  // What `more` says besides: `both` hold, or one of them does. Where they
  // differ, `out` counts.
  static void join(const Value &more, Value &out, bool both) {
    const Value *type = out.find("type"), *other = more.find("type");
    const bool alike = !type || !other || type->kind != other->kind ||
                       type->text == other->text;
    const bool values = !both && is(out.find("enum"), Value::List) &&
                        is(more.find("enum"), Value::List);
    if (!both && !values)
      erase(out, "enum"); // some alternative takes others
    if (!both && is(out.find("required"), Value::List)) {
      const Names required = names_of(more.find("required"));
      std::erase_if(find(out, "required")->items, [&](const Value &v) {
        return v.kind != Value::String || !required.contains(v.text);
      });
    }
    for (const auto &[key, value] : more.fields) {
      Value *mine = find(out, key);
      const bool lists =
          mine && mine->kind == Value::List && value.kind == Value::List;
      if (key == "properties" && is(mine, Value::Map) &&
          value.kind == Value::Map) {
        Names known;
        for (const Field &property : mine->fields)
          known.insert(property.key);
        for (const Field &property : value.fields)
          if (known.insert(property.key).second)
            mine->fields.push_back(property);
      } else if (lists &&
                 ((key == "required" && both) || (key == "enum" && values))) {
        Names known = names_of(mine);
        for (const Value &each : value.items)
          if (each.kind != Value::String || known.insert(each.text).second)
            mine->items.push_back(each);
      } else if (!mine &&
                 (both || (alike && key != "required" && key != "enum"))) {
        out.fields.push_back({key, value});
      }
    }
  }

  // One type, as a text; null beside it is `nullable`.
  static void settle_type(Value &schema) {
    std::string type;
    bool nullable = false;
    auto take = [&](std::string_view name) {
      if (name == "null")
        nullable = true;
      else if (type.empty())
        type = name;
      else if ((type == "integer" && name == "number"))
        type = name; // every number
    };
    if (const Value *given = schema.find("type")) {
      if (given->kind == Value::String)
        type = given->text; // also null alone
      else if (given->kind == Value::List)
        for (const Value &each : given->items)
          if (each.kind == Value::String)
            take(each.text);
    }
    if (Value *values = find(schema, "enum"); is(values, Value::List)) {
      if (type.empty())
        for (const Value &each : values->items)
          take(type_of(each));
      if (type != "null" && std::erase_if(values->items, [](const Value &v) {
            return v.kind == Value::Null;
          }))
        nullable = true;
    }
    if (type.empty())
      type = schema.find("properties") || schema.find("required") ? "object"
             : schema.find("items")                               ? "array"
             : nullable                                           ? "null"
                                                                  : "string";
    set(schema, "type", text_value(type));
    if (nullable && type != "null")
      set(schema, "nullable", truth());
  }

  // Every field of the kind that the protocol writes, subschemas included.
  void tidy(Value &schema) {
    const std::string type = schema.find("type")->text;
    if (const Value *text = schema.find("description");
        text && text->kind != Value::String)
      erase(schema, "description");
    if (const Value *nullable = schema.find("nullable");
        nullable && nullable->kind != Value::Bool)
      erase(schema, "nullable");
    if (const Value *values = schema.find("enum");
        values && (values->kind != Value::List || values->items.empty()))
      erase(schema, "enum");
    if (Value *required = find(schema, "required")) {
      if (required->kind == Value::List)
        std::erase_if(required->items,
                      [](const Value &v) { return v.kind != Value::String; });
      if (required->kind != Value::List || required->items.empty())
        erase(schema, "required");
    }
    if (type == "object" || schema.find("properties")) {
      Value properties = map_value();
      if (const Value *given = schema.find("properties"); is(given, Value::Map))
        for (const auto &[key, value] : given->fields)
          properties.fields.push_back({key, run(value)});
      set(schema, "properties", std::move(properties));
    }
    if (Value *items = find(schema, "items")) {
      if (items->kind == Value::List && !items->items.empty())
        *items = Value(items->items[0]); // of a tuple
      if (items->kind == Value::Map)
        *items = run(Value(*items));
      else
        erase(schema, "items");
    }
  }

  const Value &root;
  std::vector<const Value *> open; // references that lead here
  size_t copies = 0, depth = 0;
};

} // namespace

Value normal_schema(const Value &schema, const Value &root) {
  return Normaliser(root, schema).run(schema);
}

Value normal_tool(const Value &tool) {
  const Value *given = tool.find("function");
  if (!is(given, Value::Map))
    given = &tool;
  Value function = map_value();
  for (const char *key : {"name", "description"}) {
    const Value *text = given->find(key);
    set(function, key, is(text, Value::String) ? *text : text_value(""));
  }
  const Value *parameters = given->find("parameters");
  if (!is(parameters, Value::Map))
    parameters = given->find("input_schema");
  if (is(parameters, Value::Map) && !parameters->fields.empty())
    set(function, "parameters", normal_schema(*parameters, *parameters));
  if (const Value *response = given->find("response");
      is(response, Value::Map) && !response->fields.empty()) {
    Value answer = normal_schema(*response, *response);
    // Only an object can be written whole.
    if (answer.find("type")->text == "object")
      set(function, "response", std::move(answer));
  }
  Value out = map_value();
  set(out, "type", text_value("function"));
  set(out, "function", std::move(function));
  return out;
}

} // namespace gm
