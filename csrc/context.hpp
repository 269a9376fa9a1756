// What a prefix is worth beyond its CTC mass: language model, lexicon, hotwords.
//
// ctcasr/decoding/context.py is the definition; names and cases here are the same.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ctcasr {

constexpr double kForbidden = -std::numeric_limits<double>::infinity();
constexpr int32_t kRoot = 0;
constexpr int32_t kOutside = -1;
constexpr int32_t kNoWord = -1;
constexpr int32_t kBoundary = -1;
constexpr double kRounding = 1e-9;  // nats, for sums in another order

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
inline uint64_t bit_of(int32_t label) { return uint64_t{1} << (label & 63); }

struct Lexicon {
  Children children;
  std::vector<uint64_t> labels;  // the bits of those that go on from each node
  std::vector<int32_t> word;
  std::vector<double> charges;
  std::vector<double> label_costs, spelt_costs;  // of words outside, by label and by node
  double outside_charge = 0.0;
  bool is_closed = false;

  void note_labels() {
    labels.assign(word.size(), 0);
    for (size_t node = 0; node < word.size(); ++node)
      for (int32_t at = children.first[node]; at < children.first[node + 1]; ++at)
        labels[node] |= bit_of(children.symbol[at]);
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
    double worth;
  };

  // The most that one more label can be worth: one that goes on with a word, one of these with
  // which no word of the lexicon goes on, and any other.
  struct Gains {
    double inside, leaving, other;
  };

  std::vector<uint8_t> kinds;
  std::vector<int32_t> lm_words;
  double alpha = 0.0, beta = 0.0, unknown = 0.0, most_said = 0.0;
  bool has_lm = false, lm_counts_labels = false, has_lexicon = false, has_hotwords = false;
  NgramModel lm;
  Lexicon lexicon;
  Hotwords hotwords;

  State start() const {
    return {has_lm ? lm.start : 0, kRoot, has_hotwords ? hotwords.step(0, kBoundary).node : 0};
  }

  bool goes_on(int32_t label) const {
    return has_lexicon && static_cast<LabelKind>(kinds[label]) == LabelKind::kInside;
  }

  Completion complete(const State& state) const {
    if (!has_lexicon || state.spelt == kRoot) return {state.history, 0.0};
    int32_t word = state.spelt == kOutside ? kNoWord : lexicon.word[state.spelt];
    const bool is_outside = word == kNoWord;
    if (is_outside && lexicon.is_closed) return {state.history, kForbidden};
    if (!is_outside && has_lm) word = lm_words[word];
    int32_t history = state.history;
    double worth = say(history, word) - charge(state.spelt);
    if (is_outside) worth += spelt_cost(state.spelt);
    return {history, worth};
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
      const auto kind = static_cast<LabelKind>(kinds[label]);
      if (kind == LabelKind::kSpace || kind == LabelKind::kStartsWord) match(to, kBoundary);
      if (kind != LabelKind::kSpace) match(to, label);
      if (kind == LabelKind::kWholeWord) match(to, kBoundary);
    }
    return to;
  }

  double finish(const State& state) const {
    auto [history, worth] = complete(state);
    if (has_lm && lm.end >= 0) worth += alpha * lm.step(history, lm.end).log_prob;
    if (has_hotwords) {
      const auto last = hotwords.step(state.matched, kBoundary);
      worth += last.earned - hotwords.credit[last.node];
    }
    return worth;
  }

  Gains gains(const State& state) const {
    double most = kRounding;
    if (has_hotwords) most += hotwords.reach[state.matched] - hotwords.credit[state.matched];
    if (!has_lexicon) return {most + most_said, most + most_said, most + most_said};
    const double given_back = -charge(state.spelt);
    // In the lexicon no charge is smaller further down; one may be outside.
    const double leaving = lexicon.is_closed ? kForbidden
                                             : lexicon.outside_charge + given_back +
                                                   spelt_cost(state.spelt);
    return {most + std::max(0.0, leaving), most + leaving, most + most_said + given_back};
  }

  // The bits of the labels with which the lexicon goes on, all where it is not followed.
  uint64_t labels_inside(const State& state) const {
    return has_lexicon && state.spelt != kOutside ? lexicon.labels[state.spelt] : ~uint64_t{0};
  }

 private:
  void match(Extension& to, int32_t symbol) const {
    const auto next = hotwords.step(to.state.matched, symbol);
    to.state.matched = next.node;
    to.worth += next.earned;
  }

  // Follows the word that is being written by one label.
  double spell(State& state, int32_t label) const {
    if (static_cast<LabelKind>(kinds[label]) == LabelKind::kSpace) return 0.0;
    const int32_t after =
        state.spelt == kOutside ? kOutside : lexicon.children.find(state.spelt, label);
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
