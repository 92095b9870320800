// See schema.h: the nodes for values of each type.
#include "runtime/grammar/formats.h"
#include "runtime/grammar/regex.h"
#include "runtime/grammar/schema_reader.h"

#include <algorithm>

namespace gm::grammar {
namespace {

// Blanks are this many at most.
constexpr uint32_t kSpaces = 40, kTabs = 10;
// Names in tool calls that no schema names.
constexpr std::string_view kBareName = "^[A-Za-z_][A-Za-z0-9_.-]*$";

Expr repeated(char c, uint32_t most) {
  Expr e = {Expr::Repeat};
  e.max = most;
  e.items.push_back({Expr::Set, {{uint32_t(c), uint32_t(c)}}});
  return e;
}

bool fits_bare(const std::string &name) {
  return !name.empty() && name.find_first_of(":{}[],\"'<>\n ") == name.npos;
}

} // namespace

NodeId SchemaReader::blank() {
  if (style.call)
    return g.seq({});
  if (!blank_node) {
    Expr space = {Expr::Set, {{' ', ' '}}};
    Expr lines = {Expr::Alt}, line;
    lines.items = {repeated(' ', kSpaces), repeated('\t', kTabs)};
    line.items = {{Expr::Set, {{'\n', '\n'}}}, lines};
    Expr all = {Expr::Alt};
    all.items = {Expr(), space, line};
    Dfa d;
    if (Status s = make_dfa(all, false, d); !s.ok() && !failed())
      status = s;
    TextRule rule;
    rule.dfa = g.dfa(std::move(d));
    rule.form = TextForm::Raw;
    blank_node = g.text(rule);
  }
  return blank_node;
}

NodeId SchemaReader::listed_text(Dfa d) {
  TextRule rule;
  rule.form = style.call ? TextForm::Quote : TextForm::Json;
  rule.quote = style.quote;
  rule.shortest = true;
  rule.dfa = g.dfa(std::move(d));
  return g.text(rule);
}

bool SchemaReader::pattern_dfa(const Part &part, const std::string &pattern,
                               Dfa &out) {
  auto [at, fresh] = patterns.try_emplace(pattern);
  if (fresh)
    if (Status s = regex_dfa(pattern, at->second); !s.ok()) {
      refuse(s.code, part.pointer, (std::string(": ") + s.text).c_str(),
             "pattern");
      return false;
    }
  out = at->second;
  return true;
}

// What pattern and format say together; `any`: nothing.
bool SchemaReader::text_dfa(const Parts &parts, Dfa &out, bool &any) {
  any = true;
  for (const Part &p : parts) {
    const Value *pattern = p.schema->find("pattern"),
                *format = p.schema->find("format");
    if ((pattern && pattern->kind != Value::String) ||
        (format && format->kind != Value::String)) {
      refuse(BAD_INPUT, p.pointer, "pattern and format expect a string");
      return false;
    }
    std::vector<std::string> all;
    if (pattern)
      all.push_back(pattern->text);
    if (format)
      all.emplace_back(format_pattern(format->text));
    for (const std::string &text : all) {
      if (text.empty())
        continue;
      Dfa d, both;
      if (!pattern_dfa(p, text, d))
        return false;
      if (any) {
        out = std::move(d);
      } else if (Status s = intersect(out, d, both); !s.ok()) {
        refuse(s.code, p.pointer, s.text);
        return false;
      } else {
        out = std::move(both);
      }
      any = false;
    }
  }
  return true;
}

NodeId SchemaReader::string(const Parts &parts) {
  uint32_t min = 0, max = kNoLimit;
  std::string key;
  for (const Part &p : parts) {
    min = std::max(min, count(p, "minLength", 0));
    max = std::min(max, count(p, "maxLength", kNoLimit));
    for (const char *word : {"pattern", "format"})
      if (const Value *v = p.schema->find(word); v && v->kind == Value::String)
        key += word[0] + std::to_string(v->text.size()) + v->text;
  }
  if (min > kMostLength)
    refuse(UNSUPPORTED, parts[0].pointer, "minLength is above 1048574");
  if (max != kNoLimit)
    max = std::min(max, kMostLength);
  if (failed() || min > max)
    return 0;
  TextRule rule;
  rule.form = style.call ? TextForm::Quote : TextForm::Json;
  rule.quote = style.quote;
  rule.min = min, rule.max = max;
  auto at = text_dfas.find(key);
  if (at == text_dfas.end()) {
    Dfa d;
    bool any;
    if (!text_dfa(parts, d, any))
      return 0;
    at = text_dfas.emplace(key, g.dfa(any ? any_text() : std::move(d))).first;
  }
  rule.dfa = at->second;
  // Here, where the place is known, what finish() would refuse.
  if (Status s = rule.prepare(g.dfas[rule.dfa]); !s.ok())
    refuse(s.code, parts[0].pointer, s.text);
  return g.text(rule);
}

NodeId SchemaReader::number(const Parts &parts, bool integer) {
  NumberBounds b;
  Decimal d;
  auto less = [](const Decimal &x, const Decimal &y) {
    auto scaled = [](const Decimal &v, int32_t scale) {
      __int128 n = v.value;
      for (int32_t s = v.scale; s < scale; ++s)
        if (__builtin_mul_overflow(n, __int128(10), &n))
          return v.value < 0 ? -(__int128(1) << 126) : __int128(1) << 126;
      return n;
    };
    const int32_t scale = std::max(x.scale, y.scale);
    return scaled(x, scale) < scaled(y, scale);
  };
  for (const Part &p : parts) {
    for (bool open : {false, true}) {
      if (decimal(p, open ? "exclusiveMinimum" : "minimum", d) &&
          (!b.has_low || less(b.low, d) || (open && !less(d, b.low))))
        b.has_low = true, b.low = d, b.low_open = open;
      if (decimal(p, open ? "exclusiveMaximum" : "maximum", d) &&
          (!b.has_high || less(d, b.high) || (open && !less(b.high, d))))
        b.has_high = true, b.high = d, b.high_open = open;
    }
    if (decimal(p, "multipleOf", d)) {
      if (d.value <= 0)
        refuse(BAD_INPUT, p.pointer + "/multipleOf",
               "expects a number above 0");
      else if (b.step.value && (less(b.step, d) || less(d, b.step)))
        refuse(UNSUPPORTED, p.pointer + "/multipleOf",
               "two different ones are not enforced together");
      b.step = d;
    }
  }
  if (failed())
    return 0;
  NumberRule rule;
  if (Status s = make_number(integer, b, rule); !s.ok())
    refuse(s.code, parts[0].pointer, s.text);
  return failed() ? 0 : g.number(rule);
}

NodeId SchemaReader::array(const Parts &parts) {
  uint32_t min = 0, max = kNoLimit;
  size_t prefix = 0;
  for (const Part &p : parts) {
    min = std::max(min, count(p, "minItems", 0));
    max = std::min(max, count(p, "maxItems", kNoLimit));
    if (const Value *first = p.schema->find("prefixItems")) {
      if (first->kind != Value::List)
        refuse(BAD_INPUT, p.pointer + "/prefixItems", "expects a list");
      prefix = std::max(prefix, first->items.size());
    }
  }
  if (failed() || min > max)
    return 0;
  auto item = [&](size_t index) {
    Parts all;
    for (const Part &p : parts) {
      const Value *first = p.schema->find("prefixItems");
      if (first && index < first->items.size())
        all.push_back({&first->items[index],
                       p.pointer + "/prefixItems/" + std::to_string(index)});
      else if (p.schema->find("items"))
        all.push_back(below(p, "items"));
    }
    return compile(all);
  };
  prefix = std::min<size_t>(prefix, max);
  const NodeId comma = g.literal(",");
  // From the last one: what follows item i - 1.
  const uint32_t left = max == kNoLimit ? kNoLimit : max - uint32_t(prefix);
  const uint32_t least = min > prefix ? min - uint32_t(prefix) : 0;
  const NodeId more = item(prefix);
  NodeId rest = g.repeat(g.seq({comma, blank(), more}), least, left);
  const NodeId end = g.seq({blank(), g.literal("]")});
  if (prefix == 0) {
    // The first has no comma.
    NodeId others =
        g.repeat(g.seq({comma, blank(), more}), least ? least - 1 : 0,
                 left == kNoLimit || !left ? left : left - 1);
    rest = left ? g.seq({more, others}) : 0;
  }
  for (size_t i = prefix; i-- > 0;) {
    NodeId one = item(i);
    one = i ? g.seq({comma, blank(), one, rest}) : g.seq({one, rest});
    rest = i && i >= min ? g.choice({g.seq({}), one}) : one;
  }
  std::vector<NodeId> inside;
  if (max)
    inside.push_back(g.seq({rest, end}));
  if (!min)
    inside.push_back(g.literal("]"));
  return g.seq({g.literal("["), blank(), g.choice(std::move(inside))});
}

// The schemas of a member: of this name, if there is one, or of the class of
// names that match these patterns.
Parts SchemaReader::value_of(const Parts &parts, const std::string *name,
                             const std::vector<bool> &matched,
                             const std::vector<std::string> &patterns) {
  Parts all;
  for (const Part &p : parts) {
    bool known = false;
    if (const Value *members = p.schema->find("properties"); members && name)
      if (const Value *member = members->find(*name)) {
        all.push_back(
            {member, p.pointer + "/properties" + pointer_token(*name)});
        known = true;
      }
    if (const Value *by = p.schema->find("patternProperties"))
      for (const Field &f : by->fields)
        for (size_t i = 0; i < patterns.size(); ++i)
          if (matched[i] && patterns[i] == f.key) {
            all.push_back({&f.value, p.pointer + "/patternProperties" +
                                         pointer_token(f.key)});
            known = true;
          }
    if (!known && p.schema->find("additionalProperties"))
      all.push_back(below(p, "additionalProperties"));
  }
  return all;
}

// Whether names that no schema speaks of may not come: some are spoken of, and
// they are enough.
bool SchemaReader::is_closed(const Parts &parts, const Object &o) {
  bool named = false;
  for (const Part &p : parts) {
    named |= p.schema->find("properties") != nullptr;
    if (p.schema->find("additionalProperties") ||
        p.schema->find("propertyNames"))
      return false;
  }
  return style.closed && named && o.min <= o.names;
}

// The key's automaton and what follows each kind of key.
NodeId SchemaReader::members(const Parts &parts, Object &o,
                             const std::vector<std::string> &names) {
  // Automata: names, patterns, then what every name has to be.
  std::vector<std::string> by;
  std::vector<Dfa> automata(1);
  Status s = names_dfa(names, automata[0]);
  if (!s.ok())
    return refuse(s.code, parts[0].pointer, s.text), 0;
  for (const Part &p : parts)
    if (const Value *list = p.schema->find("patternProperties"))
      for (const Field &f : list->fields)
        if (std::find(by.begin(), by.end(), f.key) == by.end()) {
          by.push_back(f.key);
          if (!pattern_dfa({&f.value, p.pointer + "/patternProperties"}, f.key,
                           automata.emplace_back()))
            return 0;
        }
  Dfa valid = any_text();
  auto restrict_to = [&](Dfa d) {
    Dfa both;
    if (Status bad = intersect(valid, d, both); !bad.ok())
      refuse(bad.code, parts[0].pointer, bad.text);
    valid = std::move(both);
  };
  for (const Part &p : parts)
    if (p.schema->find("propertyNames")) {
      const Part rule = below(p, "propertyNames");
      Flat flat;
      flatten(rule, flat);
      if (!flat.groups.empty())
        refuse(UNSUPPORTED, rule.pointer,
               "alternatives for names are not enforced");
      if (flat.never || !(types_of(rule) & kString))
        restrict_to({});
      Dfa d;
      bool any;
      if (text_dfa(flat.objects, d, any) && !any)
        restrict_to(d);
      for (const Part &q : flat.objects) {
        std::vector<std::string> only;
        if (const Value *e = q.schema->find("enum"))
          for (const Value &v : e->items)
            if (v.kind == Value::String)
              only.push_back(v.text);
        if (const Value *c = q.schema->find("const");
            c && c->kind == Value::String)
          only.push_back(c->text);
        Expr length = {Expr::Repeat};
        length.min = count(q, "minLength", 0);
        length.max = count(q, "maxLength", kNoLimit);
        length.items.push_back({Expr::Set, {{0, kLastCode}}});
        Dfa part;
        if (!only.empty()) {
          s = names_dfa(only, part);
          restrict_to(part);
        }
        if (length.min || length.max != kNoLimit) {
          if (Status bad = make_dfa(length, false, part); !bad.ok())
            refuse(bad.code, q.pointer, bad.text);
          restrict_to(part);
        }
      }
    }
  if (style.call) {
    Dfa bare;
    if (!pattern_dfa(parts[0], std::string(kBareName), bare))
      return 0;
    if (Status bad = combine(
            {&bare, &automata[0]},
            [](const std::vector<int32_t> &tags) {
              return tags[0] >= 0 || tags[1] >= 0 ? 0 : -1;
            },
            bare);
        !bad.ok())
      refuse(bad.code, parts[0].pointer, bad.text);
    restrict_to(bare);
  }
  if (failed())
    return 0;

  auto follow = [&](const Parts &value) {
    return style.call ? compile(value)
                      : g.seq({g.literal(":"), blank(), compile(value)});
  };
  std::vector<bool> matched(by.size());
  for (const std::string &name : names) {
    for (size_t i = 0; i < by.size(); ++i)
      matched[i] = automata[i + 1].run(name) >= 0;
    o.member.push_back(
        valid.run(name) < 0 ? 0 : follow(value_of(parts, &name, matched, by)));
  }
  const bool closed = is_closed(parts, o);
  std::map<std::vector<bool>, int32_t> others;
  std::vector<const Dfa *> all;
  for (const Dfa &d : automata)
    all.push_back(&d);
  all.push_back(&valid);
  Dfa keys;
  s = combine(
      all,
      [&](const std::vector<int32_t> &tags) -> int32_t {
        if (tags.back() < 0)
          return -1;
        if (tags[0] >= 0)
          return o.member[size_t(tags[0])] ? tags[0] : -1;
        for (size_t i = 0; i < by.size(); ++i)
          matched[i] = tags[i + 1] >= 0;
        auto [at, fresh] = others.try_emplace(matched);
        if (fresh) {
          Parts value = value_of(parts, nullptr, matched, by);
          bool never = value.empty() && closed;
          for (const Part &p : value)
            never |= p.schema->kind == Value::Bool && !p.schema->truth;
          at->second = never ? -1 : int32_t(o.member.size());
          if (!never)
            o.member.push_back(follow(value));
        }
        return at->second;
      },
      keys);
  if (!s.ok())
    refuse(s.code, parts[0].pointer, s.text);
  TextRule rule;
  rule.form = style.call ? TextForm::Bare : TextForm::Json;
  rule.shortest = true;
  rule.dfa = g.dfa(std::move(keys));
  return g.text(rule);
}

NodeId SchemaReader::object(const Parts &parts) {
  Object o;
  std::vector<std::string> names, required;
  auto add = [](std::vector<std::string> &list, const std::string &name) {
    if (std::find(list.begin(), list.end(), name) == list.end())
      list.push_back(name);
  };
  for (const Part &p : parts) {
    for (const char *word : {"properties", "patternProperties"})
      if (const Value *m = p.schema->find(word); m && m->kind != Value::Map)
        refuse(BAD_INPUT, p.pointer + pointer_token(word), "expects an object");
    if (failed())
      return 0;
    if (const Value *m = p.schema->find("properties"))
      for (const Field &f : m->fields)
        add(names, f.key);
    if (const Value *list = p.schema->find("required"))
      for (const Value &name : list->items)
        if (name.kind == Value::String)
          add(required, name.text);
    o.min = std::max(o.min, count(p, "minProperties", 0));
    o.max = std::min(o.max, count(p, "maxProperties", kNoLimit));
  }
  for (const std::string &name : required)
    add(names, name);
  if (names.size() > 1024)
    refuse(UNSUPPORTED, parts[0].pointer, "has more than 1024 names");
  if (style.call)
    for (const std::string &name : names)
      if (!fits_bare(name))
        refuse(UNSUPPORTED, parts[0].pointer,
               " cannot be written as a bare key of a tool call", name);
  if (failed())
    return 0;
  o.ordered = style.order == Order::Declared || names.size() > 64;
  o.names = uint32_t(names.size());
  o.required.resize((names.size() + 63) / 64);
  for (size_t i = 0; i < names.size(); ++i)
    if (std::find(required.begin(), required.end(), names[i]) != required.end())
      o.required[i / 64] |= uint64_t(1) << (i % 64);
  o.key = members(parts, o, names);
  if (failed())
    return 0;
  // Names that the schema does not know may come twice.
  if (o.member.size() > o.names && o.min > 1 && o.min > required.size())
    refuse(UNSUPPORTED, parts[0].pointer,
           "minProperties above the number of required ones is enforced only "
           "where additionalProperties is false");
  o.close_first = g.literal("}");
  o.close_next = g.seq({blank(), o.close_first});
  o.comma = g.seq({g.literal(","), blank()});
  return g.seq({g.literal("{"), blank(), g.object(std::move(o))});
}

} // namespace gm::grammar
