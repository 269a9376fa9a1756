// CTC prefix beam search over one item.
//
// ctcasr/decoding/search.py is the definition and explains the method. What is different here is
// only how little is looked at: a frame's symbols are sorted by probability, and a prefix is
// extended by them until they fall below what can survive.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "certificate.hpp"
#include "context.hpp"
#include "prefix_tree.hpp"
#include "weighing.hpp"

namespace ctcasr {

struct Pruning {
  int32_t num_symbols = 0;
  int32_t blank = 0;
  int32_t beam = 16;
  double threshold = 0.0;
  double label_threshold = 0.0;
};

struct Found {
  std::vector<int32_t> labels;
  double log_prob;
  double ctc_log_prob;
};

class PrefixSearch {
 public:
  PrefixSearch(const Pruning& pruning, const Context* context)
      : pruning_(pruning),
        context_(context),
        tree_(context),
        probs_(pruning.num_symbols),
        probs_frame_(pruning.num_symbols, -1) {
    slots_.push_back({kRootNode, -1, 1.0, 0.0});
    tree_.set_slot(kRootNode, 0);
  }

  int32_t num_symbols() const { return pruning_.num_symbols; }

  // Goes on by `num_frames` rows of natural logs.
  template <typename Float>
  void advance(const Float* log_probs, int64_t num_frames) {
    for (int64_t t = 0; t < num_frames; ++t) step(log_probs + t * pruning_.num_symbols);
  }

  // Up to `count` label sequences, best first, as if the text ended here. `log_probs` are all
  // frames so far.
  template <typename Float>
  std::vector<Found> found(const Float* log_probs, int64_t num_frames, int64_t count) const {
    std::vector<int32_t> nodes;
    std::vector<double> ends;
    bool may_end = false;
    for (const Slot& slot : slots_) {
      nodes.push_back(slot.node);
      ends.push_back(tree_.finish(slot.node));
      may_end = may_end || ends.back() != kForbidden;
    }
    if (!may_end) std::fill(ends.begin(), ends.end(), 0.0);
    const auto weighed = Weighing(tree_, nodes)
                             .weigh(log_probs, num_frames, pruning_.num_symbols, pruning_.blank);
    struct Ranked {
      double score, ctc;
      int32_t node;
    };
    std::vector<Ranked> ranked;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const double worth = tree_.worth(nodes[i]);
      const double kept = std::log(slots_[i].mass()) + log_scale_ - worth;
      const double ctc = std::max(kept, weighed[i]);
      if (ctc + worth + ends[i] > kForbidden)
        ranked.push_back({ctc + worth + ends[i], ctc, nodes[i]});
    }
    const auto kept = std::min<int64_t>(count, static_cast<int64_t>(ranked.size()));
    std::partial_sort(ranked.begin(), ranked.begin() + kept, ranked.end(),
                      [](const Ranked& a, const Ranked& b) {
                        return a.score != b.score ? a.score > b.score : a.node < b.node;
                      });
    std::vector<Found> results;
    for (int64_t k = 0; k < kept; ++k)
      results.push_back({tree_.prefix(ranked[k].node), ranked[k].score, ranked[k].ctc});
    return results;
  }

  // The labels with which everything still in the beam begins.
  std::vector<int32_t> stable() const {
    int32_t common = slots_.front().node;
    for (const auto& slot : slots_) common = tree_.common_ancestor(common, slot.node);
    return tree_.prefix(common);
  }

  // Weighs all that was ever in the beam again, exactly: label sequences, best first, and an upper
  // bound on the log-probability of any other than the first. `log_probs` are all frames so far.
  template <typename Float>
  std::pair<std::vector<Found>, double> certify(const Float* log_probs, int64_t num_frames,
                                                int64_t count) const {
    const auto weighed =
        ctcasr::certify(log_probs, num_frames, pruning_.num_symbols, pruning_.blank, tree_);
    std::vector<int32_t> order(tree_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto kept = std::min<int64_t>(std::max<int64_t>(count, 2), tree_.size());
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int32_t a, int32_t b) {
      const double left = weighed.log_probs[a], right = weighed.log_probs[b];
      return left != right ? left > right : a < b;
    });
    std::vector<Found> found;
    for (int64_t i = 0; i < std::min(count, kept); ++i) {
      const double log_prob = weighed.log_probs[order[i]];
      if (log_prob > kForbidden) found.push_back({tree_.prefix(order[i]), log_prob, log_prob});
    }
    const double second = kept > 1 ? weighed.log_probs[order[1]] : kForbidden;
    return {found, std::max(second, weighed.outside_at_most)};
  }

 private:
  // An active prefix and the mass of its paths that end in blank, or in its last label.
  struct Slot {
    int32_t node, last;
    double in_blank, in_label;
    double mass() const { return in_blank + in_label; }
  };

  // A prefix that might be in the beam after this frame: that of a slot as it is (label -1), or
  // extended by a label, worth what extensions_[extension] says.
  struct Candidate {
    double score;
    int32_t slot, label, extension;
  };

  struct LabelProb {
    int32_t label;
    double prob;
  };

  bool is_better(const Candidate& a, const Candidate& b) const {
    if (a.score != b.score) return a.score > b.score;
    if ((a.label < 0) != (b.label < 0)) return a.label < 0;
    if (a.slot != b.slot) return slots_[a.slot].node < slots_[b.slot].node;
    return a.label < b.label;
  }

  template <typename Float>
  void step(const Float* log_probs) {
    ++frame_;
    const int32_t blank = pruning_.blank;
    const double peak = *std::max_element(log_probs, log_probs + pruning_.num_symbols);
    const double of_blank = prob(log_probs, blank, peak);

    // Staying: blank, the last label again, and what flows in from an active parent.
    const size_t num_active = slots_.size();
    stays_.resize(num_active);
    arrived_.assign(num_active, 0);
    double best = 0.0, least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < num_active; ++i) {
      const Slot& slot = slots_[i];
      Slot& stay = stays_[i];
      stay = {slot.node, slot.last, slot.mass() * of_blank, 0.0};
      if (slot.last >= 0) {
        const double of_last = prob(log_probs, slot.last, peak);
        stay.in_label = slot.in_label * of_last;
        const int32_t from = tree_.slot(tree_.parent(slot.node));
        if (from >= 0) {
          const Slot& parent = slots_[from];
          arrived_[from] |= bit(slot.last);
          const double mass = parent.last == slot.last ? parent.in_blank : parent.mass();
          stay.in_label += mass * of_last * tree_.factor(slot.node);
        }
      }
      best = std::max(best, stay.mass());
      least = std::min(least, stay.mass());
    }

    // Extending: by the likeliest labels first, until nothing below can survive.
    const bool is_full = num_active == static_cast<size_t>(pruning_.beam);
    double floor = std::max(pruning_.threshold * best, is_full ? least : 0.0);
    choose_labels(log_probs, peak, floor);
    candidates_.clear();
    extensions_.clear();
    for (size_t i = 0; i < num_active; ++i)
      candidates_.push_back({stays_[i].mass(), static_cast<int32_t>(i), -1, -1});
    for (size_t i = 0; i < num_active; ++i) extend(i, best, floor);
    if (best <= 0.0)
      throw std::domain_error("nothing that the lexicon allows has a probability above zero");

    leave_best();
    floor = pruning_.threshold * best;
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(),
                                     [floor](const Candidate& c) { return c.score <= floor; }),
                      candidates_.end());
    keep(best);
    log_scale_ += peak + std::log(best);
  }

  // Lists the labels that some prefix may be extended by, likeliest first.
  template <typename Float>
  void choose_labels(const Float* log_probs, double peak, double floor) {
    double most_continuing = 0.0, most_other = 0.0;
    for (const Slot& slot : slots_) {
      const auto gains = tree_.gains(slot.node);
      most_continuing = std::max(most_continuing, slot.mass() * gains.inside);
      most_other = std::max(most_other, slot.mass() * gains.other);
    }
    const double wanted = std::log(pruning_.label_threshold);
    // Slightly lower than need be, as the exact comparison follows in `extend_by`.
    const auto needed = [floor](double most) {
      return floor > 0.0 ? std::log(floor / most) - 1e-9 : kForbidden;
    };
    const double continuing = needed(most_continuing), other = needed(most_other);
    const double either = std::max(std::min(continuing, other) + peak, wanted);
    continuing_.clear();
    others_.clear();
    for (int32_t k = 0; k < pruning_.num_symbols; ++k) {
      if (!(log_probs[k] >= either) || k == pruning_.blank) continue;
      const bool goes_on = context_ && context_->goes_on(k);
      if (log_probs[k] - peak > (goes_on ? continuing : other))
        (goes_on ? continuing_ : others_).push_back({k, prob(log_probs, k, peak)});
    }
    const auto is_likelier = [](const LabelProb& a, const LabelProb& b) {
      return a.prob != b.prob ? a.prob > b.prob : a.label < b.label;
    };
    std::sort(continuing_.begin(), continuing_.end(), is_likelier);
    std::sort(others_.begin(), others_.end(), is_likelier);
  }

  // Adds the extensions of one prefix that may survive, and raises the floor by them.
  void extend(size_t i, double& best, double& floor) {
    const auto gains = tree_.gains(slots_[i].node);
    extend_by(continuing_, gains.inside, i, best, floor);
    extend_by(others_, gains.other, i, best, floor);
  }

  void extend_by(const std::vector<LabelProb>& labels, double gain, size_t i, double& best,
                 double& floor) {
    const Slot& slot = slots_[i];
    const double reach = slot.mass() * gain;
    const auto most = 2 * static_cast<size_t>(pruning_.beam);
    for (const auto& [label, of_label] : labels) {
      if (reach * of_label < floor) break;
      const double mass = (label == slot.last ? slot.in_blank : slot.mass()) * of_label;
      if (mass * gain < floor || mass <= 0.0) continue;
      const bool may_have_arrived = arrived_[i] & bit(label);
      const int32_t child = context_ || may_have_arrived ? tree_.find(slot.node, label) : -1;
      if (child >= 0 && tree_.slot(child) >= 0) continue;
      Candidate candidate{mass, static_cast<int32_t>(i), label, -1};
      if (context_) {
        Context::Extension extension{};
        if (child >= 0) {
          candidate.score *= tree_.factor(child);
        } else {
          extension = tree_.extend(slot.node, label);
          candidate.score *= std::exp(extension.worth);
        }
        if (candidate.score < floor || candidate.score <= 0.0) continue;
        candidate.extension = static_cast<int32_t>(extensions_.size());
        extensions_.push_back(extension);
      }
      candidates_.push_back(candidate);
      if (candidate.score > best) {
        best = candidate.score;
        floor = std::max(floor, pruning_.threshold * best);
      }
      if (candidates_.size() > most) floor = std::max(floor, leave_best());
    }
  }

  // Leaves the best candidates, as many as the beam holds; returns the last one's score.
  double leave_best() {
    const auto beam = static_cast<size_t>(pruning_.beam);
    if (candidates_.size() <= beam) return 0.0;
    std::nth_element(
        candidates_.begin(), candidates_.begin() + (beam - 1), candidates_.end(),
        [this](const Candidate& a, const Candidate& b) { return is_better(a, b); });
    candidates_.resize(beam);
    return candidates_.back().score;
  }

  // Makes the survivors the active prefixes, their masses relative to the best one's.
  void keep(double best) {
    // New prefixes are numbered in the order of their scores, after all that stay.
    const auto first_new =
        std::partition(candidates_.begin(), candidates_.end(),
                       [](const Candidate& candidate) { return candidate.label < 0; });
    std::sort(first_new, candidates_.end(),
              [this](const Candidate& a, const Candidate& b) { return is_better(a, b); });
    for (const Slot& slot : slots_) tree_.set_slot(slot.node, -1);
    next_.clear();
    for (auto it = candidates_.begin(); it != first_new; ++it) {
      const Slot& stay = stays_[it->slot];
      next_.push_back({stay.node, stay.last, stay.in_blank / best, stay.in_label / best});
    }
    for (auto it = first_new; it != candidates_.end(); ++it) {
      const auto extension = context_ ? extensions_[it->extension] : Context::Extension{};
      const int32_t node = tree_.grow(slots_[it->slot].node, it->label, extension);
      next_.push_back({node, it->label, 0.0, it->score / best});
    }
    slots_.swap(next_);
    for (size_t i = 0; i < slots_.size(); ++i)
      tree_.set_slot(slots_[i].node, static_cast<int32_t>(i));
  }

  template <typename Float>
  double prob(const Float* log_probs, int32_t k, double peak) {
    if (probs_frame_[k] != frame_) {
      probs_frame_[k] = frame_;
      probs_[k] = std::exp(static_cast<double>(log_probs[k]) - peak);
    }
    return probs_[k];
  }

  static uint64_t bit(int32_t label) { return uint64_t{1} << (label & 63); }

  Pruning pruning_;
  const Context* context_;
  PrefixTree tree_;
  double log_scale_ = 0.0;
  int64_t frame_ = 0;
  std::vector<Slot> slots_, stays_, next_;
  std::vector<Candidate> candidates_;
  std::vector<Context::Extension> extensions_;
  std::vector<LabelProb> continuing_, others_;  // labels that go on with a word, and all others
  std::vector<double> probs_;          // of this frame, computed when first asked for
  std::vector<int64_t> probs_frame_;
  std::vector<uint64_t> arrived_;  // bits of the labels that lead to an active child
};

}  // namespace ctcasr
