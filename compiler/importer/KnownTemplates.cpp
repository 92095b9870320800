// See KnownTemplates.h.
#include "compiler/importer/KnownTemplates.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

#include <array>
#include <cctype>
#include <vector>

namespace gemmac {
namespace {

#include "compiler/importer/KnownTemplates.inc"

constexpr std::string_view kWhite = " \t\n\v\f\r";

// "\r\n" and "\r" are "\n"; a byte order mark and blanks at the end are
// nothing.
std::string plainLines(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r')
      out += text[i];
    else if (i + 1 == text.size() || text[i + 1] != '\n')
      out += '\n';
  out.erase(out.find_last_not_of(" \t\n") + 1);
  return out;
}

// Text, or a tag: an expression {{ }}, a statement {% %} or a comment {# #}.
struct Piece {
  char kind = 't';            // or '{', '%', '#'
  char before = 0, after = 0; // '-' or '+' inside of a tag's ends
  std::string_view text;      // without the ends
};

// The end of the tag that begins at `at`: quotes hide it, but in comments.
size_t tagEnd(std::string_view text, size_t at, char kind) {
  const char close = kind == '{' ? '}' : kind;
  char quote = 0;
  for (size_t i = at + 2; i + 1 < text.size(); ++i) {
    const char c = text[i];
    if (quote) {
      if (c == '\\')
        ++i;
      else if (c == quote)
        quote = 0;
    } else if (kind != '#' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == close && text[i + 1] == '}') {
      return i;
    }
  }
  return text.npos;
}

// False: a tag is not closed.
bool split(std::string_view text, std::vector<Piece> &pieces) {
  size_t begun = 0;
  for (size_t at = 0; at + 1 < text.size();) {
    const char kind = text[at + 1];
    if (text[at] != '{' || (kind != '{' && kind != '%' && kind != '#')) {
      ++at;
      continue;
    }
    const size_t end = tagEnd(text, at, kind);
    if (end == text.npos)
      return false;
    pieces.push_back({'t', 0, 0, text.substr(begun, at - begun)});
    Piece tag{kind, 0, 0, text.substr(at + 2, end - at - 2)};
    if (!tag.text.empty() && (tag.text[0] == '-' || tag.text[0] == '+')) {
      tag.before = tag.text[0];
      tag.text.remove_prefix(1);
    }
    if (!tag.text.empty() &&
        (tag.text.back() == '-' || (kind != '{' && tag.text.back() == '+'))) {
      tag.after = tag.text.back();
      tag.text.remove_suffix(1);
    }
    pieces.push_back(tag);
    at = begun = end + 2;
  }
  pieces.push_back({'t', 0, 0, text.substr(begun)});
  return true;
}

// What of the text between two tags is output.
std::string_view shown(std::string_view text, const Piece *left,
                       const Piece *right) {
  bool line = !left; // the text begins a line
  if (left && left->after == '-') {
    text.remove_prefix(std::min(text.find_first_not_of(kWhite), text.size()));
  } else if (left && left->kind != '{' && left->after != '+' &&
             text.starts_with('\n')) {
    text.remove_prefix(1);
    line = true;
  }
  if (!right)
    return text;
  if (right->before == '-')
    return text.substr(0, text.find_last_not_of(kWhite) + 1);
  if (right->kind == '{' || right->before == '+')
    return text;
  const size_t last = text.find_last_not_of(" \t") + 1;
  return (last ? text[last - 1] == '\n' : line) ? text.substr(0, last) : text;
}

bool isWord(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Whether the two lie side by side as they lie apart: no word, number or
// operator (==, **, //, ...) is made of both.
bool mayJoin(char a, char b) {
  constexpr std::string_view operators = "*/=!<>";
  const bool joined = operators.find(a) != operators.npos &&
                      operators.find(b) != operators.npos;
  return !(isWord(a) && isWord(b)) && !joined && a != '.' && b != '.';
}

// A tag's inside with no blanks but those that count.
std::string withoutBlanks(std::string_view code) {
  std::string out;
  bool blank = false;
  for (size_t i = 0; i < code.size(); ++i) {
    const char c = code[i];
    if (kWhite.find(c) != kWhite.npos) {
      blank = true;
      continue;
    }
    if (blank && !out.empty() && !mayJoin(out.back(), c))
      out += ' ';
    blank = false;
    out += c;
    if (c != '\'' && c != '"')
      continue;
    while (++i < code.size()) {
      out += code[i];
      if (code[i] == '\\' && i + 1 < code.size())
        out += code[++i];
      else if (code[i] == c)
        break;
    }
  }
  return out;
}

std::string sha256(std::string_view text) {
  std::array<uint8_t, 32> hash = llvm::SHA256::hash(llvm::ArrayRef<uint8_t>(
      reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  return llvm::toHex(hash, /*LowerCase=*/true);
}

} // namespace

std::string normalisedTemplate(std::string_view given) {
  const std::string text = plainLines(given);
  std::vector<Piece> pieces;
  if (!split(text, pieces))
    return text;
  std::string out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece &piece = pieces[i];
    if (piece.kind == 't') {
      out += shown(piece.text, i ? &pieces[i - 1] : nullptr,
                   i + 1 < pieces.size() ? &pieces[i + 1] : nullptr);
    } else if (piece.kind != '#') {
      const std::string code = withoutBlanks(piece.text);
      if (code == "raw")
        return text;
      // Marked, so that braces of the text are no tag's.
      ((out += "\x01") += piece.kind) += code;
      out += '\x02';
    }
  }
  return out;
}

std::span<const KnownTemplate> knownTemplates() { return known; }

const KnownTemplate *findTemplate(std::string_view text) {
  const std::string hash = sha256(normalisedTemplate(text));
  for (const KnownTemplate &each : known)
    if (hash == each.normalised)
      return &each;
  return nullptr;
}

std::optional<ChatProtocol> impliedProtocol(std::string_view text) {
  const std::string normalised = normalisedTemplate(text);
  auto has = [&](std::string_view part) {
    return normalised.find(part) != normalised.npos;
  };
  if (!has("<|turn>") || !has("<turn|>"))
    return std::nullopt;
  // As a string of the template spells it, or as text.
  return has("<|channel>thought\\n<channel|>") ||
                 has("<|channel>thought\n<channel|>")
             ? ChatProtocol::Large
             : ChatProtocol::Small;
}

} // namespace gemmac
