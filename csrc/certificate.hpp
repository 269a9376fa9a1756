// An upper bound on the probability of every labelling that a search has dropped.
//
// ctcasr/decoding/certificate.py is the definition and explains the method.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "prefix_tree.hpp"

namespace ctcasr {

class Losses {
 public:
  template <typename Float>
  Losses(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank)
      : row_of_(num_symbols) {
    const size_t num_rows = assign_rows(log_probs, num_frames, num_symbols, blank);
    later_blank_.assign(num_frames + 1, 1.0);
    later_label_.assign((num_frames + 1) * num_rows, 1.0);
    log_scale_.assign(num_frames + 1, 0.0);
    num_rows_ = num_rows;
    look_ahead(log_probs, num_frames, num_symbols, blank);
    small_ = kSmall * later_blank_[0];
  }

  // What follows is dropped by the pruning of frame `t`, 1 being the first; its masses are relative
  // to exp(log_scale).
  void begin_frame(int64_t t, double log_scale) {
    frame_ = t;
    scale_ = std::exp(log_scale + log_scale_[t] - log_scale_[0]);
  }

  // Returns whether the loss of an extension is noted by itself; if not, it has been noted.
  bool matters(int32_t label, double mass) {
    const double loss = mass * scale_ * later_label_[frame_ * num_rows_ + row_of_[label]];
    if (loss > small_) return true;
    rest_ = std::max(rest_, loss);
    return false;
  }

  void drop_extension(int32_t node, int32_t label, double mass) {
    const uint64_t key = (static_cast<uint64_t>(node) << 32) | static_cast<uint32_t>(label);
    lost_extensions_[key] +=
        mass * scale_ * later_label_[frame_ * num_rows_ + row_of_[label]];
  }

  void end_of_extensions(int32_t node) {
    lose(node, rest_);
    rest_ = 0.0;
  }

  void drop_prefix(int32_t node, double in_blank, double in_label, int32_t last) {
    double future = in_blank * later_blank_[frame_];
    if (last >= 0) future += in_label * later_label_[frame_ * num_rows_ + row_of_[last]];
    lose(node, future * scale_);
  }

  // `rivals`: the prefixes that ended in the beam, without the best, and their log-probabilities.
  double bound(const PrefixTree& tree,
               const std::vector<std::pair<int32_t, double>>& rivals) const {
    auto extensions = lost_extensions_;
    std::vector<double> total(tree.size());
    double most = 0.0;
    for (int32_t node = 0; node < tree.size(); ++node) {
      if (node != kRootNode) {
        total[node] = total[tree.parent(node)];
        const uint64_t key = (static_cast<uint64_t>(tree.parent(node)) << 32) |
                             static_cast<uint32_t>(tree.label(node));
        const auto lost = extensions.find(key);
        if (lost != extensions.end()) {
          total[node] += lost->second;
          extensions.erase(lost);
        }
      }
      if (node < static_cast<int32_t>(lost_.size())) total[node] += lost_[node];
      most = std::max(most, total[node]);
    }
    for (const auto& [key, loss] : extensions)  // these never became a node
      most = std::max(most, total[key >> 32] + loss);
    for (const auto& [node, log_mass] : rivals)
      most = std::max(most, std::exp(log_mass - log_scale_[0]) + total[node]);
    most += kUnderflow * static_cast<double>(frame_);
    return most > 0.0 ? std::log(most) + log_scale_[0] : -std::numeric_limits<double>::infinity();
  }

 private:
  static constexpr double kRare = 1e-3;
  static constexpr size_t kMostRows = 256;
  static constexpr double kSmall = 1e-7;
  static constexpr double kUnderflow = 1e-300;

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
      double most = 0.0;
      for (double& value : after_blank) most = std::max(most, value /= scale);
      for (size_t k = 0; k < n; ++k) {
        double later = 0.0;
        for (size_t j = 0; j < n; ++j) later = std::max(later, after_label[k * n + j] /= scale);
        later_label_[t * n + k] = later;
      }
      later_blank_[t] = most;
      log_scale_[t] = log_scale_[t + 1] + peak + std::log(scale);
    }
  }

  void lose(int32_t node, double mass) {
    if (mass <= 0.0) return;
    if (node >= static_cast<int32_t>(lost_.size())) lost_.resize(node + 1, 0.0);
    lost_[node] += mass;
  }

  std::vector<int32_t> row_of_;
  size_t num_rows_ = 0;
  std::vector<double> later_blank_, later_label_, log_scale_;
  std::vector<double> lost_;
  std::unordered_map<uint64_t, double> lost_extensions_;
  int64_t frame_ = 0;
  double scale_ = 1.0, rest_ = 0.0, small_ = 0.0;
};

}  // namespace ctcasr
