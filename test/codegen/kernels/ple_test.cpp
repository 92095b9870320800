// ple_finish on gathered rows of quantised tables, against double.
#include "test/codegen/kernels/KernelRunner.h"

#include <cmath>
#include <cstring>

using namespace gemmac;

namespace {

class Ple : public KernelTest {};
GEMMAC_ALL_TARGETS(Ple);

// Rows of every format, in both row classes and in two ranges.
TEST_P(Ple, Quantized) {
  for (const char *format : {"q8_0", "q4_0", "q4_bf"})
    for (int64_t p : {32, 96, 256}) {
      const int64_t layers = 5, rows = 3, width = layers * p;
      const Layout &layout = rowsLayout(format);
      const bool eight = std::string(format) == "q8_0";
      std::vector<double> c = randomNumbers(random, size_t(rows * width)),
                          w = randomNumbers(random, size_t(p)),
                          t(size_t(rows * width));
      Bytes token(size_t(layout.bytes(rows, width)), 0);
      for (int64_t b = 0; b < rows * width / 32; ++b) {
        uint8_t *to = &token[size_t(b * layout.blockBytes)];
        // 1.5 * 2^-3, in f16 and in bf16.
        uint16_t bits = layout.format == "q4_bf" ? 0x3e40 : 0x3200;
        memcpy(to, &bits, 2);
        for (int i = 0; i < 32; ++i) {
          int code = int(random() % (eight ? 255 : 16)) - (eight ? 127 : 8);
          t[size_t(b * 32 + i)] = 0.1875 * code;
          if (eight)
            to[2 + i] = uint8_t(int8_t(code));
          else
            to[2 + i % 16] |= uint8_t((code + 8) << (i < 16 ? 0 : 4));
        }
      }
      Bytes cs = makeRows(c, rows, width, "f32", 8),
            ws = makeWeight(w, 1, p, rowsLayout("f32"));
      for (RowClass cls : {RowClass::Few, RowClass::Many}) {
        KernelSpec spec{"ple_finish", cls, {}};
        spec.constants.set("p", p).set("eps", 1e-6).set("format", format);
        spec.constants.set("token_scale", 16.0).set("scale", 0.5);
        KernelRunner runner(spec, GetParam());
        Bytes y = makeNan(8 * rowBytes("f32", width));
        int32_t units = int32_t(cls == RowClass::Few ? layers : rows);
        for (auto [begin, end] : {std::pair(0, 1), {1, units}})
          runner.run(
              {{"context", &cs}, {"token", &token}, {"w", &ws}, {"y", &y}},
              {{"rows", rows},
               {"layers", layers},
               {"begin", begin},
               {"end", end}});
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < width; ++j) {
            double sum = 0;
            for (int64_t i = j / p * p; i < j / p * p + p; ++i)
              sum += c[size_t(r * width + i)] * c[size_t(r * width + i)];
            double want = (c[size_t(r * width + j)] * w[size_t(j % p)] /
                               std::sqrt(sum / double(p) + 1e-6) +
                           16 * t[size_t(r * width + j)]) *
                          0.5;
            ASSERT_NEAR(readElement(y, r, j, rowStride("f32", width), "f32"),
                        want, 2e-6 * (1 + std::abs(want)))
                << format << " p " << p << " row " << r << " column " << j;
          }
      }
    }
}

} // namespace
