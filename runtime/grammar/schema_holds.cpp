// See schema.h: listed values, and which of them a schema allows.
#include "runtime/app/unicode.h"
#include "runtime/grammar/formats.h"
#include "runtime/grammar/regex.h"
#include "runtime/grammar/schema_reader.h"

#include <charconv>
#include <cmath>

namespace gm::grammar {
namespace {

double number_of(const Value &v) {
  double n = v.number;
  if (v.kind == Value::Integer)
    std::from_chars(v.text.data(), v.text.data() + v.text.size(), n);
  return n;
}

bool is_number(const Value &v) {
  return v.kind == Value::Integer || v.kind == Value::Float;
}

size_t code_points(const std::string &text) {
  size_t n = 0;
  for (char c : text)
    n += (uint8_t(c) & 0xC0) != 0x80;
  return n;
}

std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (uint8_t(c) < 0x20) {
      static const char digits[] = "0123456789abcdef";
      out += "\\u00";
      out += digits[uint8_t(c) >> 4];
      out += digits[c & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

} // namespace

bool same_value(const Value &a, const Value &b) {
  if (is_number(a) && is_number(b))
    return a.kind == Value::Integer && b.kind == Value::Integer
               ? a.text == b.text
               : number_of(a) == number_of(b);
  if (a.kind != b.kind || a.truth != b.truth || a.text != b.text ||
      a.items.size() != b.items.size() || a.fields.size() != b.fields.size())
    return false;
  for (size_t i = 0; i < a.items.size(); ++i)
    if (!same_value(a.items[i], b.items[i]))
      return false;
  for (const Field &f : a.fields)
    if (const Value *other = b.find(f.key);
        !other || !same_value(f.value, *other))
      return false;
  return true;
}

std::string value_text(const Value &v) {
  switch (v.kind) {
  case Value::Null:
    return "null";
  case Value::Bool:
    return v.truth ? "true" : "false";
  case Value::Integer:
    return v.text;
  case Value::Float: {
    char text[40];
    auto end = std::to_chars(text, text + sizeof text, v.number);
    return std::string(text, end.ptr);
  }
  case Value::String:
    return quoted(v.text);
  case Value::List:
  case Value::Map:
    break;
  }
  const bool map = v.kind == Value::Map;
  std::string out(1, map ? '{' : '[');
  for (const Value &item : v.items)
    out += (out.size() > 1 ? "," : "") + value_text(item);
  for (const Field &f : v.fields)
    out +=
        (out.size() > 1 ? "," : "") + quoted(f.key) + ":" + value_text(f.value);
  return out + (map ? '}' : ']');
}

bool SchemaReader::holds_object(const Value &v, const Part &part, int depth) {
  const Value &s = *part.schema;
  if (v.fields.size() < count(part, "minProperties", 0) ||
      v.fields.size() > count(part, "maxProperties", kNoLimit))
    return false;
  if (const Value *list = s.find("required"))
    for (const Value &name : list->items)
      if (!v.find(name.text))
        return false;
  for (const Field &f : v.fields) {
    bool known = false;
    const Value *members = s.find("properties"),
                *by = s.find("patternProperties");
    if (const Value *m = members ? members->find(f.key) : nullptr) {
      known = true;
      if (!holds(f.value, {m, part.pointer}, depth))
        return false;
    }
    for (size_t i = 0; by && i < by->fields.size(); ++i) {
      Dfa d;
      if (!pattern_dfa(part, by->fields[i].key, d))
        return false;
      if (d.run(f.key) < 0)
        continue;
      known = true;
      if (!holds(f.value, {&by->fields[i].value, part.pointer}, depth))
        return false;
    }
    if (const Value *more = s.find("additionalProperties"); more && !known)
      if (!holds(f.value, {more, part.pointer}, depth))
        return false;
    if (const Value *names = s.find("propertyNames")) {
      Value key;
      key.kind = Value::String;
      key.text = f.key;
      if (!holds(key, {names, part.pointer}, depth))
        return false;
    }
  }
  return true;
}

// Whether a listed value is what the rest of a schema allows.
bool SchemaReader::holds(const Value &v, const Part &part, int depth) {
  if (depth > kMostDepth) {
    refuse(UNSUPPORTED, part.pointer, "the schema is too deep");
    return false;
  }
  Flat flat;
  flatten(part, flat);
  if (flat.never || failed())
    return false;
  for (const auto &group : flat.groups) {
    bool any = false;
    for (const Part &p : group)
      any |= holds(v, p, depth + 1);
    if (!any)
      return false;
  }
  for (const Part &p : flat.objects) {
    const Value &s = *p.schema;
    Value only;
    only.kind = Value::Map;
    if (const Value *type = s.find("type")) {
      only.fields.push_back({"type", *type});
      if (!(types_of({&only, p.pointer}) & type_of(v)))
        return false;
    }
    if (const Value *c = s.find("const"); c && !same_value(*c, v))
      return false;
    if (const Value *e = s.find("enum")) {
      bool any = false;
      for (const Value &x : e->items)
        any |= same_value(x, v);
      if (!any)
        return false;
    }
    if (is_number(v)) {
      const double n = number_of(v);
      Decimal d;
      auto limit = [&](const char *word) {
        const Value *x = s.find(word);
        return x ? number_of(*x) : NAN;
      };
      if (n < limit("minimum") || n > limit("maximum") ||
          n <= limit("exclusiveMinimum") || n >= limit("exclusiveMaximum"))
        return false;
      if (decimal(p, "multipleOf", d)) {
        NumberBounds b;
        NumberRule rule;
        b.has_low = b.has_high = true;
        b.step = d;
        if (!to_decimal(n, b.low) || !(b.high = b.low, true) ||
            !make_number(false, b, rule).ok() || !number_has_any(rule))
          return false;
      }
    }
    if (v.kind == Value::String) {
      const size_t n = code_points(v.text);
      if (n < count(p, "minLength", 0) || n > count(p, "maxLength", kNoLimit))
        return false;
      Dfa d;
      bool any;
      if (!text_dfa({p}, d, any) || (!any && d.run(v.text) < 0))
        return false;
    }
    if (v.kind == Value::List) {
      if (v.items.size() < count(p, "minItems", 0) ||
          v.items.size() > count(p, "maxItems", kNoLimit))
        return false;
      const Value *first = s.find("prefixItems"), *items = s.find("items");
      for (size_t i = 0; i < v.items.size(); ++i) {
        const Value *x =
            first && i < first->items.size() ? &first->items[i] : items;
        if (x && !holds(v.items[i], {x, p.pointer}, depth + 1))
          return false;
      }
    }
    if (v.kind == Value::Map && !holds_object(v, p, depth + 1))
      return false;
  }
  return true;
}

// A listed value: members in their order, numbers as they are spelled there.
NodeId SchemaReader::constant(const Value &v) {
  if (style.call && v.kind == Value::String)
    return g.seq(
        {g.token(style.quote), g.literal(v.text), g.token(style.quote)});
  const bool map = v.kind == Value::Map;
  if (!map && v.kind != Value::List)
    return g.literal(value_text(v));
  const size_t count = map ? v.fields.size() : v.items.size();
  std::vector<NodeId> all = {g.literal(map ? "{" : "["), blank()};
  for (size_t i = 0; i < count; ++i) {
    if (i)
      all.insert(all.end(), {g.literal(","), blank()});
    if (map && style.call)
      all.push_back(g.literal(v.fields[i].key + ":"));
    else if (map)
      all.insert(all.end(),
                 {g.literal(quoted(v.fields[i].key) + ":"), blank()});
    all.push_back(constant(map ? v.fields[i].value : v.items[i]));
  }
  if (count)
    all.push_back(blank());
  all.push_back(g.literal(map ? "}" : "]"));
  return g.seq(std::move(all));
}

NodeId SchemaReader::enumerated(const Parts &parts,
                                const std::vector<const Value *> &all) {
  std::vector<NodeId> nodes;
  std::vector<std::string> texts;
  // The groups have been chosen already, and one list is `all`: what is left of
  // each object's own keywords.
  std::deque<Value> rest;
  Parts left;
  for (const Part &p : parts) {
    Value own;
    own.kind = Value::Map;
    const Value *list = p.schema->find("const");
    if (!list)
      list = p.schema->find("enum");
    const bool source =
        list && !all.empty() &&
        (list == all[0] || (!list->items.empty() && &list->items[0] == all[0]));
    for (const Field &f : p.schema->fields)
      if (f.key != "anyOf" && f.key != "oneOf" && f.key != "allOf" &&
          f.key != "$ref" && f.key != "$id" && f.key != "$defs" &&
          f.key != "definitions" && !(source && &f.value == list))
        own.fields.push_back(f);
    rest.push_back(std::move(own));
    left.push_back({&rest.back(), p.pointer});
  }
  for (const Value *v : all) {
    bool good = true;
    for (const Part &p : left)
      good = good && holds(*v, p, 0);
    if (failed())
      return 0;
    if (!good)
      continue;
    if (v->kind == Value::String)
      texts.push_back(v->text);
    else
      nodes.push_back(constant(*v));
  }
  if (nodes.size() > Grammar::kMostListed)
    refuse(UNSUPPORTED, parts[0].pointer,
           "lists more than 256 values that are no strings");
  if (!texts.empty()) {
    // One automaton, so that many texts cost no more than one.
    Dfa d;
    if (Status s = names_dfa(texts, d); !s.ok())
      refuse(s.code, parts[0].pointer, s.text);
    nodes.push_back(listed_text(std::move(d)));
  }
  return g.choice(std::move(nodes));
}

} // namespace gm::grammar
