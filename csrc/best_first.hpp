// Best-first search over prefixes: the most probable label sequence, proven.
//
// ctcasr/decoding/best_first.py is the definition and explains the method; names and cases here are
// the same. What is different is how masses are kept: not as logs, but as numbers with a power of
// 2^256 beside them, so that a step is two products and no exp.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <queue>
#include <vector>

#include "certificate.hpp"

namespace ctcasr {

struct Proof {
  std::vector<int32_t> labels;  // the best complete labelling that was seen
  double value;                 // its log-probability
  double bound;                 // no labelling has a larger one than this
  bool is_proven;
  int64_t num_opened;
};

template <typename Float>
class BestFirst {
 public:
  // Nats; a labelling that is better by less is not looked for.
  static constexpr double kRounding = 1e-10;

  // Whether numbers can hold what is in a frame: none may be too small for that, but zero may.
  static bool fits(const Float* log_probs, int64_t num_frames, int32_t num_symbols) {
    for (int64_t t = 0; t < num_frames; ++t) {
      const Float* frame = log_probs + t * num_symbols;
      const double least = *std::max_element(frame, frame + num_symbols) - kDeepest;
      for (int32_t k = 0; k < num_symbols; ++k)
        if (frame[k] < least && std::isfinite(frame[k])) return false;
    }
    return true;
  }

  BestFirst(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank)
      : num_frames_(num_frames),
        num_symbols_(num_symbols),
        blank_(blank),
        probs_(static_cast<size_t>(num_frames) * num_symbols),
        worths_(probs_.size()),
        most_worth_(num_frames),
        ahead_(num_frames) {
    const Futures futures(log_probs, num_frames, num_symbols, blank);
    double peaks_ahead = 0.0;
    for (int64_t t = num_frames - 1; t >= 0; --t) {
      const Float* frame = log_probs + t * num_symbols;
      const double peak = *std::max_element(frame, frame + num_symbols);
      ahead_[t] = scaled(futures.log_scale(t + 1) - peaks_ahead);
      peaks_ahead += peak;
      for (int32_t k = 0; k < num_symbols; ++k) {
        const double prob = std::exp(frame[k] - peak);
        prob_at(t, k) = prob;
        const double worth = k == blank ? 0.0 : prob * futures.after_label(t + 1, k);
        worths_[t * num_symbols + k] = worth;
        most_worth_[t] = std::max(most_worth_[t], worth);
      }
    }
    peaks_ = peaks_ahead;
  }

  // Opens `max_work` frames times prefixes; only a first descent may open more. Labellings that are
  // not more probable than `least`, if given, are not looked for, and then there is no descent.
  Proof search(int64_t max_work, double least = kForbidden) {
    least -= peaks_;
    opened_.clear();
    opened_.push_back(nothing_said());
    std::priority_queue<Child> children;
    std::vector<double> bounds(num_symbols_);
    int32_t best = 0, prefix = 0;
    int64_t count = 0;
    bool descending = least == kForbidden;
    for (int64_t num_opened = 1;; ++num_opened) {
      const double enough = std::max(opened_[best].value, least) + kRounding;
      bound_children(opened_[prefix], bounds);
      const auto likeliest = std::max_element(bounds.begin(), bounds.end());
      descending = descending && *likeliest > enough;
      if (descending) *likeliest = std::numeric_limits<double>::infinity();
      for (int32_t k = 0; k < num_symbols_; ++k)
        if (bounds[k] > enough)
          children.push({bounds[k], opened_[prefix].depth, count++, k, prefix});
      const double top = children.empty() ? kForbidden : children.top().bound;
      const bool is_proven = top <= enough;
      if (is_proven || (num_opened * num_frames_ >= max_work && !descending))
        return {labels_of(best), opened_[best].value + peaks_, std::max(top, enough) + peaks_,
                is_proven, num_opened};
      const Child child = children.top();
      children.pop();
      opened_.push_back(extend(opened_[child.parent], child));
      prefix = static_cast<int32_t>(opened_.size()) - 1;
      if (opened_[prefix].value > opened_[best].value) best = prefix;
    }
  }

 private:
  // Nats below a frame's peak. A bound drops frames whose mass is 2^-768 or less of the largest;
  // with nothing deeper than this, no label can make up for that in them.
  static constexpr double kDeepest = 150.0;
  static constexpr double kNegligible = 1e-18;  // of what a bound sums up: added, not looked at
  static constexpr int kBits = 256;

  // A number times 2^(kBits * block).
  struct Scaled {
    double number = 0.0;
    int32_t block = 0;
  };

  static Scaled scaled(double log) {
    const auto block = static_cast<int32_t>(std::lround(log / (kBits * kLn2)));
    return {std::exp(log - block * (kBits * kLn2)), block};
  }

  // 2^(kBits * blocks) for blocks of at most 0.
  static double power(int32_t blocks) {
    return blocks == 0 ? 1.0 : blocks < -3 ? 0.0 : std::ldexp(1.0, kBits * blocks);
  }

  // Of the paths that read a prefix, before the first frame and after each: those that end in
  // blank, and all.
  struct Mass {
    double in_blank, sum;
    int32_t block;
  };

  struct Opened {
    int32_t parent, label, depth;
    std::vector<Mass> masses;
    double value;  // its log-probability as a whole text
  };

  struct Child {
    double bound;
    int32_t depth;
    int64_t count;  // the older of two equals goes first
    int32_t label, parent;

    bool operator<(const Child& other) const {
      if (bound != other.bound) return bound < other.bound;
      if (depth != other.depth) return depth < other.depth;
      return count > other.count;
    }
  };

  double& prob_at(int64_t t, int32_t k) { return probs_[t * num_symbols_ + k]; }

  static double log_of(const Mass& mass) {
    return mass.sum > 0.0 ? std::log(mass.sum) + mass.block * (kBits * kLn2) : kForbidden;
  }

  // Moves a number and its companion back to where floats are precise.
  static void settle(double& one, double& other, int32_t& block) {
    constexpr double kUp = 0x1p256, kDown = 0x1p-256, kLow = 0x1p-128, kHigh = 0x1p128;
    while (one + other > 0.0 && one + other < kLow) {
      one *= kUp;
      other *= kUp;
      --block;
    }
    if (one + other > kHigh) {
      one *= kDown;
      other *= kDown;
      ++block;
    }
  }

  Opened nothing_said() {
    Opened root{-1, -1, 0, {}, 0.0};
    double in_blank = 1.0, none = 0.0;
    int32_t block = 0;
    root.masses.push_back({1.0, 1.0, 0});
    for (int64_t t = 0; t < num_frames_; ++t) {
      in_blank *= prob_at(t, blank_);
      settle(in_blank, none, block);
      root.masses.push_back({in_blank, in_blank, block});
    }
    root.value = log_of(root.masses.back());
    return root;
  }

  Opened extend(const Opened& parent, const Child& child) {
    Opened opened{child.parent, child.label, child.depth + 1, {}, 0.0};
    opened.masses.reserve(num_frames_ + 1);
    opened.masses.push_back({0.0, 0.0, 0});
    const bool is_repeat = parent.label == child.label;
    double in_blank = 0.0, in_label = 0.0;
    int32_t block = 0;
    for (int64_t t = 0; t < num_frames_; ++t) {
      const Mass& from = parent.masses[t];
      double arriving = is_repeat ? from.in_blank : from.sum;
      if (arriving > 0.0 && from.block != block) {
        if (in_blank + in_label == 0.0) {
          block = from.block;
        } else if (from.block > block) {
          const double down = power(block - from.block);
          in_blank *= down;
          in_label *= down;
          block = from.block;
        } else {
          arriving *= power(from.block - block);
        }
      }
      const double after_blank = prob_at(t, blank_) * (in_blank + in_label);
      in_label = prob_at(t, child.label) * (arriving + in_label);
      in_blank = after_blank;
      settle(in_blank, in_label, block);
      opened.masses.push_back({in_blank, in_blank + in_label, block});
    }
    opened.value = log_of(opened.masses.back());
    return opened;
  }

  // Bounds on the value of every labelling that begins with a prefix and a label.
  void bound_children(const Opened& prefix, std::vector<double>& bounds) {
    weights_.assign(num_frames_, 0.0);
    int32_t block = std::numeric_limits<int32_t>::min();
    for (int64_t t = 0; t < num_frames_; ++t)
      if (prefix.masses[t].sum > 0.0)
        block = std::max(block, prefix.masses[t].block + ahead_[t].block);
    double most = 0.0;
    for (int64_t t = 0; t < num_frames_; ++t) {
      const Mass& mass = prefix.masses[t];
      if (mass.sum <= 0.0) continue;
      const double scale = ahead_[t].number * power(mass.block + ahead_[t].block - block);
      weights_[t] = scale;
      most = std::max(most, mass.sum * scale * most_worth_[t]);
    }
    std::fill(bounds.begin(), bounds.end(), 0.0);
    double negligible = 0.0, repeated = 0.0;
    for (int64_t t = 0; t < num_frames_; ++t) {
      const Mass& mass = prefix.masses[t];
      const double weight = mass.sum * weights_[t];
      if (weight * most_worth_[t] < kNegligible * most) {
        negligible += weight * most_worth_[t];
        continue;
      }
      const double* worths = &worths_[t * num_symbols_];
      for (int32_t k = 0; k < num_symbols_; ++k) bounds[k] += weight * worths[k];
      if (prefix.label >= 0) repeated += mass.in_blank * weights_[t] * worths[prefix.label];
    }
    if (prefix.label >= 0) bounds[prefix.label] = repeated;  // a repeat needs a blank between
    for (double& bound : bounds) {
      bound += negligible;
      bound = bound > 0.0 ? std::log(bound) + block * (kBits * kLn2) : kForbidden;
    }
    bounds[blank_] = kForbidden;
  }

  std::vector<int32_t> labels_of(int32_t prefix) const {
    std::vector<int32_t> labels;
    for (; opened_[prefix].parent >= 0; prefix = opened_[prefix].parent)
      labels.push_back(opened_[prefix].label);
    std::reverse(labels.begin(), labels.end());
    return labels;
  }

  int64_t num_frames_;
  int32_t num_symbols_, blank_;
  std::vector<double> probs_;   // (T, V), relative to each frame's peak
  std::vector<double> worths_;  // what saying a label in a frame, and all after it, is worth at most
  std::vector<double> most_worth_;
  std::vector<Scaled> ahead_;  // what worths are relative to
  double peaks_ = 0.0;
  std::vector<Opened> opened_;
  std::vector<double> weights_;
};

}  // namespace ctcasr
