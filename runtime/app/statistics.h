// The numbers that describe repeated measurements.
#pragma once

#include <vector>

namespace gm {

struct Summary {
  double mean = 0;
  double deviation = 0; // of a sample (n - 1); 0 of one value
  double median = 0;    // of an even number: the mean of the two in the middle
  double least = 0, most = 0;
};

// All 0 of no values.
Summary summarize(std::vector<double> values);

} // namespace gm
