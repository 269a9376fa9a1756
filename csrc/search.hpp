// CTC prefix beam search over one item.
//
// ctcasr/decoding/search.py is the definition and explains the method. What is different here is
// only how little is looked at: a frame's symbols are sorted by probability, and a prefix is
// extended by them until they fall below what can survive.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "best_first.hpp"
#include "certificate.hpp"
#include "context.hpp"
#include "largest.hpp"
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
        least_log_prob_(std::log(pruning.label_threshold)),
        probs_(pruning.num_symbols + 1, 0.0),
        probs_frame_(pruning.num_symbols + 1, -1),
        label_listed_(pruning.num_symbols + 1, -1) {
    slots_.push_back(make_slot(kRootNode, pruning.num_symbols));
    tree_.set_slot(kRootNode, 0);
    masses_ = {{0.0, 0.0}, {1.0, 0.0}};
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
      const double kept = std::log(masses_[i + 1].sum()) + log_scale() - worth;
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

  // Weighs all that was ever in the beam again, exactly, and looks for something better outside:
  // label sequences, best first, and an upper bound on the log-probability of any other than the
  // first. `log_probs` are all frames so far.
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
    double second = kept > 1 ? weighed.log_probs[order[1]] : kForbidden;
    double outside = weighed.outside_at_most;
    const double best = found.empty() ? kForbidden : found.front().log_prob;
    if (outside > best && best > kForbidden &&
        BestFirst<Float>::fits(log_probs, num_frames, pruning_.num_symbols)) {
      BestFirst<Float> search(log_probs, num_frames, pruning_.num_symbols, pruning_.blank);
      const Proof proof = search.search(kMostProofs * num_frames, best);
      if (proof.value > best + BestFirst<Float>::kRounding) {
        second = best;
        found.insert(found.begin(), {proof.labels, proof.value, proof.value});
        if (static_cast<int64_t>(found.size()) > count) found.pop_back();
      }
      outside = proof.is_proven ? found.front().log_prob : std::min(outside, proof.bound);
    }
    return {found, std::max(second, outside)};
  }

 private:
  // An active prefix: its last label (the root's is a column of its own, without probability),
  // where its parent's mass is (0 for a parent that is not active), whether that has the same last
  // label, and what it is worth beyond it.
  struct Slot {
    int32_t node, last, parent;
    bool repeats;
    double factor;
    Gains gains;
    uint64_t labels_inside;
  };

  Slot make_slot(int32_t node, int32_t last) const {
    const bool repeats = node != kRootNode && tree_.label(tree_.parent(node)) == last;
    return {node,          last, 0, repeats, tree_.factor(node), tree_.gains(node),
            tree_.labels_inside(node)};
  }

  // Of a prefix's paths: those that end in blank, and those in its last label.
  struct Mass {
    double in_blank, in_label;
    double sum() const { return in_blank + in_label; }
  };

  // A prefix that might come into the beam: that of a slot extended by a label.
  struct Growth {
    double score;
    int32_t slot, label;
  };

  struct LabelProb {
    int32_t label;
    double prob;
  };

  // Masses are counted in units of exp(log_scale()); a power of two rounds nothing.
  double log_scale() const { return log_peaks_ + static_cast<double>(exponent_) * kLn2; }

  template <typename Float>
  void step(const Float* log_probs) {
    ++frame_;
    const double peak = largest(log_probs, pruning_.num_symbols);
    log_peaks_ += peak;
    exponent_ += pending_exponent_;
    for (const int32_t label : last_labels_) prob(log_probs, label, peak);
    stay(prob(log_probs, pruning_.blank, peak));

    // Extending: by the likeliest labels first, until nothing below can survive.
    const bool is_full = slots_.size() == static_cast<size_t>(pruning_.beam);
    double best = best_staying_;
    double floor = std::max(pruning_.threshold * best, is_full ? least_staying_ : 0.0);
    choose_labels(log_probs, peak, floor);
    growths_.clear();
    num_cut_ = 0;
    if (!continuing_.empty() || !others_.empty()) extend(best, floor);
    if (best <= 0.0)
      throw std::domain_error("nothing that the lexicon allows has a probability above zero");

    // Mostly, all that was there stays and nothing is new.
    masses_.swap(staying_);
    floor = pruning_.threshold * best;
    if (!growths_.empty() || least_staying_ <= floor) choose_survivors(floor);
    rescale(best);
  }

  // Has the next frame divide all masses by the power of two that is next to the best one.
  void rescale(double best) {
    constexpr int kLowest = -1000;  // where numbers begin to be too small for that
    std::frexp(best, &pending_exponent_);
    if (pending_exponent_ < kLowest) {
      for (Mass& mass : masses_)
        mass = {std::ldexp(mass.in_blank, -pending_exponent_),
                std::ldexp(mass.in_label, -pending_exponent_)};
      exponent_ += std::exchange(pending_exponent_, 0);
    }
    pending_scale_ = std::ldexp(1.0, -pending_exponent_);
  }

  // Staying: blank, the last label again, and what flows in from an active parent.
  void stay(double of_blank) {
    const size_t num_active = slots_.size();
    staying_.resize(num_active + 1);
    staying_[0] = {0.0, 0.0};
    sums_.resize(num_active);
    scores_.resize(num_active);
    double best = 0.0, least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < num_active; ++i) {
      const Slot& slot = slots_[i];
      const Mass& mass = masses_[i + 1];
      const Mass& from = masses_[slot.parent];
      const double in_label = slot.repeats ? 0.0 : from.in_label;
      const double arriving = (from.in_blank + in_label) * slot.factor;
      sums_[i] = mass.sum();
      staying_[i + 1] = {sums_[i] * of_blank, (mass.in_label + arriving) * probs_[slot.last]};
      scores_[i] = staying_[i + 1].sum();
      best = std::max(best, scores_[i]);
      least = std::min(least, scores_[i]);
    }
    best_staying_ = best;
    least_staying_ = least;
  }

  // Lists the labels that some prefix may be extended by, likeliest first.
  template <typename Float>
  void choose_labels(const Float* log_probs, double peak, double floor) {
    double most_continuing = 0.0, most_other = 0.0;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const auto& gains = slots_[i].gains;
      most_continuing = std::max(most_continuing, sums_[i] * gains.inside);
      most_other = std::max(most_other, sums_[i] * gains.other);
    }
    // Slightly lower than need be, as the exact comparison follows in `extend_by`.
    const auto needed = [floor, this](double most) {
      return floor > 0.0 ? std::log(floor / (most * pending_scale_)) - 1e-9 : kForbidden;
    };
    const double other = needed(most_other);
    const double continuing = context_ ? needed(most_continuing) : other;
    const double either = std::max(std::min(continuing, other) + peak, least_log_prob_);
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

  // Lists the extensions that may survive, and raises the floor by them.
  void extend(double& best, double& floor) {
    arrived_.assign(slots_.size() + 1, 0);
    for (const Slot& slot : slots_) arrived_[slot.parent] |= bit_of(slot.last);
    most_scores_ = scores_.size() + static_cast<size_t>(pruning_.beam);
    for (const auto& [label, of_label] : others_) {
      bool is_any = false;
      for (size_t i = 0; i < slots_.size(); ++i) {
        if (!(sums_[i] * slots_[i].gains.other * of_label >= floor)) continue;
        is_any = true;
        extend_by(label, of_label, i, best, floor);
      }
      if (!is_any) break;
    }
    if (!continuing_.empty()) extend_words(best, floor);
  }

  // Goes on with words: by many labels, of which each prefix takes few.
  void extend_words(double& best, double& floor) {
    uint64_t listed = 0;
    for (const LabelProb& one : continuing_) listed |= bit_of(one.label);
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      const double inside = slot.labels_inside & listed ? sums_[i] * slot.gains.inside : 0.0;
      const double leaving = sums_[i] * slot.gains.leaving;
      const double reach = std::max(inside, leaving);
      for (const auto& [label, of_label] : continuing_) {
        if (reach * of_label < floor) break;
        const double most = (slot.labels_inside & bit_of(label) ? inside : leaving) * of_label;
        if (most >= floor && most > 0.0) extend_by(label, of_label, i, best, floor);
      }
    }
  }

  void extend_by(int32_t label, double of_label, size_t i, double& best, double& floor) {
    const Slot& slot = slots_[i];
    const double mass = (label == slot.last ? masses_[i + 1].in_blank : sums_[i]) * of_label;
    const double score = mass * tree_.factor_to(slot.node, label);
    if (score < floor || score <= 0.0) return;
    if (arrived_[i + 1] & bit_of(label)) {
      const int32_t child = tree_.find(slot.node, label);
      if (child >= 0 && tree_.slot(child) >= 0) return;
    }
    growths_.push_back({score, static_cast<int32_t>(i), label});
    scores_.push_back(score);
    if (score > best) {
      best = score;
      floor = std::max(floor, pruning_.threshold * best);
    }
    if (scores_.size() > most_scores_) {
      floor = std::max(floor, cut_off());
      most_scores_ = scores_.size() + static_cast<size_t>(pruning_.beam);
    }
  }

  // The `rank`-th largest score: counted by half powers of two first, as few share one.
  double score_of_rank(size_t rank) {
    constexpr int kNumBins = 128, kBinShift = 51;
    const auto bits_of = [](double score) {
      uint64_t bits;
      std::memcpy(&bits, &score, sizeof bits);
      return bits >> kBinShift;
    };
    const uint64_t highest = bits_of(*std::max_element(scores_.begin(), scores_.end()));
    const auto bin_of = [&](double score) {
      return std::min<uint64_t>(highest - bits_of(score), kNumBins - 1);
    };
    uint32_t counts[kNumBins] = {};
    for (const double score : scores_) ++counts[bin_of(score)];
    size_t bin = 0;
    for (; counts[bin] < rank; ++bin) rank -= counts[bin];
    ranked_.resize(scores_.size());
    size_t num_ranked = 0;
    for (const double score : scores_) {
      ranked_[num_ranked] = score;
      num_ranked += bin_of(score) == bin;
    }
    const auto at = ranked_.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(ranked_.begin(), at, ranked_.begin() + static_cast<std::ptrdiff_t>(num_ranked),
                     std::greater<double>());
    return *at;
  }

  // Drops extensions below the last score that the beam has room for; returns that score.
  double cut_off() {
    const auto beam = static_cast<size_t>(pruning_.beam);
    if (scores_.size() <= beam) return 0.0;
    if (scores_.size() == num_cut_) return cut_;  // nothing has come since
    const double least = score_of_rank(beam);
    growths_.erase(std::remove_if(growths_.begin(), growths_.end(),
                                  [least](const Growth& growth) { return growth.score < least; }),
                   growths_.end());
    scores_.resize(slots_.size());
    for (const Growth& growth : growths_) scores_.push_back(growth.score);
    num_cut_ = scores_.size();
    cut_ = least;
    return least;
  }

  // Of several prefixes with the last score that the beam has room for, forgets those that come
  // last: extensions after those that stay, then by the numbers of their parents and labels.
  void break_ties(double least) {
    const auto num_above = std::count_if(scores_.begin(), scores_.end(),
                                         [least](double score) { return score > least; });
    const auto room = pruning_.beam - num_above;
    if (std::count(scores_.begin(), scores_.end(), least) <= room) return;
    std::vector<size_t> tied;
    for (size_t at = 0; at < scores_.size(); ++at)
      if (scores_[at] == least) tied.push_back(at);
    const auto key = [this](size_t at) {
      const size_t num_active = slots_.size();
      if (at < num_active) return std::make_tuple(false, slots_[at].node, -1);
      const Growth& growth = growths_[at - num_active];
      return std::make_tuple(true, slots_[growth.slot].node, growth.label);
    };
    std::sort(tied.begin(), tied.end(), [key](size_t a, size_t b) { return key(a) < key(b); });
    for (size_t k = static_cast<size_t>(room); k < tied.size(); ++k) scores_[tied[k]] = -1.0;
  }

  // Makes the best prefixes whose scores are above a floor the active ones: first those that stay,
  // in their old order, then the new ones, in that of their parents and labels.
  void choose_survivors(double floor) {
    const size_t num_active = slots_.size();
    const double least = cut_off();
    if (scores_.size() > static_cast<size_t>(pruning_.beam)) break_ties(least);
    const auto survives = [&](size_t at) { return (scores_[at] >= least) & (scores_[at] > floor); };
    size_t num_new = 0;
    for (size_t k = 0; k < growths_.size(); ++k) {
      growths_[num_new] = growths_[k];
      num_new += survives(num_active + k);
    }
    growths_.resize(num_new);
    std::sort(growths_.begin(), growths_.end(), [](const Growth& a, const Growth& b) {
      return a.slot != b.slot ? a.slot < b.slot : a.label < b.label;
    });
    new_slots_.clear();
    const int32_t num_nodes = tree_.size();
    bool has_returned = false;  // some new one was active before, so that it may have children
    for (const Growth& growth : growths_) {
      const int32_t node = tree_.grow(slots_[growth.slot].node, growth.label);
      has_returned = has_returned || node < num_nodes;
      new_slots_.push_back(make_slot(node, growth.label));
    }
    moved_.assign(num_active + 1, 0);
    size_t num_old = 0;
    for (size_t i = 0; i < num_active; ++i) {
      if (!survives(i)) {
        tree_.set_slot(slots_[i].node, -1);
        continue;
      }
      if (num_old != i) {
        slots_[num_old] = slots_[i];
        masses_[num_old + 1] = masses_[i + 1];
        tree_.set_slot(slots_[i].node, static_cast<int32_t>(num_old));
      }
      moved_[i + 1] = static_cast<int32_t>(++num_old);
    }
    slots_.resize(num_old);
    masses_.resize(num_old + 1);
    for (Slot& slot : slots_) slot.parent = moved_[slot.parent];
    for (size_t k = 0; k < num_new; ++k) {
      new_slots_[k].parent = moved_[growths_[k].slot + 1];
      tree_.set_slot(new_slots_[k].node, static_cast<int32_t>(slots_.size()));
      slots_.push_back(new_slots_[k]);
      masses_.push_back({0.0, growths_[k].score});
    }
    if (has_returned) find_parents();
    list_last_labels();
  }

  // Notes parents that are active again.
  void find_parents() {
    for (Slot& slot : slots_)
      if (!slot.parent && slot.node != kRootNode)
        slot.parent = tree_.slot(tree_.parent(slot.node)) + 1;
  }

  void list_last_labels() {
    last_labels_.clear();
    ++listed_;
    for (const Slot& slot : slots_) {
      if (label_listed_[slot.last] == listed_) continue;
      label_listed_[slot.last] = listed_;
      if (slot.last < pruning_.num_symbols) last_labels_.push_back(slot.last);
    }
  }

  // The probability of a symbol in this frame, relative to the largest and in the masses' new unit.
  template <typename Float>
  double prob(const Float* log_probs, int32_t k, double peak) {
    if (probs_frame_[k] != frame_) {
      probs_frame_[k] = frame_;
      probs_[k] = std::exp(static_cast<double>(log_probs[k]) - peak) * pending_scale_;
    }
    return probs_[k];
  }

  static constexpr int64_t kMostProofs = 1000;  // prefixes opened to find something better

  Pruning pruning_;
  const Context* context_;
  PrefixTree tree_;
  double least_log_prob_;
  double log_peaks_ = 0.0;
  int64_t exponent_ = 0;
  int pending_exponent_ = 0;  // the next frame divides masses by its power of two
  double pending_scale_ = 1.0;
  int64_t frame_ = 0;
  double best_staying_ = 0.0, least_staying_ = 0.0;
  std::vector<Slot> slots_, new_slots_;
  std::vector<Mass> masses_, staying_;  // nothing, for a parent that is not there; then each slot's
  std::vector<int32_t> moved_;          // where each of these masses has come to; 0 for nowhere
  std::vector<int32_t> last_labels_;
  std::vector<Growth> growths_;
  std::vector<double> sums_;             // of each slot: its mass
  std::vector<double> scores_, ranked_;  // of the slots as they stay, then of the growths
  size_t most_scores_ = 0;  // before they are cut off
  size_t num_cut_ = 0;      // scores when they were last cut off, at which score
  double cut_ = 0.0;
  std::vector<LabelProb> continuing_, others_;  // labels that go on with a word, and all others
  std::vector<double> probs_;          // of this frame, computed when first asked for
  std::vector<int64_t> probs_frame_;
  std::vector<int64_t> label_listed_;  // when a label was last put among last_labels_
  int64_t listed_ = 0;
  std::vector<uint64_t> arrived_;  // bits of the labels that lead to an active child
};

}  // namespace ctcasr
