// See endpoints.h.
#include "runtime/serve/endpoints.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/chat_request.h"
#include "runtime/serve/openapi.h"
#include "runtime/serve/page.h"

#include <sys/resource.h>

namespace gm {

namespace mf = gemmac::manifest;

static void give(Page &page, const Tree &tree) {
  page = {"application/json", dump(tree)};
}

static std::string text(const flatbuffers::String *s) {
  return s ? s->str() : "";
}

static Tree describe(const Context &context) {
  const mf::Model &m = *context.program.manifest().model();
  return {{"id", context.settings.alias},
          {"object", "model"},
          {"created", context.created},
          {"owned_by", "gemmac"},
          {"meta",
           {{"name", text(m.name())},
            {"n_vocab", m.vocab()},
            {"n_ctx", context.program.plan.context},
            {"n_ctx_train", m.max_context()},
            {"n_embd", m.hidden()},
            {"n_params", m.parameters()}}}};
}

// What people talk to. No other page may show it inside of itself.
MaybeError home(Context &, HttpRequest &, Page &out) {
  out = {"text/html; charset=utf-8",
         std::string(page()),
         {{"content-security-policy", "frame-ancestors 'none'"},
          {"x-frame-options", "DENY"},
          {"referrer-policy", "no-referrer"}}};
  return {};
}

MaybeError description(Context &, HttpRequest &, Page &page) {
  page = {"application/json", std::string(openapi())};
  return {};
}

MaybeError models(Context &context, HttpRequest &, Page &page) {
  Tree data = Tree::array();
  data.push_back(describe(context));
  give(page, {{"object", "list"}, {"data", std::move(data)}});
  return {};
}

MaybeError model(Context &context, HttpRequest &request, Page &page) {
  const std::string name = request.path.substr(sizeof "/v1/models/" - 1);
  if (name != context.settings.alias)
    return ApiError(404,
                    "there is no model '" + name.substr(0, 100) +
                        "', the one here is '" + context.settings.alias + "'",
                    "model", "model_not_found");
  give(page, describe(context));
  return {};
}

MaybeError health(Context &, HttpRequest &, Page &page) {
  give(page, {{"status", "ok"}});
  return {};
}

// The text format of Prometheus, version 0.0.4.
MaybeError metrics(Context &context, HttpRequest &, Page &page) {
  if (!context.settings.metrics)
    return ApiError(501, "metrics are given with --metrics only");
  const SchedulerStats s = context.scheduler.stats();
  std::string out;
  auto add = [&](const char *name, const char *type, const char *help,
                 int64_t value) {
    const std::string full = std::string("gemmac_") + name;
    out += "# HELP " + full + " " + help + "\n# TYPE " + full + " " + type +
           "\n" + full + " " + std::to_string(value) + "\n";
  };
  const Counters &c = context.counters;
  add("http_requests_total", "counter", "Requests handled.", c.requests);
  add("http_errors_total", "counter", "Requests answered with an error.",
      c.errors);
  add("clients_left_total", "counter",
      "Clients that left before the end of their answer.", c.left);
  add("sequences_total", "counter", "Sequences taken.", s.requests);
  add("prompt_tokens_total", "counter", "Tokens of prompts, cached ones too.",
      s.prompt_tokens);
  add("prompt_tokens_cached_total", "counter",
      "Tokens of prompts that were not computed again.", s.cached_tokens);
  add("tokens_generated_total", "counter", "Tokens generated.",
      s.generated_tokens);
  add("steps_total", "counter", "Steps of the model.", s.steps);
  add("slots", "gauge", "Sequences that fit at a time.", s.slots);
  add("slots_busy", "gauge", "Sequences at work.", s.busy);
  add("sequences_waiting", "gauge", "Sequences that wait for a slot.",
      s.waiting);
  add("sequences_failed_total", "counter", "Sequences that failed.", s.failed);
  add("pages", "gauge", "Pages of the cache.", s.pages);
  add("pages_left", "gauge", "Pages of the cache that nothing holds.",
      s.pages_left);
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  add("memory_planned_bytes", "gauge", "What the server never goes beyond.",
      int64_t(context.program.plan.total));
  add("memory_peak_bytes", "gauge", "The most that it has held.",
      int64_t(used.ru_maxrss) * 1024);
  page = {"text/plain; version=0.0.4; charset=utf-8", out};
  return {};
}

MaybeError props(Context &context, HttpRequest &, Page &page) {
  const Program &program = context.program;
  const mf::Program &p = program.manifest();
  const Sampling &s = context.settings.sampling;
  const char *chat = p.chat() == mf::Chat_Small   ? "gemma4-small"
                     : p.chat() == mf::Chat_Large ? "gemma4-large"
                                                  : "none";
  auto token = [&](gm_tok_name name) -> Tree {
    const int32_t id =
        program.has_tokenizer() ? program.tokenizer.named(name) : -1;
    return id < 0 ? Tree() : Tree(context.token_text(id));
  };
  give(page, {{"default_generation_settings",
               {{"n_ctx", program.plan.context},
                {"params",
                 {{"temperature", s.temperature},
                  {"top_k", s.top_k},
                  {"top_p", s.top_p},
                  {"min_p", s.min_p}}}}},
              {"total_slots", context.settings.parallel},
              {"model_alias", context.settings.alias},
              {"model_name", text(p.model()->name())},
              {"model_variant", text(p.model()->variant())},
              {"target", text(p.target()->name())},
              {"modalities",
               {{"vision", context.media.takes(Medium::Picture)},
                {"audio", context.media.takes(Medium::Sound)}}},
              {"chat_format", chat},
              {"chat_template", text(p.chat_template())},
              {"bos_token", token(GM_TOK_BOS)},
              {"build_info", "gemmac " + text(p.compiler())}});
  return {};
}

MaybeError tokenize(Context &context, HttpRequest &request, Page &page) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  std::string content;
  bool special = false, parse = true, pieces = false;
  fields.text("content", content);
  fields.truth("add_special", special);
  fields.truth("parse_special", parse);
  fields.truth("with_pieces", pieces);
  if (MaybeError e = error_of(fields))
    return e;
  if (!fields.find("content"))
    return ApiError(400, "'content' expects a string, got none", "content");
  const Tokenizer &t = context.program.tokenizer;
  std::vector<int32_t> ids;
  if (const int32_t bos = t.named(GM_TOK_BOS); special && bos >= 0)
    ids.push_back(bos);
  t.encode(content, parse, ids);
  Tree tokens = Tree::array();
  for (int32_t id : ids)
    tokens.push_back(pieces
                         ? Tree{{"id", id}, {"piece", context.token_text(id)}}
                         : Tree(id));
  give(page, {{"tokens", std::move(tokens)}});
  return {};
}

MaybeError detokenize(Context &context, HttpRequest &request, Page &page) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  const Tree *tokens = fields.list("tokens");
  if (MaybeError e = error_of(fields))
    return e;
  if (!tokens)
    return ApiError(400, "'tokens' expects a list, got none", "tokens");
  const Tokenizer &t = context.program.tokenizer;
  std::vector<int32_t> ids;
  for (const Tree &id : *tokens) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= int64_t(t.vocab()))
      return ApiError(400,
                      "'tokens' expects ids from 0 to " +
                          std::to_string(t.vocab() - 1) + ", got " +
                          dump(id).substr(0, 40),
                      "tokens");
    ids.push_back(id.get<int32_t>());
  }
  give(page, {{"content", t.decode(ids.data(), ids.size(), true)}});
  return {};
}

MaybeError apply_template(Context &context, HttpRequest &request, Page &page) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  ChatPrompt prompt;
  if (MaybeError e = read_chat_prompt(context, request.body, root, prompt))
    return e;
  give(page, {{"prompt", prompt.text.text}});
  return {};
}

} // namespace gm
