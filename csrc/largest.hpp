// The largest and the smallest of many values, eight side by side, as processors do it.

#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace ctcasr {

// `more(a, b)` is the one of two values that is looked for, `least` what there is without values.
template <typename Float, typename More>
Float most_of(const Float* values, int32_t count, Float least, const More& more) {
  constexpr int32_t kSideBySide = 8;
  if (count < kSideBySide) {
    for (int32_t k = 0; k < count; ++k) least = more(least, values[k]);
    return least;
  }
  Float most[kSideBySide];
  std::copy(values, values + kSideBySide, most);
  for (int32_t k = kSideBySide; k + kSideBySide <= count; k += kSideBySide)
    for (int32_t j = 0; j < kSideBySide; ++j) most[j] = more(most[j], values[k + j]);
  const Float* rest = values + count - kSideBySide;  // some of them a second time
  for (int32_t j = 0; j < kSideBySide; ++j) most[j] = more(most[j], rest[j]);
  for (int32_t j = 1; j < kSideBySide; ++j) most[0] = more(most[0], most[j]);
  return most[0];
}

// Minus infinity where there are no values.
template <typename Float>
Float largest(const Float* values, int32_t count) {
  return most_of(values, count, -std::numeric_limits<Float>::infinity(),
                 [](Float a, Float b) { return a < b ? b : a; });
}

// Infinity where there are no values.
template <typename Float>
Float smallest(const Float* values, int32_t count) {
  return most_of(values, count, std::numeric_limits<Float>::infinity(),
                 [](Float a, Float b) { return b < a ? b : a; });
}

}  // namespace ctcasr
