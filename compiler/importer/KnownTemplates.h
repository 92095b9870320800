// The chat templates that people ship for Gemma 4, by hash: which of the two
// forms that programs speak each stands for, and how far it is from it. Knows
// what in a template's text means nothing; must not know where files hold
// templates, nor any template's text.
#pragma once

#include "compiler/importer/Tokenizer.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gemmac {

struct KnownTemplate {
  const char *sha256;     // of the text as it was found
  const char *normalised; // of normalisedTemplate of it
  ChatProtocol protocol;
  const char *name; // for messages: whose it is, and of when
  const char *from; // repository and file where it was found
  // Of 199 conversations, rendered once with jinja2: how many it renders
  // otherwise than the form that the program speaks, and in what.
  int differs;
  const char *in;
};

std::span<const KnownTemplate> knownTemplates();
// nullptr: none of them.
const KnownTemplate *findTemplate(std::string_view text);

// A template without what its output does not depend on: comments, line ends,
// blanks inside of tags and those that tags take away (as transformers renders:
// with trim_blocks and lstrip_blocks). Texts that are equal then render alike.
// One with a raw block is left as it is, but for its line ends and its end.
std::string normalisedTemplate(std::string_view text);

// What a template that is not known is taken for: the large form if it writes
// an empty thought, else the small one; no value if it does not write the turns
// of Gemma 4.
std::optional<ChatProtocol> impliedProtocol(std::string_view text);

} // namespace gemmac
