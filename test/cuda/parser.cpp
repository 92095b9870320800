// PTX text into functions with resolved names. What LLVM emits and what inline
// assembly may hold: nested scopes, debug lines (skipped), call sequences.
#include "runtime/cuda/driver_api.h"
#include "test/cuda/lexer.h"

namespace cuemu {

namespace {

struct Jump {
  int statement;
  std::string to;
};

struct Scope {
  std::map<std::string, int> registers;
  std::map<std::string, Variable *> variables;
  std::map<std::string, int> labels;
  std::vector<Jump> jumps;
};

class Parser {
public:
  explicit Parser(std::string_view text) : lex(text) {}
  std::unique_ptr<Ptx> run();

private:
  Variable *variable(std::string space, bool external, bool call);
  void initialise(Variable &v);
  void function(bool entry);
  std::vector<Variable *> parameters(bool entry);
  void body();
  void directive(const std::string &word);
  void declareRegisters();
  void statement(std::string word, size_t begin, int line);
  Operand operand();
  Operand address();
  int lookup(const std::string &name);
  void closeScope();

  Lexer lex;
  std::unique_ptr<Ptx> ptx = std::make_unique<Ptx>();
  Function *f = nullptr;
  std::vector<Scope> scopes;
};

std::unique_ptr<Ptx> Parser::run() {
  bool external = false;
  while (!lex.done()) {
    std::string word = lex.word();
    if (word == ".version") {
      ptx->version = lex.word();
    } else if (word == ".target") {
      ptx->target = lex.word();
      while (lex.eat(','))
        lex.word();
    } else if (word == ".address_size") {
      if (lex.word() != "64")
        lex.fail("expects addresses of 64 bits");
    } else if (word == ".extern") {
      external = true;
      continue;
    } else if (word == ".visible" || word == ".weak" || word == ".common") {
      continue;
    } else if (word == ".entry" || word == ".func") {
      function(word == ".entry");
    } else if (word == ".file" || word == ".loc") {
      lex.restOfLine();
    } else if (word == ".pragma") {
      lex.quoted();
      lex.want(';');
    } else if (word == ".section") {
      lex.word();
      lex.want('{');
      while (!lex.eat('}') && !lex.done())
        lex.restOfLine();
    } else if (word == ".global" || word == ".const" || word == ".shared") {
      Variable *v = variable(word, external, false);
      ptx->symbols[v->name] = v;
      lex.want(';');
    } else {
      lex.fail("expects a directive instead of '" + word + "'");
    }
    external = false;
  }
  if (ptx->version.empty() || ptx->target.empty())
    throw Fault(CUDA_ERROR_INVALID_PTX, "expects .version and .target");
  return std::move(ptx);
}

/// After its space: .align N .type name[N]... = {...} ;
Variable *Parser::variable(std::string space, bool external, bool call) {
  Variable &v = ptx->variables.emplace_back();
  v.space = space == ".global"  ? Space::Global
            : space == ".const" ? Space::Const
            : space == ".local" ? Space::Local
            : space == ".param" ? (call ? Space::Local : Space::Param)
                                : Space::Shared;
  std::string word;
  while ((word = lex.word()).starts_with('.')) {
    int bytes = typeBytes(word.substr(1));
    if (word == ".align")
      v.align = u32(lex.number(lex.word()));
    else if (bytes > 0)
      v.elementBytes = u32(bytes);
    else if (word == ".v2" || word == ".v4")
      lex.fail("vector variables are not emulated");
    // .ptr .global and the like: what a parameter points to
  }
  v.name = word;
  v.align = std::max(v.align, v.elementBytes);
  v.bytes = v.elementBytes;
  while (lex.eat('[')) {
    if (lex.eat(']')) {
      v.dynamic = external;
      v.bytes = 0;
    } else {
      v.bytes *= lex.number(lex.word());
      lex.want(']');
    }
  }
  if (external && !v.dynamic)
    lex.fail("variables of other modules are not emulated");
  if (lex.eat('='))
    initialise(v);
  return &v;
}

void Parser::initialise(Variable &v) {
  auto element = [&] {
    bool negative = lex.eat('-');
    std::string word = lex.word();
    u64 value = 0;
    if (!word.empty() && !isdigit(u8(word[0]))) { // an address
      if (word == "generic") {
        lex.want('(');
        word = lex.word();
        lex.want(')');
      }
      if (v.elementBytes != 8)
        lex.fail("expects a 64-bit element for an address");
      v.pointers.push_back({v.initial.size(), word});
      if (lex.eat('+'))
        value = lex.number(lex.word());
    } else {
      value = lex.number(word);
    }
    value = negative ? -value : value;
    for (u32 i = 0; i < v.elementBytes; ++i)
      v.initial.push_back(u8(value >> 8 * i));
  };
  if (!lex.eat('{')) {
    element();
    return;
  }
  for (int depth = 1; depth > 0;) {
    if (lex.eat('{'))
      ++depth;
    else if (lex.eat('}'))
      --depth;
    else if (!lex.eat(','))
      element();
  }
  if (v.bytes == 0)
    v.bytes = v.initial.size();
  if (v.initial.size() > v.bytes)
    lex.fail("more initial values than '" + v.name + "' has");
}

std::vector<Variable *> Parser::parameters(bool entry) {
  std::vector<Variable *> result;
  lex.want('(');
  while (!lex.eat(')')) {
    std::string word = lex.word();
    if (word != ".param")
      lex.fail("expects .param instead of '" + word + "'");
    result.push_back(variable(word, false, !entry));
    scopes.back().variables[result.back()->name] = result.back();
    lex.eat(',');
  }
  return result;
}

void Parser::function(bool entry) {
  scopes.assign(1, {});
  std::vector<Variable *> results, params;
  int line = lex.line();
  if (lex.peek() == '(')
    results = parameters(false);
  std::string name = lex.word();
  if (lex.peek() == '(')
    params = parameters(entry);
  Function &made = ptx->functions[name];
  if (made.defined)
    lex.fail("a second definition of '" + name + "'");
  made.name = name, made.line = line, made.entry = entry;
  made.results = results, made.params = params;
  f = &made;
  while (lex.peek() == '.') {
    std::string word = lex.word();
    u32 values[3] = {1, 1, 1};
    for (int n = 0; n < 3 && isdigit(u8(lex.peek())); ++n, lex.eat(','))
      values[n] = u32(lex.number(lex.word()));
    u32 product = values[0] * values[1] * values[2];
    if (word == ".maxntid" || word == ".reqntid")
      made.maxThreads = product, made.exactThreads = word == ".reqntid";
    else if (word == ".minnctapersm")
      made.minCtas = product;
    else if (word == ".maxnreg")
      made.maxRegisters = product;
    else if (word != ".noreturn")
      lex.fail("'" + word + "' is not emulated");
  }
  if (lex.eat(';'))
    return; // only declared
  made.defined = true;
  body();
}

void Parser::body() {
  lex.want('{');
  scopes.emplace_back();
  while (!lex.eat('}')) {
    if (lex.done())
      lex.fail("expects '}'");
    if (lex.peek() == '{') {
      body();
      continue;
    }
    if (lex.eat(';')) // inline assembly may leave empty statements
      continue;
    size_t begin = lex.position();
    int line = lex.line();
    std::string word = lex.word();
    if (word.starts_with('.'))
      directive(word);
    else if (!word.empty() && lex.eat(':'))
      scopes.back().labels[word] = int(f->code.size());
    else
      statement(word, begin, line);
  }
  closeScope();
}

/// Labels of a scope are known to it and to scopes within it.
void Parser::closeScope() {
  Scope scope = std::move(scopes.back());
  scopes.pop_back();
  for (Jump &jump : scope.jumps) {
    auto it = scope.labels.find(jump.to);
    if (it != scope.labels.end())
      f->code[size_t(jump.statement)].target = it->second;
    else if (scopes.size() > 1)
      scopes.back().jumps.push_back(jump);
    else
      throw Fault(CUDA_ERROR_INVALID_PTX,
                  "line " +
                      std::to_string(f->code[size_t(jump.statement)].line) +
                      ": unknown label '" + jump.to + "'");
  }
}

void Parser::directive(const std::string &word) {
  if (word == ".reg") {
    declareRegisters();
  } else if (word == ".loc" || word == ".file") {
    lex.restOfLine();
  } else if (word == ".pragma") {
    lex.quoted();
    lex.want(';');
  } else if (word == ".local" || word == ".shared" || word == ".param") {
    Variable *v = variable(word, false, true);
    scopes.back().variables[v->name] = v;
    lex.want(';');
  } else {
    lex.fail("'" + word + "' is not emulated");
  }
}

void Parser::declareRegisters() { // .reg .b32 %r<5>; .reg .pred p, q;
  std::string type = lex.word();
  int bytes = type.empty() ? -1 : typeBytes(type.substr(1));
  if (bytes < 0)
    lex.fail("expects a type instead of '" + type + "'");
  auto add = [&](const std::string &name) {
    if (!scopes.back().registers.emplace(name, f->registers.size()).second)
      lex.fail("a second definition of '" + name + "'");
    f->registers.push_back({name, bytes});
  };
  do {
    std::string name = lex.word();
    if (name.empty())
      lex.fail("expects a register");
    if (lex.eat('<')) {
      u64 count = lex.number(lex.word());
      lex.want('>');
      for (u64 i = 0; i < count; ++i)
        add(name + std::to_string(i));
    } else {
      add(name);
    }
  } while (lex.eat(','));
  lex.want(';');
}

int Parser::lookup(const std::string &name) {
  for (size_t i = scopes.size(); i-- > 0;)
    if (auto it = scopes[i].registers.find(name);
        it != scopes[i].registers.end())
      return it->second;
  return -1;
}

Operand Parser::address() {
  Operand o;
  o.kind = Operand::Address;
  o.list.push_back(operand());
  for (;;) {
    bool minus = lex.eat('-');
    if (!minus && !lex.eat('+'))
      break;
    minus ^= lex.eat('-');
    u64 value = lex.number(lex.word());
    o.offset += i64(minus ? -value : value);
  }
  if (lex.peek() == ',')
    lex.fail("tensor coordinates are not emulated");
  lex.want(']');
  return o;
}

Operand Parser::operand() {
  Operand o;
  if (lex.eat('[')) {
    return address();
  }
  if (lex.eat('{')) {
    o.kind = Operand::Vector;
    do
      o.list.push_back(operand());
    while (lex.eat(','));
    lex.want('}');
    return o;
  }
  if (lex.eat('(')) { // arguments or results of a call
    o.kind = Operand::Vector;
    while (!lex.eat(')')) {
      o.list.push_back(operand());
      lex.eat(',');
    }
    return o;
  }
  if (lex.eat('!')) {
    o = operand();
    o.negated = true;
    return o;
  }
  bool minus = lex.eat('-');
  std::string word = lex.word();
  if (word.empty())
    lex.fail("expects an operand");
  if (isdigit(u8(word[0]))) {
    o.kind = Operand::Immediate;
    o.value = lex.number(word);
    o.value = minus ? -o.value : o.value;
    return o;
  }
  if (word == "_")
    return o;
  o.reg = lookup(word);
  if (o.reg >= 0) {
    o.kind = Operand::Reg;
    if (lex.eat('|')) {
      std::string second = lex.word();
      o.second = lookup(second);
      if (o.second < 0 && second != "_")
        lex.fail("unknown register '" + second + "'");
    }
    return o;
  }
  for (size_t i = scopes.size(); i-- > 0 && !o.variable;)
    if (auto it = scopes[i].variables.find(word);
        it != scopes[i].variables.end())
      o.variable = it->second;
  if (auto it = ptx->symbols.find(word);
      !o.variable && it != ptx->symbols.end())
    o.variable = it->second;
  o.kind = o.variable ? Operand::Symbol : Operand::Name;
  o.name = word;
  return o;
}

void Parser::statement(std::string word, size_t begin, int line) {
  Statement s;
  s.line = line;
  if (word.empty() && lex.eat('@')) {
    s.negated = lex.eat('!');
    std::string name = lex.word();
    s.predicate = lookup(name);
    if (s.predicate < 0)
      lex.fail("unknown predicate '" + name + "'");
    word = lex.word();
  }
  if (word.empty())
    lex.fail("expects a statement");
  for (size_t from = 0, to; from <= word.size(); from = to + 1) {
    to = std::min(word.find('.', from), word.size());
    if (from == 0)
      s.opcode = word.substr(0, to);
    else
      s.modifiers.push_back(word.substr(from, to - from));
  }
  if (lex.peek() != ';')
    do
      s.operands.push_back(operand());
    while (lex.eat(','));
  lex.want(';');
  s.text = lex.slice(begin);
  s.text = s.text.substr(0, s.text.find(';') + 1);
  if (s.opcode == "bra") {
    if (s.operands.size() != 1 || s.operands[0].kind != Operand::Name)
      lex.fail("expects a label after bra");
    scopes.back().jumps.push_back({int(f->code.size()), s.operands[0].name});
  }
  f->code.push_back(std::move(s));
}

} // namespace

std::unique_ptr<Ptx> parsePtx(std::string_view text) {
  return Parser(text).run();
}

} // namespace cuemu
