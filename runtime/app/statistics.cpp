// See statistics.h.
#include "runtime/app/statistics.h"

#include <algorithm>
#include <cmath>

namespace gm {

Summary summarize(std::vector<double> values) {
  Summary s;
  if (values.empty())
    return s;
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  s.least = values.front();
  s.most = values.back();
  s.median = (values[(n - 1) / 2] + values[n / 2]) / 2;
  for (double x : values)
    s.mean += x / double(n);
  double squares = 0;
  for (double x : values)
    squares += (x - s.mean) * (x - s.mean);
  s.deviation = n > 1 ? std::sqrt(squares / double(n - 1)) : 0;
  return s;
}

} // namespace gm
