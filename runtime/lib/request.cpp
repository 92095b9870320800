// See request.h. Fields of the struct become those of a request to the server,
// so that both have one reader, one set of limits and one wording.
#include "runtime/lib/request.h"
#include "runtime/app/unicode.h"

#include <cmath>
#include <ctime>
#include <sys/random.h>

namespace gm::lib {
namespace {

Status status_of(const MaybeError &e) {
  if (!e)
    return {};
  const Code code = e->code == "context_length_exceeded" ? RUN_ERROR
                    : e->status == 501                   ? UNSUPPORTED
                    : e->status == 503                   ? RESOURCES
                    : e->status < 500                    ? BAD_INPUT
                                                         : RUN_ERROR;
  return failure(code, "%.500s", e->message.c_str());
}

Status read_chat_json(const char *chat, Tree &root) {
  if (Status s = parse_json(chat, root); !s.ok())
    return failure(s.code, "chat: %.480s", s.text);
  if (!root.is_object())
    return failure(BAD_INPUT, "chat: expects a JSON object, got %s",
                   kind_of(root));
  return {};
}

// Whatever the JSON does not say, the struct does.
Status complete(const gemma_request &r, Tree &root) {
  auto says = [&](const char *key) {
    return root.contains(key) && !root[key].is_null();
  };
  auto put = [&](const char *key, auto value, const char *alias = nullptr) {
    if (!says(key) && !(alias && says(alias)))
      root[key] = value;
  };
  for (double number : {r.temperature, r.top_p, r.min_p, r.presence_penalty,
                        r.frequency_penalty, r.repeat_penalty})
    if (!std::isfinite(number))
      return failure(USAGE, "a number of the request is not finite; fill it in "
                            "with gemma_defaults");
  put("temperature", r.temperature);
  put("top_p", r.top_p);
  put("min_p", r.min_p);
  put("top_k", r.top_k);
  put("seed", int64_t(r.seed));
  put("presence_penalty", r.presence_penalty);
  put("frequency_penalty", r.frequency_penalty);
  put("repeat_penalty", r.repeat_penalty, "repetition_penalty");
  put("max_tokens", r.max_tokens, "max_completion_tokens");
  put("ignore_eos", r.ignore_stop != 0);
  if (r.stop_count && !r.stops)
    return failure(USAGE, "stops is NULL, but stop_count is %zu", r.stop_count);
  Tree stops = Tree::array();
  for (size_t i = 0; i < r.stop_count; ++i) {
    if (!r.stops[i])
      return failure(USAGE, "stops[%zu] is NULL", i);
    stops.push_back(r.stops[i]);
  }
  if (r.stop_count)
    put("stop", std::move(stops));
  if (r.grammar)
    put("grammar", r.grammar);
  Tree schema;
  if (r.json_schema)
    if (Status s = parse_json(r.json_schema, schema); !s.ok())
      return failure(s.code, "json_schema: %.480s", s.text);
  if (r.json_schema)
    put("json_schema", std::move(schema));
  return {};
}

Status read_plain_prompt(const Model &model, const gemma_request &r,
                         std::vector<int32_t> &ids) {
  if (r.text) {
    if (Status s = model.program.need_tokenizer(); !s.ok())
      return s;
    if (Status s = check_utf8("text", r.text); !s.ok())
      return s;
    return status_of(model.context->encode_text(r.text, "text", ids));
  }
  if (Status s = status_of(model.context->check_prompt(r.id_count, "ids"));
      !s.ok())
    return s;
  if (Status s = check_ids(model, r.ids, r.id_count); !s.ok())
    return s;
  ids.assign(r.ids, r.ids + r.id_count);
  return {};
}

// What the server would take and this API has no form for.
Status refuse(const Generation &g) {
  if (g.n != 1)
    return failure(UNSUPPORTED,
                   "'n' expects 1, got %lld: start the request as "
                   "often",
                   (long long)g.n);
  if (g.logprobs >= 0)
    return failure(UNSUPPORTED, "'logprobs' expects false, got true");
  return {};
}

Status check_shape(const gemma_request &r) {
  if (!!r.chat + !!r.text + !!r.ids != 1)
    return failure(USAGE,
                   "a request expects one of chat, text and ids, got %d "
                   "of them",
                   !!r.chat + !!r.text + !!r.ids);
  return {};
}

} // namespace

gemma_request defaults_of(const Model &model) {
  const Sampling &own = model.context->settings.sampling;
  gemma_request r = {};
  r.max_tokens = -1;
  r.temperature = own.temperature;
  r.top_p = own.top_p;
  r.min_p = own.min_p;
  r.top_k = own.top_k;
  r.repeat_penalty = 1;
  if (getrandom(&r.seed, sizeof r.seed, GRND_NONBLOCK) != sizeof r.seed)
    r.seed = uint64_t(time(nullptr)) * 0x9E3779B97F4A7C15ull;
  return r;
}

Status check_utf8(const char *what, std::string_view text) {
  const size_t bad = first_bad_utf8(text);
  if (bad >= text.size())
    return {};
  return failure(BAD_INPUT, "%s is not UTF-8: see byte %zu", what, bad);
}

Status check_ids(const Model &model, const int32_t *ids, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (ids[i] < 0 || ids[i] >= model.program.vocab())
      return failure(BAD_INPUT,
                     "ids[%zu] is %d, but token ids are 0 to "
                     "%lld",
                     i, ids[i], (long long)model.program.vocab() - 1);
  return {};
}

Status read_prompt(const Model &model, const char *chat, ChatPrompt &out) {
  Tree root;
  if (Status s = model.program.need_tokenizer(); !s.ok())
    return s;
  if (Status s = read_chat_json(chat, root); !s.ok())
    return s;
  return status_of(read_chat_prompt(*model.context, chat, root, out));
}

Status read_request(const Model &model, const gemma_request &r,
                    ChatRequest &out) {
  if (Status s = check_shape(r); !s.ok())
    return s;
  if (r.chat || r.json_schema || r.grammar)
    if (Status s = model.program.need_tokenizer(); !s.ok())
      return s;
  Tree root = Tree::object();
  if (r.chat)
    if (Status s = read_chat_json(r.chat, root); !s.ok())
      return s;
  if (Status s = complete(r, root); !s.ok())
    return s;
  if (r.chat) {
    if (Status s = status_of(read_chat(*model.context, r.chat, root, out));
        !s.ok())
      return s;
    return refuse(out.generation);
  }
  Fields fields(root);
  read_generation(fields, *model.context, out.generation);
  out.generation.constraint = read_demand(fields, *model.grammars, true, {});
  if (Status s = fields.status(); !s.ok())
    return s;
  std::vector<int32_t> ids;
  Status s = read_plain_prompt(model, r, ids);
  out.prompt.items = Items(ids);
  return s;
}

} // namespace gm::lib
