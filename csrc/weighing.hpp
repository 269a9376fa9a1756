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

#include "largest.hpp"
#include "prefix_tree.hpp"

namespace ctcasr {

class Weighing {
 public:
  // `nodes` are the prefixes to weigh.
  Weighing(const PrefixTree& tree, const std::vector<int32_t>& nodes) {
    std::vector<int32_t> wanted;
    std::vector<char> is_wanted(tree.size(), 0);
    for (int32_t node : nodes)
      for (; node >= 0 && !is_wanted[node]; node = tree.parent(node)) {
        is_wanted[node] = 1;
        wanted.push_back(node);
      }
    std::sort(wanted.begin(), wanted.end());
    std::vector<int32_t> place(tree.size(), -1);
    for (const int32_t node : wanted) {
      const auto at = static_cast<int32_t>(prefixes_.size());
      place[node] = at;
      const int32_t parent = node == kRootNode ? 0 : place[tree.parent(node)];
      const bool repeats = parent && tree.label(node) == tree.label(tree.parent(node));
      prefixes_.push_back({parent, tree.label(node), repeats, at});
      if (at) prefixes_[parent].furthest = at;
    }
    for (size_t at = 1; at < prefixes_.size(); ++at)
      prefixes_[at].furthest = std::max(prefixes_[at].furthest, prefixes_[at - 1].furthest);
    masses_.resize(prefixes_.size());
    masses_[0].in_blank = 1.0;
    for (const int32_t node : nodes) places_.push_back(place[node]);
  }

  // The log-mass of each prefix as a whole text.
  template <typename Float>
  std::vector<double> weigh(const Float* log_probs, int64_t num_frames, int32_t num_symbols,
                            int32_t blank) {
    std::vector<double> probs(num_symbols);
    std::vector<int64_t> probs_frame(num_symbols, -1);
    size_t first = 0, stop = 1;
    double log_scale = 0.0, rescale = 1.0;
    for (int64_t t = 0; t < num_frames; ++t) {
      const Float* frame = log_probs + t * num_symbols;
      const double peak = largest(frame, num_symbols);
      const double of_blank = std::exp(frame[blank] - peak);
      stop = static_cast<size_t>(prefixes_[stop - 1].furthest) + 1;
      double most = 0.0;
      for (size_t at = stop - 1; at + 1 > first; --at) {  // children before their parents
        const Prefix& prefix = prefixes_[at];
        Mass& mass = masses_[at];
        const double sum = mass.in_blank + mass.in_label;
        if (at) {
          if (probs_frame[prefix.label] != t) {
            probs_frame[prefix.label] = t;
            probs[prefix.label] = std::exp(frame[prefix.label] - peak);
          }
          const Mass& from = masses_[prefix.parent];
          const double arriving = from.in_blank + (prefix.repeats ? 0.0 : from.in_label);
          mass.in_label = (mass.in_label + arriving) * probs[prefix.label];
        }
        mass.in_blank = sum * of_blank;
        most = std::max(most, mass.in_blank + mass.in_label);
      }
      if (most < kTiny) return std::vector<double>(places_.size(), kForbidden);
      rescale = 1.0 / most;
      const double least = kNegligible * most;
      for (size_t at = first; at < stop; ++at) {
        Mass& mass = masses_[at];
        const double kept = mass.in_blank + mass.in_label >= least ? rescale : 0.0;
        mass.in_blank *= kept;
        mass.in_label *= kept;
      }
      while (masses_[first].is_zero()) ++first;
      while (masses_[stop - 1].is_zero()) --stop;
      log_scale += peak + std::log(most);
    }
    std::vector<double> weighed;
    for (const int32_t place : places_)
      weighed.push_back(std::log(masses_[place].in_blank + masses_[place].in_label) + log_scale);
    return weighed;
  }

 private:
  static constexpr double kNegligible = 1e-12;
  static constexpr double kTiny = 1e-290;  // below it numbers lose their digits

  struct Prefix {
    int32_t parent, label;
    bool repeats;      // the parent's last label, so that it needs a blank between
    int32_t furthest;  // the last child of this prefix or any before it
  };

  // Of the paths that end in blank, or in the prefix's last label.
  struct Mass {
    double in_blank = 0.0, in_label = 0.0;
    bool is_zero() const { return in_blank == 0.0 && in_label == 0.0; }
  };

  std::vector<Prefix> prefixes_;  // those to weigh and all that lead to them
  std::vector<Mass> masses_;
  std::vector<int32_t> places_;  // of those to weigh
};

}  // namespace ctcasr
