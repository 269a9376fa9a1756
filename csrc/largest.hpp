// The largest of a frame's values, eight side by side, as processors do it.

#pragma once

#include <algorithm>
#include <cstdint>

namespace ctcasr {

template <typename Float>
Float largest(const Float* values, int32_t count) {
  constexpr int32_t kSideBySide = 8;
  if (count < kSideBySide) return *std::max_element(values, values + count);
  Float most[kSideBySide];
  std::copy(values, values + kSideBySide, most);
  for (int32_t k = kSideBySide; k + kSideBySide <= count; k += kSideBySide)
    for (int32_t j = 0; j < kSideBySide; ++j) most[j] = std::max(most[j], values[k + j]);
  const Float* rest = values + count - kSideBySide;  // some of them a second time
  for (int32_t j = 0; j < kSideBySide; ++j) most[j] = std::max(most[j], rest[j]);
  return *std::max_element(most, most + kSideBySide);
}

}  // namespace ctcasr
