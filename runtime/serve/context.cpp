// See context.h.
#include "runtime/serve/context.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <ctime>

namespace gm {

ApiError::ApiError(const Status &s)
    : status(s.code == RESOURCES                            ? 503
             : s.code == BAD_INPUT || s.code == UNSUPPORTED ? 400
                                                            : 500),
      message(s.text) {}

Tree ApiError::tree() const {
  const char *type = status == 401   ? "authentication_error"
                     : status == 403 ? "permission_error"
                     : status == 404 ? "not_found_error"
                     : status == 429 ? "rate_limit_error"
                     : status < 500  ? "invalid_request_error"
                     : status == 501 ? "not_supported_error"
                     : status == 503 ? "unavailable_error"
                                     : "server_error";
  auto or_null = [](const std::string &text) {
    return text.empty() ? Tree() : Tree(text);
  };
  return {{"type", "error"},
          {"error",
           {{"message", message},
            {"type", type},
            {"param", or_null(param)},
            {"code", or_null(code)}}}};
}

ApiError expects(const std::string &where, const std::string &what,
                 const Tree &got) {
  return ApiError(400,
                  "'" + where + "' expects " + what + ", got " + kind_of(got),
                  where.substr(0, where.find_first_of(".[")));
}

MaybeError error_of(const Fields &fields) {
  if (fields.status().ok())
    return {};
  ApiError error(fields.status());
  error.param = fields.key();
  return error;
}

MaybeError read_object(const HttpRequest &request, Tree &out) {
  if (Status s = parse_json(request.body, out); !s.ok())
    return ApiError(s);
  if (!out.is_object())
    return ApiError(400, std::string("the body expects a JSON object, got ") +
                             kind_of(out));
  return {};
}

int64_t now_seconds() { return int64_t(time(nullptr)); }

Context::Context(Program &program, Scheduler &scheduler, Grammars &grammars,
                 ServedMedia &media, ServeSettings given)
    : program(program), scheduler(scheduler), settings(std::move(given)),
      created(now_seconds()), grammars(grammars), media(media),
      rules(program.manifest()) {
  const auto *id = program.manifest().weights_id();
  fingerprint = "fp_" + (id ? id->str().substr(0, 12) : "");
}

std::string Context::token_text(int32_t id) const {
  const Tokenizer &t = program.tokenizer;
  if (id < 0 || id >= int32_t(t.vocab()))
    return "";
  if (t.flags(id) & GM_TOK_BYTE) // "<0xHH>"
    return std::string(
        1, char(strtol(std::string(t.piece(id).substr(3, 2)).c_str(), nullptr,
                       16)));
  return t.decode(&id, 1, true);
}

MaybeError Context::check_prompt(size_t tokens, const char *param) const {
  const int64_t most = program.plan.context;
  if (tokens < size_t(most))
    return {};
  const std::string many =
      tokens == MANY_TOKENS ? "far more" : std::to_string(tokens);
  return ApiError(400,
                  "the prompt has " + many + " tokens, the context holds " +
                      std::to_string(most) + " with the answer",
                  param, "context_length_exceeded");
}

MaybeError Context::encode_text(const std::string &text, const char *param,
                                std::vector<int32_t> &ids) const {
  const int64_t most = program.plan.context;
  // No text of so many bytes has fewer tokens: refused before they are counted.
  if (text.size() > limit_for(program, most).bytes)
    return ApiError(
        400,
        "the prompt has more tokens than the context, which holds " +
            std::to_string(most),
        param, "context_length_exceeded");
  return check_prompt(encode_raw(program, text, ids, most), param);
}

Tree Context::logprobs_of(const std::vector<Drawn> &tokens) const {
  auto one = [&](int32_t id, float logprob) {
    const std::string text = token_text(id);
    Tree bytes = Tree::array();
    for (unsigned char byte : text)
      bytes.push_back(byte);
    return Tree{{"token", text}, {"logprob", logprob}, {"bytes", bytes}};
  };
  Tree out = Tree::array();
  for (const Drawn &token : tokens) {
    Tree each = one(token.id, token.logprob);
    Tree top = Tree::array();
    for (const auto &[id, logprob] : token.likely)
      top.push_back(one(id, logprob));
    each["top_logprobs"] = std::move(top);
    out.push_back(std::move(each));
  }
  return out;
}

Tree Context::head(const std::string &id, const char *object,
                   int64_t when) const {
  return {{"id", id},
          {"object", object},
          {"created", when},
          {"model", settings.alias},
          {"system_fingerprint", fingerprint}};
}

Tree Context::usage_of(const Usage &usage, int64_t thought) {
  return {{"prompt_tokens", usage.prompt},
          {"completion_tokens", usage.generated},
          {"total_tokens", usage.prompt + usage.generated},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached}}},
          {"completion_tokens_details", {{"reasoning_tokens", thought}}}};
}

Tree Context::timings_of(const Usage &usage) {
  auto ms = [](int64_t ns) { return double(ns / 1000) / 1000; };
  auto rate = [](int64_t n, int64_t ns) {
    return ns > 0 ? double(n) * 1e9 / double(ns) : 0;
  };
  auto each = [&](int64_t ns, int64_t n) {
    return n > 0 ? ms(ns) / double(n) : 0;
  };
  const int64_t read = usage.prompt - usage.cached;
  // The first token comes with the prompt.
  const int64_t later = std::max<int64_t>(0, usage.generated - 1);
  return {{"cache_n", usage.cached},
          {"prompt_n", read},
          {"prompt_ms", ms(usage.prompt_ns)},
          {"prompt_per_token_ms", each(usage.prompt_ns, read)},
          {"prompt_per_second", rate(read, usage.prompt_ns)},
          {"predicted_n", usage.generated},
          {"predicted_ms", ms(usage.generate_ns)},
          {"predicted_per_token_ms", each(usage.generate_ns, later)},
          {"predicted_per_second", rate(later, usage.generate_ns)},
          {"waited_ms", ms(usage.waited_ns)}};
}

} // namespace gm
