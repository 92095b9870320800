#include "passes/QuantMap.h"

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
                                        const std::string &path,
                                        std::string &problem) {
  QuantMap map;
  const std::vector<std::string> formatWords =
      formatNames(Format::Weight | Format::Quant);
  auto fail = [&](const std::string &place, const std::string &what) {
    problem = place + ": " + what;
    return std::nullopt;
  };
  llvm::SmallVector<StringRef> lines;
  StringRef(text).split(lines, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string place = path + ":" + std::to_string(i + 1);
    llvm::SmallVector<StringRef> words;
    llvm::SplitString(lines[i].split('#').first, words, " \t\r");
    if (words.empty())
      continue;
    if (words.size() != 2)
      return fail(place, "expects PATTERN FORMAT, got " +
                             std::to_string(words.size()) +
                             (words.size() == 1 ? " word" : " words"));
    if (!llvm::is_contained(formatWords, words[1]))
      return fail(place, "expects format " + llvm::join(formatWords, ", ") +
                             ", got '" + words[1].str() + "'");
    auto glob = llvm::GlobPattern::create(words[0], mostAlternatives);
    if (!glob)
      return fail(place, "the pattern '" + words[0].str() +
                             "' is broken: " + toString(glob.takeError()));
    map.lines.push_back({words[0].str(), words[1].str(), place});
  }
  return map;
}

std::optional<QuantMap> QuantMap::read(const std::string &path,
                                       std::string &problem) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true,
                                          /*RequiresNullTerminator=*/false);
  if (!file) {
    problem = "cannot read the map of formats '" + path +
              "': " + file.getError().message();
    return std::nullopt;
  }
  if ((*file)->getBufferSize() > mostBytes) {
    problem = path + ": expects a map of formats of at most 1 MiB, got " +
              std::to_string((*file)->getBufferSize()) + " bytes";
    return std::nullopt;
  }
  return parse((*file)->getBuffer().str(), path, problem);
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

std::vector<std::string> QuantMap::unused() const {
  std::vector<std::string> messages;
  for (const Line &line : lines)
    if (!line.used)
      messages.push_back(line.place + ": no matrix matches '" + line.pattern +
                         "'");
  return messages;
}

} // namespace gemmac
