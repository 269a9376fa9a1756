// Forced alignment: the frames of each label of a known sequence.
//
// ctcasr/decoding/align.py is the definition and explains the method; here one sequence is aligned
// at a time.

#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace ctcasr {

// First frame and last frame + 1.
using Span = std::pair<int64_t, int64_t>;

// The best path through the lattice of one label sequence: blank, label 1, blank, ..., blank.
template <typename Float>
class Aligner {
 public:
  static constexpr int64_t kBlock = 1024;  // frames between stored scores

  // `log_probs` are `num_frames` rows of natural logs; they are read while the aligner is used.
  Aligner(const Float* log_probs, int64_t num_frames, int32_t num_symbols, int32_t blank,
          const std::vector<int32_t>& labels, int64_t block = kBlock)
      : log_probs_(log_probs),
        num_frames_(num_frames),
        num_symbols_(num_symbols),
        num_states_(2 * static_cast<int64_t>(labels.size()) + 1),
        block_(block),
        symbols_(num_states_, blank),
        skip_penalty_(num_states_, kImpossible) {
    for (size_t k = 0; k < labels.size(); ++k) {
      symbols_[2 * k + 1] = labels[k];
      if (k && labels[k] != labels[k - 1]) skip_penalty_[2 * k + 1] = 0.0;
    }
  }

  // The frames of each label; nothing where they have a probability of zero.
  std::optional<std::vector<Span>> spans() const {
    std::vector<std::vector<double>> stored;
    std::vector<double> score(num_states_, kImpossible), next(num_states_);
    score[0] = 0.0;  // before the first frame, as if in the first blank
    for (int64_t t = 0; t < num_frames_; ++t) {
      if (t % block_ == 0) stored.push_back(score);
      advance(score, next, t, 0, nullptr);
    }
    int64_t state = num_states_ - 1;
    if (state > 0 && score[state - 1] > score[state]) --state;
    if (score[state] == kImpossible) return std::nullopt;

    std::vector<Span> spans(num_states_ / 2);
    for (; !stored.empty(); stored.pop_back()) {
      const auto from = (static_cast<int64_t>(stored.size()) - 1) * block_;
      trace(stored.back(), from, std::min(from + block_, num_frames_), state, spans);
    }
    return spans;
  }

 private:
  static constexpr double kImpossible = -std::numeric_limits<double>::infinity();

  // Goes on by frame t with the scores of the states from `lowest` on; notes in `moves`, where it
  // is given, how many states forward each has come.
  void advance(std::vector<double>& score, std::vector<double>& next, int64_t t, int64_t lowest,
               uint8_t* moves) const {
    const Float* frame = log_probs_ + t * num_symbols_;
    const int32_t* symbols = symbols_.data() + lowest;
    const double* skip_penalty = skip_penalty_.data() + lowest;
    const auto width = static_cast<int64_t>(score.size());
    for (int64_t s = 0; s < width; ++s) {
      const double by_one = s > 0 ? score[s - 1] : kImpossible;
      const double by_two = s > 1 ? score[s - 2] + skip_penalty[s] : kImpossible;
      const double near = std::max(score[s], by_one);
      if (moves) moves[s] = by_two > near ? 2 : by_one > score[s];
      next[s] = std::max(near, by_two) + frame[symbols[s]];
    }
    score.swap(next);
  }

  // Follows the best path through the frames from..to back from `state`, which is left as that of
  // the frame before; marks what it passes in `spans`.
  void trace(const std::vector<double>& stored, int64_t from, int64_t to, int64_t& state,
             std::vector<Span>& spans) const {
    const int64_t num_moves = 2 * (to - from);  // states that a path can pass at most
    const int64_t width = std::min(num_states_, num_moves + 1);
    const int64_t lowest = std::clamp<int64_t>(state - num_moves, 0, num_states_ - width);
    std::vector<double> score(stored.begin() + lowest, stored.begin() + lowest + width);
    std::vector<double> next(width);
    std::vector<uint8_t> moves((to - from) * width);
    for (int64_t t = from; t < to; ++t)
      advance(score, next, t, lowest, &moves[(t - from) * width]);
    for (int64_t t = to - 1; t >= from; --t) {
      if (state % 2) {
        auto& [start, stop] = spans[state / 2];
        start = t;
        if (stop == 0) stop = t + 1;
      }
      state -= moves[(t - from) * width + state - lowest];
    }
  }

  const Float* log_probs_;
  int64_t num_frames_;
  int32_t num_symbols_;
  int64_t num_states_, block_;
  std::vector<int32_t> symbols_;      // the column that a state reads
  std::vector<double> skip_penalty_;  // 0 where the state before may be skipped, else -inf
};

}  // namespace ctcasr
