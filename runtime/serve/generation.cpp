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
  if (constraint)
    out.constraint = constraint->clone();
  return out;
}

// {"12": -100, "7": 1.5}
static void read_bias(Fields &fields, const Context &context,
                      std::vector<std::pair<int32_t, float>> &out) {
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
  if (const Tree *options = fields.map("stream_options")) {
    Fields inner(*options, "stream_options.");
    inner.truth("include_usage", out.include_usage);
    fields.fail("stream_options", inner.status());
  }
}

} // namespace gm
