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
#include <cstdlib>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "best_first.hpp"
#include "certificate.hpp"
#include "context.hpp"
#include "floats.hpp"
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
    slots_.push_back({kRootNode, pruning.num_symbols, 0});
    if (context_) worths_.push_back(worth_of(kRootNode));
    tree_.set_slot(kRootNode, 0);
    sums_ = {0.0, 0.0, 1.0, 1.0};
    in_label_ = {0.0};
  }

  int32_t num_symbols() const { return pruning_.num_symbols; }
  int64_t num_frames() const { return static_cast<int64_t>(peaks_.size()); }  // so far

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
    const auto weighed =
        Weighing(tree_, nodes)
            .weigh(log_probs, num_frames, peaks_.data(), pruning_.num_symbols, pruning_.blank);
    struct Ranked {
      double score, ctc;
      int32_t node;
    };
    std::vector<Ranked> ranked;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const double worth = tree_.worth(nodes[i]);
      const double kept = std::log(sums_[2 * i + 2]) + log_scale() - worth;
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
  // An active prefix: its last label (the root's is a column of its own, without probability), and
  // where in `sums_` the mass of its parent is that can flow in.
  struct Slot {
    int32_t node, last;
    uint32_t source;
  };

  // What a context says of an active prefix.
  struct Worth {
    double factor;
    Gains gains;
    uint64_t labels_inside;
  };

  Worth worth_of(int32_t node) const {
    return {tree_.factor(node), tree_.gains(node), tree_.labels_inside(node)};
  }

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
    const int32_t blank = pruning_.blank, after = blank + 1;
    const double of_labels = std::max(largest(log_probs, blank),
                                      largest(log_probs + after, pruning_.num_symbols - after));
    const double peak = std::max(of_labels, static_cast<double>(log_probs[blank]));
    peaks_.push_back(peak);
    log_peaks_ += peak;
    exponent_ += pending_exponent_;
    for (const int32_t label : last_labels_) prob(log_probs, label, peak);
    stay(prob(log_probs, blank, peak));

    // Extending: by the likeliest labels first, until nothing below can survive.
    const bool is_full = slots_.size() == static_cast<size_t>(pruning_.beam);
    double best = best_staying_;
    double floor = std::max(pruning_.threshold * best, is_full ? least_staying_ : 0.0);
    choose_labels(log_probs, of_labels, peak, floor);
    if (!continuing_.empty() || !others_.empty()) extend(best, floor);
    if (best <= 0.0)
      throw std::domain_error("nothing that the lexicon allows has a probability above zero");

    // Mostly, all that was there stays and nothing is new.
    sums_.swap(staying_sums_);
    in_label_.swap(staying_in_label_);
    floor = pruning_.threshold * best;
    if (num_scores_ > slots_.size() || least_staying_ <= floor) choose_survivors(floor, best);
    most_ = best;
    rescale(best);
  }

  // Has the next frame divide all masses by the power of two that is next to the best one.
  void rescale(double best) {
    constexpr int kFarthest = 1000;  // where numbers begin to be too small or too large for that
    pending_exponent_ = exponent_of(best);
    if (std::abs(pending_exponent_) > kFarthest) {
      std::frexp(best, &pending_exponent_);
      for (double& mass : sums_) mass = std::ldexp(mass, -pending_exponent_);
      for (double& mass : in_label_) mass = std::ldexp(mass, -pending_exponent_);
      most_ = std::ldexp(most_, -pending_exponent_);
      exponent_ += std::exchange(pending_exponent_, 0);
    }
    pending_scale_ = power_of_two(-pending_exponent_);
  }

  // Staying: blank, the last label again, and what flows in from an active parent.
  void stay(double of_blank) {
    const size_t num_active = slots_.size();
    staying_sums_.resize(sums_.size());
    staying_in_label_.resize(num_active);
    make_room(num_active);
    for (size_t i = 0; i < num_active; ++i) {
      const Slot slot = slots_[i];
      const double in_blank = sums_[2 * i + 2] * of_blank;
      double arriving = sums_[slot.source];
      if (context_) arriving *= worths_[i].factor;
      const double in_label = (in_label_[i] + arriving) * probs_[slot.last];
      staying_in_label_[i] = in_label;
      staying_sums_[2 * i + 3] = in_blank;
      staying_sums_[2 * i + 2] = scores_[i] = in_blank + in_label;
    }
    num_scores_ = num_active;
    best_staying_ = largest(scores_.data(), static_cast<int32_t>(num_active));
    least_staying_ = smallest(scores_.data(), static_cast<int32_t>(num_active));
  }

  // Lists the labels that some prefix may be extended by, likeliest first. The likeliest of all has
  // the log-probability `of_labels`.
  template <typename Float>
  void choose_labels(const Float* log_probs, double of_labels, double peak, double floor) {
    continuing_.clear();
    others_.clear();
    double most_continuing = 0.0, most_other = most_;
    if (context_) {
      most_other = 0.0;
      for (size_t i = 0; i < slots_.size(); ++i) {
        const Gains& gains = worths_[i].gains;
        most_continuing = std::max(most_continuing, sums_[2 * i + 2] * gains.inside);
        most_other = std::max(most_other, sums_[2 * i + 2] * gains.other);
      }
    }
    // Mostly no label comes close, and a power of two below what is needed says so without a log.
    const double share = floor / (std::max(most_continuing, most_other) * pending_scale_);
    if (share >= std::numeric_limits<double>::min() &&
        of_labels - peak < (exponent_of(share) - 1) * kLn2 - 1e-9)
      return;
    // Slightly lower than need be, as the exact comparison follows in `extend_by`.
    const auto needed = [floor, this](double most) {
      return floor > 0.0 ? std::log(floor / (most * pending_scale_)) - 1e-9 : kForbidden;
    };
    const double other = needed(most_other);
    const double continuing = context_ ? needed(most_continuing) : other;
    const double either = std::max(std::min(continuing, other) + peak, least_log_prob_);
    if (of_labels < either) return;
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
    bits_listed_ = 0;
    for (const LabelProb& one : continuing_) bits_listed_ |= bit_of(one.label);
  }

  // Lists the extensions that may survive, and raises the floor by them.
  void extend(double& best, double& floor) {
    arrived_.assign(slots_.size() + 1, 0);
    for (const Slot& slot : slots_) arrived_[slot.source / 2] |= bit_of(slot.last);
    const auto beam = static_cast<size_t>(pruning_.beam);
    size_t most_scores = num_scores_ + beam;
    for (size_t i = 0; i < slots_.size(); ++i) {
      make_room(num_scores_ + others_.size() + continuing_.size());
      if (context_) {
        extend_in_context(i, best, floor);
      } else {
        extend_freely(i, best, floor);
      }
      if (num_scores_ > most_scores) {
        floor = cut_off(floor, best);
        most_scores = num_scores_ + beam;
      }
    }
  }

  // Extends a prefix where all are worth the same.
  void extend_freely(size_t i, double& best, double& floor) {
    constexpr size_t kAtOnce = 4;  // mostly there are no more, and a break is hard to foresee
    const double mass = sums_[2 * i + 2];
    for (size_t k = 0; k < others_.size(); ++k) {
      const auto [label, of_label] = others_[k];
      if (k >= kAtOnce && !(mass * of_label >= floor)) break;
      extend_by(label, of_label, i, 1.0, best, floor);
    }
  }

  void extend_in_context(size_t i, double& best, double& floor) {
    const double mass = sums_[2 * i + 2];
    const Worth& worth = worths_[i];
    const int32_t node = slots_[i].node;
    for (const auto& [label, of_label] : others_) {
      if (!(mass * worth.gains.other * of_label >= floor)) break;
      extend_by(label, of_label, i, tree_.factor_to(node, label), best, floor);
    }
    // Labels that go on with a word are many, of which a prefix takes few.
    if (continuing_.empty()) return;
    const double inside = worth.labels_inside & bits_listed_ ? mass * worth.gains.inside : 0.0;
    const double leaving = mass * worth.gains.leaving;
    const double reach = std::max(inside, leaving);
    for (const auto& [label, of_label] : continuing_) {
      if (reach * of_label < floor) break;
      const double most = (worth.labels_inside & bit_of(label) ? inside : leaving) * of_label;
      if (most >= floor && most > 0.0)
        extend_by(label, of_label, i, tree_.factor_to(node, label), best, floor);
    }
  }

  // Lists an extension that is worth `factor`. Whether it counts is as hard to foresee as a coin, so
  // no branch depends on it.
  void extend_by(int32_t label, double of_label, size_t i, double factor, double& best,
                 double& floor) {
    const double mass = sums_[2 * i + 2 + (label == slots_[i].last)] * of_label;
    const double score = mass * factor;
    scores_[num_scores_] = score;
    growths_[num_scores_ - slots_.size()] = {score, static_cast<int32_t>(i), label};
    const bool counts = (score >= floor) & (score > 0.0) & !has_active_child(i, label);
    num_scores_ += counts;
    if (counts & (score > best)) {
      best = score;
      floor = std::max(floor, pruning_.threshold * best);
    }
  }

  bool has_active_child(size_t i, int32_t label) const {
    if (!(arrived_[i + 1] & bit_of(label))) return false;
    if (pruning_.num_symbols <= kNumBits) return true;  // each label has a bit of its own
    const int32_t child = tree_.find(slots_[i].node, label);
    return child >= 0 && tree_.slot(child) >= 0;
  }

  void make_room(size_t num_scores) {
    if (scores_.size() >= num_scores) return;
    scores_.resize(2 * num_scores);
    growths_.resize(2 * num_scores);
  }

  // A score that as many scores reach as the beam has room for, or, and then true, the last one that
  // there is room for, which several share; `floor` where there are no more. Found by halving what
  // lies between: counting is fast.
  std::pair<double, bool> last_score(double floor, double best) const {
    const auto beam = static_cast<std::ptrdiff_t>(pruning_.beam);
    const auto end = scores_.begin() + static_cast<std::ptrdiff_t>(num_scores_);
    const auto count = [&](double score) {
      return std::count_if(scores_.begin(), end, [=](double other) { return other >= score; });
    };
    if (end - scores_.begin() <= beam || count(floor) <= beam) return {floor, false};
    uint64_t low = bits_of(floor), high = bits_of(best) + 1;
    while (high - low > 1) {
      const uint64_t middle = low + (high - low) / 2;
      const auto reached = count(from_bits(middle));
      if (reached == beam) return {from_bits(middle), false};
      (reached > beam ? low : high) = middle;
    }
    return {from_bits(low), true};
  }

  // Drops extensions below the last score that the beam has room for; returns that score.
  double cut_off(double floor, double best) {
    const double least = last_score(floor, best).first;
    keep_growths([least](double score) { return score >= least; });
    return least;
  }

  template <typename Survives>
  void keep_growths(const Survives& survives) {
    const size_t num_active = slots_.size();
    size_t kept = num_active;
    for (size_t at = num_active; at < num_scores_; ++at) {
      growths_[kept - num_active] = growths_[at - num_active];
      scores_[kept] = scores_[at];
      kept += survives(scores_[at]);
    }
    num_scores_ = kept;
  }

  // Of the prefixes with the last score that the beam has room for, forgets those that come last:
  // extensions after those that stay, then by the numbers of their parents and labels.
  void break_ties(double least) {
    const auto end = scores_.begin() + static_cast<std::ptrdiff_t>(num_scores_);
    const auto num_above =
        std::count_if(scores_.begin(), end, [least](double score) { return score > least; });
    const auto room = pruning_.beam - num_above;
    std::vector<size_t> tied;
    for (size_t at = 0; at < num_scores_; ++at)
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
  void choose_survivors(double floor, double best) {
    const auto [least, is_shared] = last_score(floor, best);
    if (is_shared) break_ties(least);
    const auto survives = [=](double score) { return (score >= least) & (score > floor); };
    const size_t num_active = slots_.size();
    keep_growths(survives);
    const size_t num_new = num_scores_ - num_active;
    const bool has_returned = make_new_slots(num_new);
    moved_.resize(num_active + 1);
    size_t num_old = 0;
    for (size_t i = 0; i < num_active; ++i) {
      slots_[num_old] = slots_[i];
      sums_[2 * num_old + 2] = sums_[2 * i + 2];
      sums_[2 * num_old + 3] = sums_[2 * i + 3];
      in_label_[num_old] = in_label_[i];
      if (context_) worths_[num_old] = worths_[i];
      const bool is_kept = survives(scores_[i]);
      tree_.set_slot(slots_[i].node, is_kept ? static_cast<int32_t>(num_old) : -1);
      num_old += is_kept;
      moved_[i + 1] = is_kept ? static_cast<uint32_t>(num_old) : 0;
    }
    slots_.resize(num_old);
    slots_.insert(slots_.end(), new_slots_.begin(), new_slots_.end());
    for (Slot& slot : slots_) slot.source = 2 * moved_[slot.source / 2] + slot.source % 2;
    sums_.resize(2 * slots_.size() + 2);
    in_label_.resize(slots_.size());
    if (context_) worths_.resize(num_old);
    for (size_t i = num_old; i < slots_.size(); ++i) {
      sums_[2 * i + 2] = in_label_[i] = growths_[i - num_old].score;
      sums_[2 * i + 3] = 0.0;
      tree_.set_slot(slots_[i].node, static_cast<int32_t>(i));
      if (context_) worths_.push_back(worth_of(slots_[i].node));
    }
    if (has_returned) find_parents();
    list_last_labels();
  }

  // Makes slots of the growths, which are in the order of their parents; returns whether one of them
  // was active before, so that it may have children.
  bool make_new_slots(size_t num_new) {
    const auto stop = growths_.begin() + static_cast<std::ptrdiff_t>(num_new);
    const auto by_label = [](const Growth& a, const Growth& b) { return a.label < b.label; };
    for (auto first = growths_.begin(), next = first; first != stop; first = next) {
      while (next != stop && next->slot == first->slot) ++next;
      if (next - first > 1) std::sort(first, next, by_label);
    }
    new_slots_.clear();
    const int32_t num_nodes = tree_.size();
    bool has_returned = false;
    for (size_t k = 0; k < num_new; ++k) {
      const auto [score, slot, label] = growths_[k];
      const Slot& parent = slots_[slot];
      const int32_t node = tree_.grow(parent.node, label);
      has_returned = has_returned || node < num_nodes;
      new_slots_.push_back(
          {node, label, 2 * static_cast<uint32_t>(slot) + 2 + (label == parent.last)});
    }
    return has_returned;
  }

  // Notes parents that are active again.
  void find_parents() {
    for (Slot& slot : slots_)
      if (slot.source < 2 && slot.node != kRootNode)
        slot.source += 2 * static_cast<uint32_t>(tree_.slot(tree_.parent(slot.node)) + 1);
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
      probs_[k] = exp_below_one(static_cast<double>(log_probs[k]) - peak) * pending_scale_;
    }
    return probs_[k];
  }

  static constexpr int64_t kMostProofs = 1000;  // prefixes opened to find something better

  Pruning pruning_;
  const Context* context_;
  PrefixTree tree_;
  double least_log_prob_;
  std::vector<double> peaks_;  // the largest log-probability of each frame
  double log_peaks_ = 0.0;     // their sum
  int64_t exponent_ = 0;
  int pending_exponent_ = 0;  // the next frame divides masses by its power of two
  double pending_scale_ = 1.0;
  int64_t frame_ = 0;
  double best_staying_ = 0.0, least_staying_ = 0.0;
  double most_ = 1.0;  // the largest mass
  std::vector<Slot> slots_, new_slots_;
  std::vector<Worth> worths_;  // of each slot; empty without a context
  // Nothing twice, for a parent that is not there; then each slot's mass, and that of its paths that
  // end in blank.
  std::vector<double> sums_, staying_sums_;
  std::vector<double> in_label_, staying_in_label_;  // of the paths that end in the last label
  std::vector<uint32_t> moved_;  // where each of these pairs has come to; 0 for nowhere
  std::vector<int32_t> last_labels_;
  std::vector<Growth> growths_;  // from here on only the first `num_scores_` less the slots count
  std::vector<double> scores_;  // of the slots as they stay, then of the growths
  size_t num_scores_ = 0;
  std::vector<LabelProb> continuing_, others_;  // labels that go on with a word, and all others
  uint64_t bits_listed_ = 0;                    // of `continuing_`
  std::vector<double> probs_;          // of this frame, computed when first asked for
  std::vector<int64_t> probs_frame_;
  std::vector<int64_t> label_listed_;  // when a label was last put among last_labels_
  int64_t listed_ = 0;
  std::vector<uint64_t> arrived_;  // bits of the labels that lead to an active child
};

}  // namespace ctcasr
