// Floating-point numbers without a call: exp, and powers of two. Where few prefixes are looked at,
// these are much of what a frame costs.

#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ctcasr {

inline uint64_t bits_of(double value) {  // in the same order, where none is negative
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline double from_bits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// That of the power of two next above a positive number, unless it is too small to be a normal one.
inline int exponent_of(double value) { return static_cast<int>(bits_of(value) >> 52) - 1022; }

// 2^exponent, from -1022 to 1023.
inline double power_of_two(int exponent) {
  return from_bits(static_cast<uint64_t>(1023 + exponent) << 52);
}

// 2^(i / 128) as bits, less those that i has when it is shifted by kShift.
struct PowersOfTwo {
  static constexpr int kFractionBits = 7, kShift = 52 - kFractionBits;
  std::array<uint64_t, 1 << kFractionBits> bits;

  PowersOfTwo() {
    for (uint64_t i = 0; i < bits.size(); ++i)
      bits[i] = bits_of(std::exp2(static_cast<double>(i) / bits.size())) - (i << kShift);
  }
};
inline const PowersOfTwo kPowersOfTwo;

// exp(x) of an x that is at most 0, to one unit in the last place.
//
// It is 2^(k / 128) exp(r), k being the integer next to 128 x / ln 2: the power is looked up, and five
// terms of the series leave out 1e-18, as |r| <= ln 2 / 256. Source: Tang 1989, "Table-driven
// implementation of the exponential function in IEEE floating-point arithmetic", ACM TOMS 15(2).
inline double exp_below_one(double x) {
  constexpr double kLowest = -708.0;                                        // less is no normal number
  constexpr double kRound = 0x1.8p52;                                       // added, leaves an integer
  constexpr double kPerUnit = 0x1.71547652b82fep7;                          // 128 / ln 2
  constexpr double kHigh = 0x1.62e42fefap-8, kLow = 0x1.cf79abc9e3b3ap-47;  // ln 2 / 128
  if (!(x > kLowest)) return std::exp(x);
  const double shifted = x * kPerUnit + kRound;
  const double k = shifted - kRound;
  const double r = (x - k * kHigh) - k * kLow;
  const double series = r + r * r * (0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120))));
  const uint64_t place = bits_of(shifted);
  const auto& powers = kPowersOfTwo.bits;
  const double power = from_bits(powers[place % powers.size()] + (place << PowersOfTwo::kShift));
  return power + power * series;
}

}  // namespace ctcasr
