// What every endpoint of `serve` is given: the program, its scheduler, what the
// command line says, and what the answers have in common. Knows JSON; must not
// know how requests come.
#pragma once

#include "runtime/app/conversation.h"
#include "runtime/serve/http.h"
#include "runtime/serve/json_body.h"
#include "runtime/serve/served_media.h"

#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace gm {

// What a request gets instead of an answer.
struct ApiError {
  int status = 400;
  std::string message;
  std::string param; // the field that is wrong, empty: none
  std::string code;  // for programs, empty: none

  ApiError(int status, std::string message, std::string param = "",
           std::string code = "")
      : status(status), message(std::move(message)), param(std::move(param)),
        code(std::move(code)) {}
  explicit ApiError(const Status &status); // 400, 503 or 500
  // As OpenAI's clients and Anthropic's read it.
  Tree tree() const;
};
using MaybeError = std::optional<ApiError>;

struct ServeSettings {
  std::string alias;               // the model's name in answers
  std::vector<std::string> keys;   // that are let in; none: everybody
  std::optional<std::string> cors; // an origin, or *
  std::string slot_folder;         // for states of slots; empty: none
  bool metrics = false;
  bool loopback = true; // this machine alone reaches the server
  int64_t parallel = 1, queue = 256;
  Sampling sampling; // the model's own
};

struct Counters {
  std::atomic<int64_t> requests = 0, errors = 0, left = 0;
};

class Grammars; // demand.h

struct Context {
  Context(Program &program, Scheduler &scheduler, Grammars &grammars,
          ServedMedia &media, ServeSettings settings);

  bool is_stop(int32_t id) const { return rules.is_stop(id); }
  // The text of one token as it is in a text, control tokens included; may be a
  // part of a character.
  std::string token_text(int32_t id) const;
  // Ids of a text; an error if there are more than the context holds.
  MaybeError encode_text(const std::string &text, const char *param,
                         std::vector<int32_t> &ids) const;
  enum : size_t { MANY_TOKENS = SIZE_MAX }; // so many that nobody counts
  MaybeError check_prompt(size_t tokens, const char *param) const;
  // [{"token", "logprob", "bytes", "top_logprobs"}]
  Tree logprobs_of(const std::vector<Drawn> &tokens) const;
  // {"id", "object", "created", "model", "system_fingerprint"}.
  Tree head(const std::string &id, const char *object, int64_t created) const;
  // As "usage" and "timings" of answers have it.
  static Tree usage_of(const Usage &usage, int64_t thought);
  static Tree timings_of(const Usage &usage);

  Program &program;
  Scheduler &scheduler;
  const ServeSettings settings;
  const int64_t created; // seconds, when the server began
  Counters counters;
  Grammars &grammars;
  ServedMedia &media;

private:
  const TokenRules rules;
  std::string fingerprint;
};

// "'messages[2].content' expects WHAT, got KIND".
ApiError expects(const std::string &where, const std::string &what,
                 const Tree &got);
// The first mistake that `fields` found.
MaybeError error_of(const Fields &fields);
// Of a body that is a JSON object.
MaybeError read_object(const HttpRequest &request, Tree &out);
// Seconds since 1970.
int64_t now_seconds();

} // namespace gm
