// See schema.h: which keywords hold at a place.
#include "runtime/grammar/schema_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gm::grammar {
namespace {

// Keywords that constrain and are not enforced.
constexpr std::string_view refused[] = {
    "dependentRequired", "dependentSchemas",      "dependencies",
    "contains",          "unevaluatedProperties", "unevaluatedItems",
    "additionalItems",   "$dynamicRef",           "$recursiveRef"};

const std::pair<std::string_view, unsigned> type_names[] = {
    {"null", kNull},       {"boolean", kBool},
    {"integer", kInteger}, {"number", kInteger | kFraction},
    {"string", kString},   {"array", kArray},
    {"object", kObject}};

bool is_true(const Value &v) { return v.kind == Value::Bool && v.truth; }

} // namespace

unsigned type_of(const Value &v) {
  switch (v.kind) {
  case Value::Null:
    return kNull;
  case Value::Bool:
    return kBool;
  case Value::Integer:
    return kInteger;
  case Value::Float:
    return v.number == std::trunc(v.number) ? kInteger : kFraction;
  case Value::String:
    return kString;
  case Value::List:
    return kArray;
  case Value::Map:
    return kObject;
  }
  return 0;
}

void SchemaReader::refuse(Code code, const std::string &pointer,
                          const char *what, const std::string &word) {
  if (!failed())
    status = failure(code, "the schema at '%.200s': %.60s%s", pointer.c_str(),
                     word.c_str(), what);
}

Part SchemaReader::below(const Part &part, const char *keyword) {
  return {part.schema->find(keyword), part.pointer + pointer_token(keyword)};
}

uint32_t SchemaReader::count(const Part &part, const char *keyword,
                             uint32_t otherwise) {
  const Value *v = part.schema->find(keyword);
  if (!v)
    return otherwise;
  double n = -1;
  if (v->kind == Value::Float)
    n = v->number;
  else if (v->kind == Value::Integer)
    std::from_chars(v->text.data(), v->text.data() + v->text.size(), n);
  if (n < 0 || n != double(uint64_t(std::min(n, 1e18)))) {
    if (n < 1e18)
      refuse(BAD_INPUT, part.pointer + pointer_token(keyword),
             "expects a number that is whole and not negative");
    return kNoLimit;
  }
  return n > 0xFFFFFFF ? 0xFFFFFFF : uint32_t(n);
}

bool SchemaReader::decimal(const Part &part, const char *keyword,
                           Decimal &out) {
  const Value *v = part.schema->find(keyword);
  if (!v)
    return false;
  out = {};
  if (v->kind == Value::Integer && v->text.size() <= 30) {
    for (char c : v->text)
      if (c != '-')
        out.value = out.value * 10 + (c - '0');
    if (v->text[0] == '-')
      out.value = -out.value;
    return true;
  }
  if (v->kind == Value::Integer || v->kind == Value::Float) {
    double n = v->number;
    if (v->kind == Value::Integer)
      std::from_chars(v->text.data(), v->text.data() + v->text.size(), n);
    if (to_decimal(n, out))
      return true;
    // Far beyond what is written; as near to 0 as nothing.
    if (n > 1e18 || n < -1e18) {
      out = {n > 0 ? __int128(1) << 100 : -(__int128(1) << 100), 0};
      return true;
    }
    refuse(UNSUPPORTED, part.pointer + pointer_token(keyword),
           "has more digits than are enforced");
    return false;
  }
  refuse(BAD_INPUT, part.pointer + pointer_token(keyword), "expects a number");
  return false;
}

void SchemaReader::check_keywords(const Part &part) {
  const Value &s = *part.schema;
  for (const Field &f : s.fields) {
    bool no = std::find(std::begin(refused), std::end(refused), f.key) !=
              std::end(refused);
    no |= f.key == "uniqueItems" && is_true(f.value) &&
          count(part, "maxItems", kNoLimit) > 1;
    no |= f.key == "if" && (s.find("then") || s.find("else"));
    no |= f.key == "$id" && part.schema != &root;
    // What is not false is everything.
    no |= f.key == "not" && !(f.value.kind == Value::Bool && !f.value.truth);
    if (no)
      refuse(UNSUPPORTED, part.pointer + pointer_token(f.key),
             " is not enforced", f.key);
  }
  if (const Value *items = s.find("items"); items && items->kind == Value::List)
    refuse(UNSUPPORTED, part.pointer + "/items",
           "a list of items is prefixItems since draft 2020-12");
}

const Value *SchemaReader::resolve(const Part &part, const std::string &ref) {
  const std::string here = part.pointer + "/$ref";
  if (ref.empty() || ref[0] != '#' || (ref.size() > 1 && ref[1] != '/')) {
    refuse(UNSUPPORTED, here,
           " is not followed: only references into the schema itself, "
           "'#/...', are",
           ref);
    return nullptr;
  }
  const Value *at = &root;
  for (size_t i = 1; i < ref.size();) {
    std::string token;
    for (++i; i < ref.size() && ref[i] != '/'; ++i) {
      unsigned byte = 0;
      if (ref[i] == '%' && i + 2 < ref.size() &&
          std::from_chars(&ref[i + 1], &ref[i + 1] + 2, byte, 16).ptr ==
              &ref[i + 1] + 2) {
        token += char(byte);
        i += 2;
      } else {
        token += ref[i];
      }
    }
    for (size_t t = 0; (t = token.find('~', t)) != token.npos; ++t)
      if (t + 1 < token.size() && (token[t + 1] == '0' || token[t + 1] == '1'))
        token.replace(t, 2, token[t + 1] == '0' ? "~" : "/");
    const Value *next = nullptr;
    if (at->kind == Value::Map) {
      next = at->find(token);
    } else if (at->kind == Value::List) {
      size_t index = 0;
      auto end =
          std::from_chars(token.data(), token.data() + token.size(), index);
      if (end.ptr == token.data() + token.size() && index < at->items.size())
        next = &at->items[index];
    }
    if (!next) {
      refuse(BAD_INPUT, here, " is not in the schema", ref);
      return nullptr;
    }
    at = next;
  }
  return at;
}

void SchemaReader::flatten(const Part &part, Flat &flat) {
  if (failed() || !flat.seen.insert(part.schema).second)
    return;
  const Value &s = *part.schema;
  if (s.kind == Value::Bool) {
    flat.never |= !s.truth;
    return;
  }
  if (s.kind != Value::Map)
    return refuse(BAD_INPUT, part.pointer,
                  "expects a schema, which is an object, true or false");
  check_keywords(part);
  flat.objects.push_back(part);
  if (const Value *ref = s.find("$ref")) {
    if (ref->kind != Value::String)
      return refuse(BAD_INPUT, part.pointer + "/$ref", "expects a string");
    if (const Value *to = resolve(part, ref->text))
      flatten({to, ref->text}, flat);
  }
  if (const Value *all = s.find("allOf")) {
    if (all->kind != Value::List)
      return refuse(BAD_INPUT, part.pointer + "/allOf", "expects a list");
    for (size_t i = 0; i < all->items.size(); ++i)
      flatten({&all->items[i], part.pointer + "/allOf/" + std::to_string(i)},
              flat);
  }
  add_group(part, "anyOf", flat);
  add_group(part, "oneOf", flat);
}

void SchemaReader::add_group(const Part &part, const char *keyword,
                             Flat &flat) {
  const Part list = below(part, keyword);
  if (!list.schema || failed())
    return;
  if (list.schema->kind != Value::List || list.schema->items.empty())
    return refuse(BAD_INPUT, list.pointer, "expects a list that is not empty");
  std::vector<Part> alternatives;
  for (size_t i = 0; i < list.schema->items.size(); ++i)
    alternatives.push_back(
        {&list.schema->items[i], list.pointer + "/" + std::to_string(i)});
  if (keyword[0] == 'o')
    separate(list, alternatives);
  flat.groups.push_back(std::move(alternatives));
}

// Types that a schema may have, as far as its own keywords and references say.
unsigned SchemaReader::types_of(const Part &part) {
  Flat flat;
  flatten(part, flat);
  if (flat.never)
    return 0;
  unsigned all = kAllTypes;
  for (const Part &p : flat.objects) {
    if (const Value *type = p.schema->find("type")) {
      unsigned some = 0;
      auto add = [&](const Value &name) {
        for (auto &[word, bits] : type_names)
          if (name.kind == Value::String && name.text == word) {
            some |= bits;
            return;
          }
        refuse(BAD_INPUT, p.pointer + "/type",
               "expects null, boolean, integer, number, string, array or "
               "object");
      };
      if (type->kind == Value::List)
        for (const Value &name : type->items)
          add(name);
      else
        add(*type);
      all &= some;
    }
    unsigned listed = 0;
    if (const Value *c = p.schema->find("const"))
      all &= type_of(*c);
    if (const Value *e = p.schema->find("enum"); e && e->kind == Value::List) {
      for (const Value &v : e->items)
        listed |= type_of(v);
      all &= listed;
    }
  }
  return all;
}

// The constant that every object of `part` has as its member `name`; null: none
// that is sure.
const Value *SchemaReader::constant_of(const Part &part,
                                       const std::string &name) {
  Flat flat;
  flatten(part, flat);
  for (const Part &p : flat.objects)
    if (const Value *members = p.schema->find("properties"))
      if (const Value *member = members->find(name)) {
        Flat inner;
        flatten({member, p.pointer}, inner);
        for (const Part &q : inner.objects) {
          if (const Value *c = q.schema->find("const"))
            return c;
          if (const Value *e = q.schema->find("enum");
              e && e->kind == Value::List && e->items.size() == 1)
            return &e->items[0];
        }
      }
  return nullptr;
}

// Whether the objects differ in the constant of one member.
bool SchemaReader::tells_apart(const std::vector<Part> &alternatives,
                               std::string &name) {
  Flat first;
  flatten(alternatives[0], first);
  for (const Part &p : first.objects) {
    const Value *members = p.schema->find("properties");
    if (!members)
      continue;
    for (const Field &f : members->fields) {
      std::vector<const Value *> constants;
      for (const Part &a : alternatives) {
        const Value *c = constant_of(a, f.key);
        if (!c ||
            std::any_of(constants.begin(), constants.end(),
                        [&](const Value *o) { return same_value(*c, *o); }))
          break;
        constants.push_back(c);
      }
      if (constants.size() == alternatives.size())
        return name = f.key, true;
    }
  }
  return false;
}

// oneOf: alternatives that exclude each other are as good as anyOf. Objects
// that differ in a constant do where they have it, so that is demanded.
void SchemaReader::separate(const Part &part, std::vector<Part> &alternatives) {
  unsigned seen = 0, twice = 0;
  std::vector<unsigned> types;
  for (const Part &a : alternatives) {
    types.push_back(types_of(a));
    twice |= seen & types.back();
    seen |= types.back();
  }
  if (!twice || failed())
    return;
  // Constants of any type.
  std::vector<const Value *> constants;
  bool all = true;
  for (const Part &a : alternatives) {
    Flat flat;
    flatten(a, flat);
    bool found = false;
    for (const Part &p : flat.objects)
      if (const Value *c = p.schema->find("const")) {
        all &= std::none_of(constants.begin(), constants.end(),
                            [&](const Value *o) { return same_value(*c, *o); });
        constants.push_back(c);
        found = true;
        break;
      }
    all &= found;
  }
  if (all)
    return;
  std::vector<Part> objects;
  for (size_t i = 0; i < alternatives.size(); ++i)
    if (types[i] & kObject)
      objects.push_back(alternatives[i]);
  std::string name;
  if (twice != kObject || !tells_apart(objects, name))
    return refuse(UNSUPPORTED, part.pointer,
                  "alternatives of oneOf that may hold together are not "
                  "enforced: they need different types, or objects a member "
                  "with a different constant in each; anyOf is");
  for (size_t i = 0; i < alternatives.size(); ++i) {
    if (!(types[i] & kObject))
      continue;
    Value word, list, tagged;
    word.kind = Value::String;
    word.text = name;
    list.kind = Value::List;
    list.items = {word};
    tagged.kind = Value::Map;
    // {"required": [name]} beside the alternative, which is another object.
    tagged.fields.push_back({"required", list});
    made.push_back(tagged);
    extra[alternatives[i].schema].push_back(&made.back());
  }
}

void SchemaReader::choose(const Flat &flat, size_t group, Choices &out) {
  if (failed() || flat.never)
    return;
  if (group == flat.groups.size()) {
    if (++out.count > kMostAlternatives)
      return refuse(UNSUPPORTED,
                    flat.objects.empty() ? "" : flat.objects[0].pointer,
                    "has more than 1000 combinations of alternatives");
    out.nodes.push_back(leaf(flat.objects));
    return;
  }
  if (++out.count > 4 * kMostAlternatives)
    return refuse(UNSUPPORTED,
                  flat.objects.empty() ? "" : flat.objects[0].pointer,
                  "has too many combinations of alternatives");
  for (const Part &alternative : flat.groups[group]) {
    Flat one = flat;
    flatten(alternative, one);
    if (auto more = extra.find(alternative.schema); more != extra.end())
      for (const Value *v : more->second)
        flatten({v, alternative.pointer}, one);
    choose(one, group + 1, out);
  }
}

NodeId SchemaReader::compile(const Parts &parts) {
  std::vector<const Value *> key;
  for (const Part &p : parts)
    key.push_back(p.schema);
  std::sort(key.begin(), key.end());
  key.erase(std::unique(key.begin(), key.end()), key.end());
  auto [at, fresh] = places.try_emplace(key);
  if (!fresh)
    return at->second;
  const NodeId place = at->second = g.place();
  if (status.ok())
    status = g.check();
  if (places.size() > kMostPlaces || depth > kMostDepth)
    refuse(UNSUPPORTED, parts.empty() ? "" : parts[0].pointer,
           "the schema is too large or too deep");
  if (failed())
    return place;
  ++depth;
  Flat flat;
  for (const Part &p : parts)
    flatten(p, flat);
  Choices choices;
  choose(flat, 0, choices);
  g.define(place, g.choice(choices.nodes));
  --depth;
  return place;
}

NodeId SchemaReader::leaf(const Parts &given) {
  static const Value anything = [] {
    Value v;
    v.kind = Value::Map;
    return v;
  }();
  const Parts parts = given.empty() ? Parts{{&anything, ""}} : given;
  unsigned types = kAllTypes;
  std::vector<const Value *> listed;
  bool has_list = false;
  for (const Part &p : parts) {
    unsigned own = kAllTypes;
    if (p.schema->find("type")) {
      Value only;
      only.kind = Value::Map;
      only.fields.push_back({"type", *p.schema->find("type")});
      own = types_of({&only, p.pointer});
    }
    types &= own;
    const Value *e = p.schema->find("enum");
    const Value *c = p.schema->find("const");
    if (e && e->kind != Value::List)
      refuse(BAD_INPUT, p.pointer + "/enum", "expects a list");
    if (has_list || (!e && !c) || failed())
      continue;
    has_list = true;
    if (c)
      listed = {c};
    else
      for (const Value &v : e->items)
        listed.push_back(&v);
  }
  if (failed())
    return 0;
  if (has_list)
    return enumerated(parts, listed);
  std::vector<NodeId> nodes;
  if (types & kNull)
    nodes.push_back(g.literal("null"));
  if (types & kBool)
    nodes.insert(nodes.end(), {g.literal("true"), g.literal("false")});
  if (types & (kInteger | kFraction))
    nodes.push_back(number(parts, !(types & kFraction)));
  if (types & kString)
    nodes.push_back(string(parts));
  if (types & kArray)
    nodes.push_back(array(parts));
  if (types & kObject)
    nodes.push_back(object(parts));
  return g.choice(std::move(nodes));
}

NodeId SchemaReader::run() { return compile({{&root, ""}}); }

Status add_schema(Grammar &grammar, const Value &schema,
                  const SchemaStyle &style, NodeId &node) {
  SchemaReader reader(grammar, schema, style);
  node = reader.run();
  return reader.status;
}

} // namespace gm::grammar
