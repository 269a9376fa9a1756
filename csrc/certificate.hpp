// Is anything that a search has dropped more probable than what it found?
//
// ctcasr/decoding/certificate.py is the definition and explains the method.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "prefix_tree.hpp"

namespace ctcasr {

// What any labelling's future can be worth from each frame on, relative to exp(log_scale).
class Futures {
 public:
  template <typename Float>
  Futures(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank)
      : row_of_(num_symbols) {
    num_rows_ = assign_rows(log_probs, num_frames, num_symbols, blank);
    after_label_.assign((num_frames + 1) * num_rows_, 1.0);
    log_scale_.assign(num_frames + 1, 0.0);
    look_ahead(log_probs, num_frames, num_symbols, blank);
  }

  double log_scale(int64_t t) const { return log_scale_[t]; }

  // A bound on the future from frame t on, after a label in frame t - 1.
  double after_label(int64_t t, int32_t label) const {
    return after_label_[t * num_rows_ + row_of_[label]];
  }

 private:
  static constexpr double kRare = 1e-3;
  static constexpr size_t kMostRows = 256;

  // Gives each label that is ever probable a row of its own; the others share the last one. The
  // blank's row stands for the end of the text.
  template <typename Float>
  size_t assign_rows(const Float* log_probs, int64_t num_frames, int32_t num_symbols,
                     int32_t blank) {
    std::vector<std::pair<double, int32_t>> peaks;
    for (int32_t k = 0; k < num_symbols; ++k) {
      double peak = -std::numeric_limits<double>::infinity();
      for (int64_t t = 0; t < num_frames; ++t)
        peak = std::max(peak, static_cast<double>(log_probs[t * num_symbols + k]));
      if (k != blank && peak >= std::log(kRare)) peaks.emplace_back(-peak, k);
    }
    std::sort(peaks.begin(), peaks.end());
    if (peaks.size() > kMostRows) peaks.resize(kMostRows);
    const auto shared = static_cast<int32_t>(peaks.size()) + 1;
    std::fill(row_of_.begin(), row_of_.end(), shared);
    row_of_[blank] = 0;
    for (size_t i = 0; i < peaks.size(); ++i) row_of_[peaks[i].second] = static_cast<int32_t>(i) + 1;
    return static_cast<size_t>(shared) + 1;
  }

  template <typename Float>
  void look_ahead(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank) {
    const size_t n = num_rows_, shared = n - 1;
    std::vector<double> after_blank(n * n, 0.0), after_label(n * n, 0.0), probs(n), best(n), waits(n);
    after_blank[0] = 1.0;
    for (size_t k = 0; k < n; ++k) after_label[k * n] = 1.0;
    for (int64_t t = num_frames - 1; t >= 0; --t) {
      const Float* frame = log_probs + t * num_symbols;
      const double peak = *std::max_element(frame, frame + num_symbols);
      std::fill(probs.begin(), probs.end(), 0.0);
      for (int32_t k = 0; k < num_symbols; ++k)
        probs[row_of_[k]] = std::max(probs[row_of_[k]], std::exp(frame[k] - peak));
      const double of_blank = std::exp(frame[blank] - peak);
      for (size_t j = 0; j < n; ++j) {
        const double of_next = j ? probs[j] : 0.0;
        double most = 0.0, most_waiting = 0.0;
        for (size_t k = 0; k < n; ++k) {
          const double waiting = of_blank * after_blank[j * n + k];
          const double value = waiting + of_next * after_label[j * n + k];
          after_blank[j * n + k] = value;
          most = std::max(most, value);
          most_waiting = std::max(most_waiting, waiting);
        }
        best[j] = most;
        waits[j] = most_waiting;
      }
      double scale = 0.0;
      for (size_t k = 0; k < n; ++k) {
        for (size_t j = 0; j < n; ++j) {
          const double direct = j == k && k != shared ? waits[k] : best[j];
          double& value = after_label[k * n + j];
          value = probs[k] * value + direct;
          scale = std::max(scale, value);
        }
      }
      for (const double value : best) scale = std::max(scale, value);
      for (double& value : after_blank) value /= scale;
      for (size_t k = 0; k < n; ++k) {
        double later = 0.0;
        for (size_t j = 0; j < n; ++j) later = std::max(later, after_label[k * n + j] /= scale);
        after_label_[t * n + k] = later;
      }
      log_scale_[t] = log_scale_[t + 1] + peak + std::log(scale);
    }
  }

  std::vector<int32_t> row_of_;
  size_t num_rows_ = 0;
  std::vector<double> after_label_, log_scale_;
};

struct Certificate {
  std::vector<double> log_probs;  // exact, of each prefix of the tree as a whole text
  double outside_at_most;
};

template <typename Float>
Certificate certify(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank,
                    const PrefixTree& tree) {
  constexpr double kTiny = 1e-290;  // below it numbers become slow
  constexpr double kNegligible = 1e-15;  // of the best future: added up, not looked at
  const Futures futures(log_probs, num_frames, num_symbols, blank);
  const int32_t num_nodes = tree.size();
  std::vector<double> in_blank(num_nodes, 0.0), in_label(num_nodes, 0.0);
  std::vector<double> leaving(static_cast<size_t>(num_nodes) * num_symbols, 0.0);
  std::vector<double> negligible(num_nodes, 0.0), probs(num_symbols), worths(num_symbols);
  in_blank[kRootNode] = 1.0;
  double log_scale = 0.0, vanished = 0.0;
  for (int64_t t = 0; t < num_frames; ++t) {
    const Float* frame = log_probs + t * num_symbols;
    const double peak = *std::max_element(frame, frame + num_symbols);
    const double scale =
        std::exp(log_scale + peak + futures.log_scale(t + 1) - futures.log_scale(0));
    double most_worth = 0.0;
    for (int32_t k = 0; k < num_symbols; ++k) {
      probs[k] = std::exp(frame[k] - peak);
      worths[k] = k == blank ? 0.0 : probs[k] * futures.after_label(t + 1, k) * scale;
      most_worth = std::max(most_worth, worths[k]);
    }
    vanished += 2.0 * kTiny * scale;
    double largest = 0.0;
    for (int32_t node = num_nodes - 1; node >= 0; --node) {  // children before their parents
      const double blank_mass = in_blank[node], mass = blank_mass + in_label[node];
      const int32_t last = tree.label(node), parent = tree.parent(node);
      double staying = 0.0;  // mass in the last label after this frame
      if (node != kRootNode) {
        const double from =
            tree.label(parent) == last ? in_blank[parent] : in_blank[parent] + in_label[parent];
        staying = (in_label[node] + from) * probs[last];
      }
      if (mass > 0.0) {
        if (mass * most_worth < kNegligible) {
          negligible[node] += mass * most_worth;
        } else {
          double* row = &leaving[static_cast<size_t>(node) * num_symbols];
          // A repeat needs a blank; adding and subtracting would lose a small mass in blank.
          const double repeated = last >= 0 ? row[last] + blank_mass * worths[last] : 0.0;
          for (int32_t k = 0; k < num_symbols; ++k) row[k] += mass * worths[k];
          if (last >= 0) row[last] = repeated;
        }
      }
      in_blank[node] = mass * probs[blank];
      in_label[node] = staying;
      largest = std::max(largest, in_blank[node] + staying);
    }
    const double rescale = 1.0 / largest;
    for (int32_t node = 0; node < num_nodes; ++node) {
      in_blank[node] = in_blank[node] * rescale < kTiny ? 0.0 : in_blank[node] * rescale;
      in_label[node] = in_label[node] * rescale < kTiny ? 0.0 : in_label[node] * rescale;
    }
    log_scale += peak + std::log(largest);
  }
  for (int32_t node = 1; node < num_nodes; ++node)  // these edges stay in the tree
    leaving[static_cast<size_t>(tree.parent(node)) * num_symbols + tree.label(node)] = 0.0;
  Certificate certificate{std::vector<double>(num_nodes), 0.0};
  double most = vanished;
  for (int32_t node = 0; node < num_nodes; ++node) {
    certificate.log_probs[node] = std::log(in_blank[node] + in_label[node]) + log_scale;
    const double* row = &leaving[static_cast<size_t>(node) * num_symbols];
    most = std::max(
        most, *std::max_element(row, row + num_symbols) + negligible[node] + vanished);
  }
  certificate.outside_at_most = std::log(most) + futures.log_scale(0);
  return certificate;
}

}  // namespace ctcasr
