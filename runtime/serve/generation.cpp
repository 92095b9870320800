// See generation.h.
#include "runtime/serve/generation.h"

#include <cmath>
#include <ctime>
#include <sys/random.h>

namespace gm {

Sequence Generation::sequence(const Items &prompt, size_t index) const {
  Sequence out;
  out.prompt = prompt;
  // A prompt that is only scored has a last row, too.
  out.most = scored && most == 0 ? 1 : most;
  out.scored = scored;
  out.sampling = sampling;
  out.seed = seed + index;
  out.ignore_stop = ignore_stop;
  out.logprobs = logprobs;
  out.changes = changes;
  out.slot = int32_t(slot);
  if (constraint)
    out.constraint = constraint->clone();
  return out;
}

MaybeError check_answers(size_t prompts, const Generation &generation) {
  if (int64_t(prompts) * generation.n <= kMostAnswers)
    return {};
  return ApiError(400,
                  "expects at most " + std::to_string(kMostAnswers) +
                      " answers, prompts times n",
                  "n");
}

// Of llama.cpp's server: [[12, -100], ["text", 1.5], [7, false]]. A text means
// all of its tokens, false never.
static void read_bias_list(Fields &fields, const Context &context,
                           const Tree &list,
                           std::vector<std::pair<int32_t, float>> &out) {
  const char *expected = "pairs of a token id or a text, and a number or false";
  for (const Tree &pair : list) {
    if (!pair.is_array() || pair.size() != 2)
      return fields.expect("logit_bias", expected, pair);
    const Tree &of = pair[0], &value = pair[1];
    const bool never = value.is_boolean() && !value.get<bool>();
    const double x = value.is_number() ? value.get<double>() : NAN;
    if (!never && !(std::fabs(x) <= 1e6))
      return fields.expect("logit_bias", expected, value);
    std::vector<int32_t> ids;
    if (of.is_string())
      context.program.tokenizer.encode(of.get_ref<const std::string &>(), false,
                                       ids);
    else if (of.is_number_integer() && of.get<int64_t>() >= 0 &&
             of.get<int64_t>() < context.program.vocab())
      ids = {of.get<int32_t>()};
    else
      return fields.expect("logit_bias", expected, of);
    for (int32_t id : ids)
      out.emplace_back(id, never ? -INFINITY : float(x));
  }
}

// {"12": -100, "7": 1.5}
static void read_bias(Fields &fields, const Context &context,
                      std::vector<std::pair<int32_t, float>> &out) {
  if (const Tree *list = fields.find("logit_bias"); list && list->is_array())
    return read_bias_list(fields, context, *list, out);
  const Tree *bias = fields.map("logit_bias");
  if (!bias)
    return;
  for (const auto &[key, value] : bias->items()) {
    char *end;
    const long long id = strtoll(key.c_str(), &end, 10);
    if (key.empty() || key.size() > 10 || *end || id < 0 ||
        id >= context.program.vocab())
      return fields.fail(
          "logit_bias",
          failure(BAD_INPUT,
                  "'logit_bias' expects token ids from 0 to %lld as "
                  "keys, got '%.40s'",
                  (long long)context.program.vocab() - 1, key.c_str()));
    const double x = value.is_number() ? value.get<double>() : NAN;
    if (!(std::fabs(x) <= 1e6))
      return fields.expect("logit_bias", "numbers from -1e6 to 1e6", value);
    out.emplace_back(int32_t(id), float(x));
  }
}

void read_generation(Fields &fields, const Context &context, Generation &out) {
  const double any = 1e9;
  out.sampling = context.settings.sampling;
  fields.number("temperature", out.sampling.temperature, 0, any);
  fields.number("top_p", out.sampling.top_p, 0, 1);
  fields.number("min_p", out.sampling.min_p, 0, 1);
  fields.integer("top_k", out.sampling.top_k, -1, 1 << 24);
  if (out.sampling.top_k < 0)
    out.sampling.top_k = 0; // vLLM's word for all
  int64_t seed = -1;
  fields.integer("seed", seed, INT64_MIN, INT64_MAX);
  out.seed = uint64_t(seed);
  if (seed == -1 &&
      getrandom(&out.seed, sizeof out.seed, GRND_NONBLOCK) != sizeof out.seed)
    out.seed = uint64_t(time(nullptr)) * 0x9E3779B97F4A7C15ull;
  fields.number("presence_penalty", out.changes.presence, -100, 100);
  fields.number("frequency_penalty", out.changes.frequency, -100, 100);
  for (const char *key : {"repeat_penalty", "repetition_penalty"})
    fields.number(key, out.changes.repeat, 1e-3, 1000);
  read_bias(fields, context, out.changes.bias);
  for (const char *key : {"max_tokens", "max_completion_tokens"})
    fields.integer(key, out.most, -1, INT64_MAX);
  fields.integer("n", out.n, 1, kMostAnswers);
  fields.texts("stop", out.stops, 64);
  fields.truth("stream", out.stream);
  fields.truth("ignore_eos", out.ignore_stop);
  fields.integer("id_slot", out.slot, -1, context.settings.parallel - 1);
  if (const Tree *options = fields.map("stream_options")) {
    Fields inner(*options, "stream_options.");
    inner.truth("include_usage", out.include_usage);
    fields.fail("stream_options", inner.status());
  }
}

} // namespace gm
