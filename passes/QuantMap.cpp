#include "passes/QuantMap.h"

#include "support/Result.h"
#include "targets/Formats.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/GlobPattern.h"
#include "llvm/Support/MemoryBuffer.h"

using llvm::StringRef;

namespace gemmac {

constexpr uint64_t mostBytes = 1 << 20; // of a map
// Alternatives multiply; no pattern needs more.
constexpr size_t mostAlternatives = 64;

std::optional<QuantMap> QuantMap::parse(const std::string &text,
                                        Problem &problem) {
  QuantMap map;
  const std::vector<std::string> formatWords =
      formatNames(Format::Weight | Format::Quant);
  llvm::SmallVector<StringRef> lines;
  StringRef(text).split(lines, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    auto number = unsigned(i + 1);
    auto fail = [&](const std::string &what) {
      problem = {number, what};
      return std::nullopt;
    };
    llvm::SmallVector<StringRef> words;
    llvm::SplitString(lines[i].split('#').first, words, " \t\r");
    if (words.empty())
      continue;
    if (words.size() != 2)
      return fail(fmt::format("expects PATTERN FORMAT, got {} word{}",
                              words.size(), words.size() == 1 ? "" : "s"));
    if (!llvm::is_contained(formatWords, words[1]))
      return fail(fmt::format("expects format {}, got '{}'",
                              llvm::join(formatWords, ", "), words[1].str()));
    auto glob = llvm::GlobPattern::create(words[0], mostAlternatives);
    if (!glob)
      return fail(fmt::format("the pattern '{}' is broken: {}", words[0].str(),
                              toString(glob.takeError())));
    map.lines.push_back({words[0].str(), words[1].str(), number});
  }
  return map;
}

std::optional<QuantMap> QuantMap::read(const std::string &path,
                                       Problem &problem) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true,
                                          /*RequiresNullTerminator=*/false);
  if (!file) {
    problem = {0,
               "cannot read the map of formats: " + file.getError().message()};
    return std::nullopt;
  }
  if ((*file)->getBufferSize() > mostBytes) {
    problem = {0, fmt::format(
                      "expects a map of formats of at most 1 MiB, got {} bytes",
                      (*file)->getBufferSize())};
    return std::nullopt;
  }
  return parse((*file)->getBuffer().str(), problem);
}

const QuantMap::Line *QuantMap::find(const std::vector<std::string> &names) {
  const Line *last = nullptr;
  for (Line &line : lines) {
    auto glob = llvm::GlobPattern::create(line.pattern, mostAlternatives);
    if (!glob) {
      llvm::consumeError(glob.takeError()); // checked by parse
      continue;
    }
    if (llvm::any_of(names,
                     [&](StringRef name) { return glob->match(name); })) {
      line.used = true;
      last = &line;
    }
  }
  return last;
}

std::vector<QuantMap::Line> QuantMap::unused() const {
  std::vector<Line> result;
  for (const Line &line : lines)
    if (!line.used)
      result.push_back(line);
  return result;
}

} // namespace gemmac
