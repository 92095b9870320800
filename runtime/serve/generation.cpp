// See generation.h.
#include "runtime/serve/generation.h"

#include <cmath>
#include <cstdlib>
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

// Each costs every token a little, and stands beside every waiting sequence.
constexpr size_t kMostBiases = 1 << 12;
// Bytes of all stop strings, and of a text that is biased.
constexpr size_t kMostStopBytes = 1 << 16;

// What a bias is of: a token id, or all tokens of a text. A key of digits is an
// id, since JSON has no other keys than texts.
static std::vector<int32_t> biased_ids(const Context &context, const Tree &of,
                                       bool is_key) {
  std::vector<int32_t> ids;
  int64_t id = -1;
  if (of.is_string()) {
    const std::string &text = of.get_ref<const std::string &>();
    char *end;
    id = strtoll(text.c_str(), &end, 10);
    if (!is_key || text.empty() || text.size() > 10 || *end) {
      if (text.size() > kMostStopBytes)
        ids.resize(kMostBiases + 1); // whatever they are
      else
        context.program.tokenizer.encode(text, false, ids, kMostBiases + 1);
      return ids;
    }
  } else if (of.is_number_integer()) {
    id = of.get<int64_t>();
  }
  if (id >= 0 && id < context.program.vocab())
    ids = {int32_t(id)};
  return ids;
}

// {"12": -100, "text": 1.5} or, as llama.cpp's server has it, [[12, -100],
// ["text", 1.5], [7, false]], where false means never.
static void read_bias(Fields &fields, const Context &context,
                      std::vector<std::pair<int32_t, float>> &out) {
  const Tree *bias = fields.find("logit_bias");
  auto add = [&](const Tree &of, const Tree &value, bool is_key) {
    if (!fields.status().ok())
      return;
    const bool never = value.is_boolean() && !value.get<bool>();
    const double x = value.is_number() ? value.get<double>() : NAN;
    const std::vector<int32_t> ids = biased_ids(context, of, is_key);
    if (ids.empty())
      fields.fail("logit_bias",
                  failure(BAD_INPUT,
                          "'logit_bias' expects token ids from 0 to %lld, or "
                          "texts, got %.40s",
                          (long long)context.program.vocab() - 1,
                          dump(of).c_str()));
    else if (!never && !(std::fabs(x) <= 1e6))
      fields.expect("logit_bias", "numbers from -1e6 to 1e6, or false", value);
    else if (out.size() + ids.size() > kMostBiases)
      fields.fail("logit_bias",
                  failure(BAD_INPUT,
                          "'logit_bias' expects at most %zu tokens in all",
                          kMostBiases));
    else
      for (int32_t id : ids)
        out.emplace_back(id, never ? -INFINITY : float(x));
  };
  if (!bias || bias->is_null())
    return;
  if (bias->is_object())
    for (const auto &[key, value] : bias->items())
      add(key, value, true);
  else if (bias->is_array())
    for (const Tree &pair : *bias)
      if (pair.is_array() && pair.size() == 2)
        add(pair[0], pair[1], false);
      else
        fields.expect("logit_bias", "pairs", pair);
  else
    fields.expect("logit_bias", "an object or a list of pairs", *bias);
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
  size_t stop_bytes = 0;
  for (const std::string &stop : out.stops)
    stop_bytes += stop.size();
  if (stop_bytes > kMostStopBytes)
    fields.fail("stop",
                failure(BAD_INPUT, "'stop' expects at most %zu bytes in all",
                        kMostStopBytes));
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
