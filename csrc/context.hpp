// What a prefix is worth beyond its CTC mass: language model, lexicon, hotwords.
//
// ctcasr/decoding/context.py is the definition; names and cases here are the same.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace ctcasr {

constexpr double kForbidden = -std::numeric_limits<double>::infinity();
constexpr int32_t kRoot = 0;
constexpr int32_t kOutside = -1;
constexpr int32_t kNoWord = -1;
constexpr int32_t kBoundary = -1;
constexpr double kRounding = 1e-9;  // nats, for sums in another order
constexpr double kLn2 = 0.693147180559945309417;

enum class LabelKind : uint8_t { kInside = 0, kSpace = 1, kStartsWord = 2, kWholeWord = 3 };

// The children of every node of a trie, sorted by symbol.
struct Children {
  std::vector<int32_t> first, symbol, node;

  int32_t find(int32_t parent, int32_t wanted) const {
    const auto from = symbol.begin() + first[parent], to = symbol.begin() + first[parent + 1];
    const auto at = std::lower_bound(from, to, wanted);
    return at != to && *at == wanted ? node[at - symbol.begin()] : -1;
  }
};

// A back-off n-gram model as a deterministic automaton; see ctcasr/decoding/ngram.py.
struct NgramModel {
  std::vector<int64_t> first_arc;
  std::vector<int32_t> arc_word;
  std::vector<float> arc_log_prob;
  std::vector<int32_t> arc_state;
  std::vector<float> backoff;
  std::vector<int32_t> backoff_state;
  int32_t start = 0, end = -1, unknown = -1;

  struct Step {
    int32_t state;
    double log_prob;
  };

  Step step(int32_t state, int32_t word) const {
    double backed_off = 0.0;
    for (;;) {
      const auto from = arc_word.begin() + first_arc[state];
      const auto to = arc_word.begin() + first_arc[state + 1];
      const auto arc = std::lower_bound(from, to, word);
      if (arc != to && *arc == word) {
        const auto at = arc - arc_word.begin();
        return {arc_state[at], backed_off + arc_log_prob[at]};
      }
      if (state == 0) return {0, kForbidden};  // state 0 has an arc for every word it knows
      backed_off += backoff[state];
      state = backoff_state[state];
    }
  }
};

// One of 64 bits for a label; several share one where there are more.
constexpr int32_t kNumBits = 64;
inline uint64_t bit_of(int32_t label) { return uint64_t{1} << (label & 63); }

// How many bits are set: in pairs, in fours, in bytes, then in all. Processors have an instruction for
// it, but not all that we compile for, and std::bitset makes a call of it.
inline uint64_t count_bits(uint64_t bits) {
  bits -= (bits >> 1) & 0x5555555555555555u;
  bits = (bits & 0x3333333333333333u) + ((bits >> 2) & 0x3333333333333333u);
  bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
  return (bits * 0x0101010101010101u) >> 56;
}

// exp of the most that one more label can be worth: one that goes on with a word, one of these with
// which no word of the lexicon goes on, and any other.
struct Gains {
  double inside, leaving, other;
};

struct Lexicon {
  Children children;
  std::vector<int32_t> word;
  std::vector<double> charges;
  std::vector<double> label_costs, spelt_costs;  // of words outside, by label and by node
  double outside_charge = 0.0;
  bool is_closed = false;

  // Made of the above by `prepare`. By node: the bits of the labels that go on from it; exp of what
  // it is worth to come there from its parent, and to leave for a word outside, but for the label.
  std::vector<uint64_t> labels;
  std::vector<double> entering, leaving;
  std::vector<double> of_label;  // exp of label_costs
  bool has_own_bits = false;     // each label has a bit of its own

  void prepare() {
    labels.assign(word.size(), 0);
    entering.assign(word.size(), 1.0);
    leaving.assign(word.size(), 0.0);
    for (size_t node = 0; node < word.size(); ++node) {
      for (int32_t at = children.first[node]; at < children.first[node + 1]; ++at) {
        labels[node] |= bit_of(children.symbol[at]);
        const int32_t below = children.node[at];
        entering[below] = std::exp(charges[below] - charges[node]);
      }
      if (!is_closed)
        leaving[node] = std::exp(outside_charge - charges[node] + spelt_costs[node]);
    }
    of_label.clear();
    for (const double cost : label_costs) of_label.push_back(std::exp(cost));
    has_own_bits = label_costs.size() <= kNumBits;
  }

  // The node one label further, or kOutside.
  int32_t child(int32_t node, int32_t label) const {
    const uint64_t bit = bit_of(label);
    if (!(labels[node] & bit)) return kOutside;
    if (!has_own_bits) return children.find(node, label);
    const uint64_t rank = count_bits(labels[node] & (bit - 1));
    return children.node[static_cast<uint64_t>(children.first[node]) + rank];
  }

  // exp of what one more label of a word is worth.
  double factor(int32_t spelt, int32_t label) const {
    if (spelt == kOutside) return of_label[label];
    const int32_t after = child(spelt, label);
    return after == kOutside ? leaving[spelt] * of_label[label] : entering[after];
  }
};

struct Hotwords {
  Children children;
  std::vector<int32_t> fallback;
  std::vector<double> credit, reward, reach;

  struct Step {
    int32_t node;
    double earned;
  };

  Step step(int32_t node, int32_t symbol) const {
    const int32_t before = node;
    int32_t after = children.find(node, symbol);
    while (after < 0 && node) {
      node = fallback[node];
      after = children.find(node, symbol);
    }
    after = std::max(after, 0);
    if (after == before) return {after, 0.0};
    return {after, credit[after] + reward[after] - credit[before]};
  }
};

struct Context {
  struct State {
    int32_t history = 0, spelt = kRoot, matched = 0;
  };

  struct Extension {
    State state;
    double worth;
  };

  // The end of the word that is being written: the history after it, and its worth.
  struct Completion {
    int32_t history;
    double worth, factor;  // the worth, and exp of it
  };

  std::vector<uint8_t> kinds;
  std::vector<int32_t> lm_words;
  double alpha = 0.0, beta = 0.0, unknown = 0.0, most_said = 0.0;
  bool has_lm = false, lm_counts_labels = false, has_lexicon = false, has_hotwords = false;
  NgramModel lm;
  Lexicon lexicon;
  Hotwords hotwords;
  std::vector<Gains> gains_of_words;  // outside the lexicon, then at each of its nodes

  // Takes a lexicon, when all numbers above are set.
  void set_lexicon(Lexicon given) {
    has_lexicon = true;
    lexicon = std::move(given);
    lexicon.prepare();
    gains_of_words.clear();
    for (int32_t spelt = kOutside; spelt < static_cast<int32_t>(lexicon.word.size()); ++spelt)
      gains_of_words.push_back(gains({0, spelt, 0}, false));
  }

  State start() const {
    return {has_lm ? lm.start : 0, kRoot, has_hotwords ? hotwords.step(0, kBoundary).node : 0};
  }

  // Whether what a label is worth depends on the word that is being written alone.
  bool spells_alone() const { return has_lexicon && !has_hotwords; }

  LabelKind kind(int32_t label) const { return static_cast<LabelKind>(kinds[label]); }

  bool goes_on(int32_t label) const {
    return has_lexicon && kind(label) == LabelKind::kInside;
  }

  Completion complete(const State& state) const {
    if (!has_lexicon || state.spelt == kRoot) return {state.history, 0.0, 1.0};
    int32_t word = state.spelt == kOutside ? kNoWord : lexicon.word[state.spelt];
    const bool is_outside = word == kNoWord;
    if (is_outside && lexicon.is_closed) return {state.history, kForbidden, 0.0};
    if (!is_outside && has_lm) word = lm_words[word];
    int32_t history = state.history;
    double worth = say(history, word) - charge(state.spelt);
    if (is_outside) worth += spelt_cost(state.spelt);
    return {history, worth, std::exp(worth)};
  }

  // `completed` is asked for where the label ends a word.
  template <typename Complete>
  Extension extend(const State& from, int32_t label, const Complete& completed) const {
    Extension to{from, 0.0};
    if (has_lm && lm_counts_labels) {
      to.worth = say(to.state.history, lm_words[label]);
    } else if (has_lexicon) {
      if (!goes_on(label)) {
        const Completion& word = completed();
        to = {{word.history, kRoot, from.matched}, word.worth};
      }
      to.worth += spell(to.state, label);
    } else if (has_lm) {  // every label is a word
      to.worth = say(to.state.history, lm_words[label]);
    }
    if (has_hotwords) {
      const LabelKind of_label = kind(label);
      if (of_label == LabelKind::kSpace || of_label == LabelKind::kStartsWord) match(to, kBoundary);
      if (of_label != LabelKind::kSpace) match(to, label);
      if (of_label == LabelKind::kWholeWord) match(to, kBoundary);
    }
    return to;
  }

  double finish(const State& state) const {
    const Completion word = complete(state);
    double worth = word.worth;
    if (has_lm && lm.end >= 0) worth += alpha * lm.step(word.history, lm.end).log_prob;
    if (has_hotwords) {
      const auto last = hotwords.step(state.matched, kBoundary);
      worth += last.earned - hotwords.credit[last.node];
    }
    return worth;
  }

  Gains gains(const State& state) const {
    return spells_alone() ? gains_of_words[state.spelt + 1] : gains(state, has_hotwords);
  }

  // The bits of the labels with which the lexicon goes on, all where it is not followed.
  uint64_t labels_inside(const State& state) const {
    return has_lexicon && state.spelt != kOutside ? lexicon.labels[state.spelt] : ~uint64_t{0};
  }

 private:
  Gains gains(const State& state, bool with_hotwords) const {
    double most = kRounding;
    if (with_hotwords) most += hotwords.reach[state.matched] - hotwords.credit[state.matched];
    const double given_back = has_lexicon ? -charge(state.spelt) : 0.0;
    const double other = std::exp(most + most_said + given_back);
    if (!has_lexicon) return {other, other, other};
    // In the lexicon no charge is smaller further down; one may be outside.
    const double leaving =
        lexicon.is_closed ? kForbidden
                          : lexicon.outside_charge + given_back + spelt_cost(state.spelt);
    return {std::exp(most + std::max(0.0, leaving)), std::exp(most + leaving), other};
  }

  void match(Extension& to, int32_t symbol) const {
    const auto next = hotwords.step(to.state.matched, symbol);
    to.state.matched = next.node;
    to.worth += next.earned;
  }

  // Follows the word that is being written by one label.
  double spell(State& state, int32_t label) const {
    if (kind(label) == LabelKind::kSpace) return 0.0;
    const int32_t after = state.spelt == kOutside ? kOutside : lexicon.child(state.spelt, label);
    if (after == kOutside && lexicon.is_closed) return kForbidden;
    double worth = charge(after) - charge(state.spelt);
    if (after == kOutside) worth += lexicon.label_costs[label] + spelt_cost(state.spelt);
    state.spelt = after;
    return worth;
  }

  double say(int32_t& history, int32_t word) const {
    double worth = beta;
    if (word < 0) worth += unknown;
    if (!has_lm) return worth;
    if (word < 0) word = lm.unknown;
    if (word < 0) {  // a model without <unk> says nothing and forgets
      history = 0;
      return worth;
    }
    const auto next = lm.step(history, word);
    history = next.state;
    return worth + alpha * next.log_prob;
  }

  double charge(int32_t spelt) const {
    return spelt == kOutside ? lexicon.outside_charge : lexicon.charges[spelt];
  }

  // The cost of spelling a word so far that turns out to be outside the lexicon.
  double spelt_cost(int32_t spelt) const {
    return spelt == kOutside ? 0.0 : lexicon.spelt_costs[spelt];
  }
};

}  // namespace ctcasr
