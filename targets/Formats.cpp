#include "targets/Formats.h"

#include "targets/blocks.h"

#include <cstdio>
#include <cstdlib>

namespace gemmac {

const std::vector<Format> &formats() {
  using F = Format;
  using Code = F::Code;
  using Scale = F::Scale;
  static const std::vector<Format> all = {
      {"f32", Code::F32, 32, Scale::None, 1,
       F::Weight | F::Activation | F::Cache | F::Source | F::Quant, "f32"},
      {"f16", Code::F16, 16, Scale::None, 1, F::Source},
      {.name = "bf16",
       .code = Code::BF16,
       .bits = 16,
       .scale = Scale::None,
       .block = 1,
       .mayBe = F::Weight | F::Activation | F::Cache | F::Source | F::Quant,
       .act = "bf16",
       .wideAct = "f32"},
      {.name = "q8_0",
       .code = Code::Quantized,
       .bits = 8,
       .scale = Scale::F16,
       .block = blockValues,
       .mayBe = F::Weight | F::Source,
       .act = "q8",
       .wideAct = "f32",
       .scan = splitFormat},
      {"q6_k", Code::Quantized, 6, Scale::F16, 16, F::Source},
      {"q5_k", Code::Quantized, 5, Scale::F16, 32, F::Source},
      {"q5_1", Code::Quantized, 5, Scale::F16, 32, F::Source},
      {.name = "q5_0",
       .code = Code::Quantized,
       .bits = 5,
       .scale = Scale::F16,
       .block = 32,
       .mayBe = F::Source,
       .within = "q8_0"},
      {"q4_k", Code::Quantized, 4, Scale::F16, 32, F::Source},
      {"q4_1", Code::Quantized, 4, Scale::F16, 32, F::Source},
      {.name = "q4_0",
       .code = Code::Quantized,
       .bits = 4,
       .scale = Scale::F16,
       .block = blockValues,
       .mayBe = F::Weight | F::Source,
       .act = "q8",
       .within = "q8_0"},
      {"q4_bf", Code::Quantized, 4, Scale::BF16, blockValues, F::Weight, "q8"},
      // The two matrices of q8_0 in a vocabulary that is scanned.
      {.name = splitFormat,
       .code = Code::Quantized,
       .bits = 8,
       .scale = Scale::F16,
       .block = blockValues,
       .mayBe = F::Head,
       .act = "q8",
       .low = lowFormat},
      {lowFormat, Code::Quantized, 4, Scale::F16, blockValues, 0},
      // As activations; keys and values have scales of their own (Layouts.h).
      {.name = "q8",
       .code = Code::Quantized,
       .bits = 8,
       .scale = Scale::F32,
       .block = blockValues,
       .mayBe = F::Activation | F::Cache | F::Quant,
       .means = "q8_0"},
      {.name = "q4",
       .code = Code::Quantized,
       .bits = 4,
       .scale = Scale::BF16,
       .block = blockValues,
       .mayBe = F::Quant,
       .means = "q4_bf"},
      {"i32", Code::I32, 32, Scale::None, 1, 0},
  };
  return all;
}

const Format *findFormat(std::string_view name) {
  for (const Format &format : formats())
    if (format.name == name)
      return &format;
  return nullptr;
}

const Format &formatOf(std::string_view name) {
  if (const Format *format = findFormat(name))
    return *format;
  fprintf(stderr, "gemmac: no format '%.*s'\n", int(name.size()), name.data());
  abort();
}

std::vector<std::string> formatNames(unsigned uses) {
  std::vector<std::string> names;
  for (const Format &format : formats())
    if (format.may(uses))
      names.push_back(format.name);
  return names;
}

// Both are records of the one table.
bool isMoreExact(const Format &a, const Format &b) { return &a < &b; }

bool isQuantized(std::string_view name) {
  const Format *format = findFormat(name);
  return format && format->isQuantized();
}

bool isWideProduct(const Format &weight, const Format &act) {
  return act.name == std::string_view(weight.wideAct);
}

} // namespace gemmac
