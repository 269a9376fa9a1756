// The mass of label sequences over all their paths, for the survivors of a search.
//
// ctcasr/decoding/weighing.py is the definition and explains the method. Prefixes are numbered in
// the order in which the search met them, so those that have mass in a frame lie close together:
// only the window that holds them is gone through.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "floats.hpp"
#include "prefix_tree.hpp"

namespace ctcasr {

class Weighing {
 public:
  // `nodes` are the prefixes to weigh.
  Weighing(const PrefixTree& tree, const std::vector<int32_t>& nodes) {
    std::vector<int32_t> place(tree.size(), -1);  // at first 0 for those that are wanted
    for (int32_t node : nodes)
      for (; node >= 0 && place[node] < 0; node = tree.parent(node)) place[node] = 0;
    int32_t at = 0;
    for (int32_t node = 0; node < tree.size(); ++node) {
      if (place[node] < 0) continue;
      place[node] = at;
      const int32_t parent = node == kRootNode ? 0 : place[tree.parent(node)];
      const bool repeats = parent && tree.label(node) == tree.label(tree.parent(node));
      prefixes_.push_back({2 * parent + repeats, tree.label(node)});
      furthest_.push_back(at);
      furthest_[parent] = at++;
    }
    for (size_t k = 1; k < furthest_.size(); ++k)
      furthest_[k] = std::max(furthest_[k], furthest_[k - 1]);
    for (const int32_t node : nodes) places_.push_back(place[node]);
  }

  // The log-mass of each prefix as a whole text. `peaks` are the largest values of all frames.
  template <typename Float>
  std::vector<double> weigh(const Float* log_probs, int64_t num_frames, const double* peaks,
                            int32_t num_symbols, int32_t blank) {
    begin(num_symbols);
    double log_peaks = 0.0, scale = 1.0;  // the next frame multiplies all masses by this
    int64_t exponent = 0;                 // they are counted in units of exp(log_peaks) 2^exponent
    int power = 0;
    for (int64_t t = 0; t < num_frames; ++t) {
      const Float* frame = log_probs + t * num_symbols;
      const double peak = peaks[t];
      log_peaks += peak;
      exponent += power;
      widen();
      const auto prob = [&](int32_t label) { return exp_below_one(frame[label] - peak) * scale; };
      for (const int32_t label : labels_) probs_[label] = prob(label);
      const double most = step(prob(blank));
      if (most < kTiny) return std::vector<double>(places_.size(), kForbidden);
      narrow(kNegligible * most);
      power = exponent_of(most);
      scale = power_of_two(-power);
    }
    const double log_scale = log_peaks + static_cast<double>(exponent) * kLn2;
    std::vector<double> weighed;
    for (const int32_t at : places_) weighed.push_back(std::log(sums_[2 * at]) + log_scale);
    return weighed;
  }

 private:
  static constexpr double kNegligible = 1e-12;
  static constexpr double kTiny = 1e-290;  // below it numbers lose their digits

  struct Prefix {
    int32_t source;  // in `sums_`: the mass of its parent that it can take up
    int32_t label;   // the root's is a column of its own, without probability
  };

  void begin(int32_t num_symbols) {
    prefixes_[0].label = num_symbols;
    probs_.assign(static_cast<size_t>(num_symbols) + 1, 0.0);
    num_with_.assign(num_symbols, 0);
    sums_.assign(2 * prefixes_.size(), 0.0);
    in_label_.assign(prefixes_.size(), 0.0);
    sums_[0] = sums_[1] = 1.0;
  }

  // Goes on by one frame; returns the largest mass after it. Two prefixes at a time have maxima of
  // their own, so that neither waits for the other.
  double step(double of_blank) {
    const auto go_on = [&](size_t at) {
      const Prefix prefix = prefixes_[at];
      const double in_blank = sums_[2 * at] * of_blank;
      const double in_label = (in_label_[at] + sums_[prefix.source]) * probs_[prefix.label];
      in_label_[at] = in_label;
      sums_[2 * at + 1] = in_blank;
      return sums_[2 * at] = in_blank + in_label;
    };
    double most = 0.0, other = 0.0;
    size_t at = stop_;  // children before their parents
    if ((stop_ - first_) % 2) most = go_on(--at);
    for (; at > first_; at -= 2) {
      most = std::max(most, go_on(at - 1));
      other = std::max(other, go_on(at - 2));
    }
    return std::max(most, other);
  }

  // Lets those into the window that mass can flow into.
  void widen() {
    for (const auto stop = static_cast<size_t>(furthest_[stop_ - 1]) + 1; stop_ < stop; ++stop_) {
      const int32_t label = prefixes_[stop_].label;
      if (!num_with_[label]++) labels_.push_back(label);
    }
  }

  // Drops what is negligible at both ends of the window.
  void narrow(double least) {
    while (sums_[2 * first_] < least) drop(first_++);
    while (sums_[2 * (stop_ - 1)] < least) drop(--stop_);
  }

  void drop(size_t at) {
    in_label_[at] = sums_[2 * at] = sums_[2 * at + 1] = 0.0;
    const int32_t label = prefixes_[at].label;
    if (at && !--num_with_[label]) labels_.erase(std::find(labels_.begin(), labels_.end(), label));
  }

  std::vector<Prefix> prefixes_;   // those to weigh and all that lead to them
  std::vector<int32_t> furthest_;  // the last child of each prefix and of all before it
  std::vector<int32_t> places_;    // of those to weigh
  std::vector<double> sums_;       // of each prefix: its mass, then that of its paths in blank
  std::vector<double> in_label_;   // of the paths in its last label
  size_t first_ = 0, stop_ = 1;    // the window
  std::vector<double> probs_;      // of the labels in this frame
  std::vector<int32_t> labels_;    // in the window
  std::vector<int32_t> num_with_;  // prefixes in the window that end in a label
};

}  // namespace ctcasr
