// Mutated IR of every stage through the passes: what the verifiers accept must
// neither crash a pass, nor hang it, nor come out of it invalid, and a pass
// that fails must say why.
//
//   [SEED=N] fuzz_ir [--runs=N] [--save=DIR] FILE...
//
// Every FILE (IR of any stage), and what the stages make of it, is changed in
// one to three places as text: a token dropped or replaced by another of its
// kind, a line dropped, repeated or moved. Each mutant is tried in a child
// process; one that shows a fault is left in DIR. Must not know what an op
// means.
#include "dialects/gemma/Gemma.h"
#include "dialects/kernel/Kernel.h"
#include "passes/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <random>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;

namespace {

constexpr unsigned secondsPerMutant = 10;

// How a child ends. Signals and anything else are faults, too.
enum class Outcome { Invalid, Refused, Accepted, InvalidResult, Silent };

struct Stage {
  StringRef name;
  void (*build)(OpPassManager &, const gemmac::PipelineOptions &);
};
constexpr Stage stages[] = {{"gemma-optimize", gemmac::buildOptimizePipeline},
                            {"gemma-select", gemmac::buildSelectPipeline},
                            {"kernel-plan", gemmac::buildPlanPipeline},
                            {"kernel-native", gemmac::buildNativePipeline}};

//===-- mutants -----------------------------------------------------------===//

enum class Kind { Symbol, Value, Number, String, Shape, Word, Other };

struct Token {
  Kind kind;
  std::string text;
};

using Line = std::vector<Token>;

// The tokens of one line; together they are its text, blanks included.
Line split(StringRef line) {
  Line tokens;
  auto isWord = [](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; };
  while (!line.empty()) {
    char c = line.front();
    Kind kind = Kind::Other;
    size_t size = 1;
    if (c == '@' || c == '%') {
      kind = c == '@' ? Kind::Symbol : Kind::Value;
      size += line.drop_front().take_while(isWord).size();
      // %3:2 and %3#1: MLIR's parser makes as many values as it is told to.
      StringRef rest = line.drop_front(size);
      if (kind == Kind::Value &&
          (rest.consume_front(":") || rest.consume_front("#")))
        if (size_t digits = rest.take_while(llvm::isDigit).size())
          size += 1 + digits;
    } else if (c == '"') {
      kind = Kind::String;
      size = std::min(line.find('"', 1), line.size() - 1) + 1;
    } else if (llvm::isDigit(c) || c == '-' || c == '?') {
      // 12, -1.0e-6, or the sizes of a tensor: ?x64xf32, 32x64xf32
      StringRef word = line.drop_front().take_while([&](char d) {
        return isWord(d) || d == '?' || d == '-' || d == '+';
      });
      size += word.size();
      kind = word.contains('x') ? Kind::Shape : Kind::Number;
    } else if (llvm::isAlpha(c)) {
      kind = Kind::Word;
      size = line.take_while(isWord).size();
    }
    tokens.push_back({kind, line.take_front(size).str()});
    line = line.drop_front(size);
  }
  return tokens;
}

class Mutator {
public:
  explicit Mutator(StringRef text) {
    SmallVector<StringRef> rows;
    text.split(rows, '\n');
    for (StringRef row : rows)
      original.push_back(split(row));
    for (const Line &line : original)
      for (const Token &token : line)
        if (token.kind != Kind::Other)
          pools[size_t(token.kind)].push_back(token.text);
  }

  std::string mutant(std::mt19937_64 &random) {
    lines = original;
    static constexpr unsigned changes[] = {1, 1, 1, 1, 2, 2, 3};
    for (unsigned left = changes[random() % std::size(changes)]; left; --left)
      change(random);
    std::string text;
    for (const Line &line : lines) {
      for (const Token &token : line)
        text += token.text;
      text += '\n';
    }
    return text;
  }

private:
  void change(std::mt19937_64 &random) {
    size_t at = random() % lines.size();
    switch (random() % 12) {
    case 0:
      lines.erase(lines.begin() + at);
      if (lines.empty())
        lines.emplace_back();
      return;
    case 1:
      lines.insert(lines.begin() + random() % lines.size(), Line(lines[at]));
      return;
    case 2:
      std::swap(lines[at], lines[random() % lines.size()]);
      return;
    case 3:
      return dropEntry(lines[at], random);
    case 4:
      return swapValues(lines[at], random);
    default:
      return replace(lines[at], random);
    }
  }

  // An entry of a list or dictionary: what stands between two commas or
  // brackets.
  static void dropEntry(Line &line, std::mt19937_64 &random) {
    auto ends = [](const Token &t) {
      return t.text == "," || t.text == "{" || t.text == "}" || t.text == "[" ||
             t.text == "]" || t.text == "(" || t.text == ")";
    };
    if (line.empty())
      return;
    size_t from = random() % line.size();
    while (from > 0 && !ends(line[from - 1]))
      --from;
    size_t to = from;
    while (to < line.size() && !ends(line[to]))
      ++to;
    if (to < line.size() && line[to].text == ",")
      ++to;
    line.erase(line.begin() + from, line.begin() + to);
  }

  static void swapValues(Line &line, std::mt19937_64 &random) {
    SmallVector<Token *> values;
    for (Token &token : line)
      if (token.kind == Kind::Value)
        values.push_back(&token);
    if (values.size() >= 2)
      std::swap(values[random() % values.size()]->text,
                values[random() % values.size()]->text);
  }

  void replace(Line &line, std::mt19937_64 &random) {
    SmallVector<Token *> tokens;
    for (Token &token : line)
      if (token.kind != Kind::Other)
        tokens.push_back(&token);
    if (tokens.empty())
      return;
    Token &token = *tokens[random() % tokens.size()];
    const std::vector<std::string> &others = pools[size_t(token.kind)];
    static constexpr const char *numbers[] = {"0",
                                              "1",
                                              "-1",
                                              "2",
                                              "3",
                                              "31",
                                              "4096",
                                              "2147483647",
                                              "4294967296",
                                              "9223372036854775807",
                                              "-9223372036854775808",
                                              "1125899906842624"};
    if (token.kind == Kind::Number && random() % 2)
      token.text = numbers[random() % std::size(numbers)];
    else
      token.text = others[random() % others.size()];
  }

  std::vector<Line> original, lines;
  std::vector<std::string> pools[size_t(Kind::Other)];
};

//===-- one mutant --------------------------------------------------------===//

// Ends the process where a pass that says it succeeded leaves invalid IR.
struct VerifyResults : PassInstrumentation {
  void runAfterPass(Pass *pass, Operation *op) override {
    if (succeeded(mlir::verify(op)))
      return;
    llvm::errs() << "fuzz_ir: " << pass->getName() << " made invalid IR\n";
    _exit(int(Outcome::InvalidResult));
  }
};

bool run(ModuleOp module, const Stage &stage, unsigned &errors) {
  PassManager pm(module.getContext());
  pm.enableVerifier(
      false); // VerifyResults tells a pass's errors from invalid IR
  pm.addInstrumentation(std::make_unique<VerifyResults>());
  stage.build(pm, gemmac::PipelineOptions());
  errors = 0;
  bool ok = succeeded(pm.run(module));
  if (!ok && errors == 0) {
    llvm::errs() << "fuzz_ir: " << stage.name << " fails without a word\n";
    _exit(int(Outcome::Silent));
  }
  return ok;
}

// Every stage alone, and from every stage on as far as it goes.
Outcome tryOut(MLIRContext &context, StringRef text) {
  unsigned errors = 0;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    errors += diagnostic.getSeverity() == DiagnosticSeverity::Error;
    return success();
  });
  auto module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return Outcome::Invalid;
  Outcome outcome = Outcome::Refused;
  for (size_t first = 0; first < std::size(stages); ++first) {
    OwningOpRef<ModuleOp> copy(module->clone());
    for (const Stage &stage : ArrayRef(stages).drop_front(first)) {
      if (!run(*copy, stage, errors))
        break;
      outcome = Outcome::Accepted;
    }
  }
  return outcome;
}

// The text of `path` and of what the stages up to plan make of it.
std::vector<std::string> textsOf(MLIRContext &context, StringRef path) {
  std::vector<std::string> texts;
  auto module = parseSourceFile<ModuleOp>(path, &context);
  if (!module)
    return texts;
  auto keep = [&] {
    llvm::raw_string_ostream(texts.emplace_back()) << *module;
  };
  keep();
  // From the first stage that takes it: what precedes it has been run.
  bool begun = false;
  for (const Stage &stage : ArrayRef(stages).drop_back()) {
    OwningOpRef<ModuleOp> copy(module->clone());
    ScopedDiagnosticHandler quiet(&context,
                                  [](Diagnostic &) { return success(); });
    PassManager pm(&context);
    stage.build(pm, gemmac::PipelineOptions());
    if (failed(pm.run(*copy))) {
      if (begun)
        break;
      continue;
    }
    begun = true;
    module = std::move(copy);
    keep();
  }
  return texts;
}

} // namespace

int main(int argc, char **argv) {
  uint64_t runs = 1000, seed = 1;
  if (const char *text = getenv("SEED"))
    seed = std::stoull(text);
  std::string folder = ".";
  std::vector<StringRef> files;
  for (StringRef argument : ArrayRef(argv, argc).drop_front()) {
    if (argument.consume_front("--save="))
      folder = argument.str();
    else if (argument.consume_front("--runs="))
      runs = std::stoull(argument.str());
    else
      files.push_back(argument);
  }

  DialectRegistry registry;
  registry.insert<gemma::GemmaDialect, kernel::KernelDialect, func::FuncDialect,
                  LLVM::LLVMDialect>();
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  std::vector<Mutator> mutators;
  for (StringRef file : files)
    for (const std::string &text : textsOf(context, file))
      mutators.emplace_back(text);
  if (mutators.empty()) {
    llvm::errs() << "fuzz_ir: no input that parses\n";
    return 2;
  }

  std::mt19937_64 random(seed);
  uint64_t counts[3] = {}, faults = 0;
  for (uint64_t i = 0; i < runs; ++i) {
    std::string text = mutators[i % mutators.size()].mutant(random);
    pid_t child = fork();
    if (child == 0) {
      alarm(secondsPerMutant);
      _exit(int(tryOut(context, text)));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
      llvm::errs() << "fuzz_ir: cannot run a child\n";
      return 2;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) <= int(Outcome::Accepted)) {
      ++counts[WEXITSTATUS(status)];
      continue;
    }
    ++faults;
    std::string path = (folder + "/fault-" + llvm::Twine(seed) + "-" +
                        llvm::Twine(i) + ".mlir")
                           .str();
    std::error_code error;
    llvm::raw_fd_ostream(path, error) << text;
    llvm::errs() << path << ": "
                 << (WIFSIGNALED(status)
                         ? "signal " + std::to_string(WTERMSIG(status))
                         : "exit " + std::to_string(WEXITSTATUS(status)))
                 << '\n';
  }
  llvm::outs() << mutators.size() << " texts, " << runs << " mutants of seed "
               << seed << ": " << counts[0] << " invalid, " << counts[1]
               << " refused, " << counts[2] << " accepted, " << faults
               << " faults\n";
  return faults != 0;
}
