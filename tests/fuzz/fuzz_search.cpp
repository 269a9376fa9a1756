// Feed random input to the C++ search under sanitizers: any shape, any values but NaN, any context,
// any chunks.
//
//   g++ -std=c++17 -O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Icsrc
//       tests/fuzz/fuzz_search.cpp -o /tmp/fuzz_search && /tmp/fuzz_search 1000000 0
//
// The arguments are the number of cases and the seed. Beside the sanitizers' own checks, what is
// found must be in order and distinct; chunks must find, bit for bit, what one piece finds; a search
// may come to a dead end only in a context; a certificate must hold against a wide beam; and what is
// aligned must be spans of its own labels, whatever the block. The Python side of the boundary is
// held by tests/test_decoding_backends.py.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "align.hpp"
#include "search.hpp"

using namespace ctcasr;

namespace {

class Draw {
 public:
  explicit Draw(uint64_t seed) : generator_(seed) {}

  int32_t between(int32_t low, int32_t high) {  // both included
    return std::uniform_int_distribution<int32_t>(low, high)(generator_);
  }
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(generator_);
  }
  double normal() { return std::normal_distribution<double>()(generator_); }
  bool chance(double share) { return real(0.0, 1.0) < share; }

 private:
  std::mt19937_64 generator_;
};

[[noreturn]] void fail(const char* what) { throw std::logic_error(what); }

using Tree = std::vector<std::map<int32_t, int32_t>>;

int32_t descend(Tree& tree, int32_t node, int32_t symbol) {
  const auto [at, is_new] = tree[node].try_emplace(symbol, static_cast<int32_t>(tree.size()));
  const int32_t child = at->second;
  if (is_new) tree.emplace_back();
  return child;
}

Children flatten(const Tree& tree) {
  Children children;
  children.first.push_back(0);
  for (const auto& below : tree) {
    for (const auto& [symbol, node] : below) {
      children.symbol.push_back(symbol);
      children.node.push_back(node);
    }
    children.first.push_back(static_cast<int32_t>(children.symbol.size()));
  }
  return children;
}

Lexicon random_lexicon(Draw& draw, int32_t num_symbols, int32_t num_words) {
  Tree tree(1);
  Lexicon lexicon;
  std::map<int32_t, int32_t> ends;
  for (int32_t word = 0; word < num_words; ++word) {
    int32_t node = kRoot;
    for (int32_t length = draw.between(1, 4); length > 0; --length)
      node = descend(tree, node, draw.between(0, num_symbols - 1));
    ends[node] = word;
  }
  lexicon.children = flatten(tree);
  lexicon.word.assign(tree.size(), kNoWord);
  for (const auto& [node, word] : ends) lexicon.word[node] = word;
  for (size_t node = 0; node < tree.size(); ++node)
    lexicon.charges.push_back(node ? -draw.real(0.0, draw.chance(0.1) ? 100.0 : 5.0) : 0.0);
  lexicon.outside_charge = -draw.real(0.0, 20.0);
  for (int32_t label = 0; label < num_symbols; ++label)
    lexicon.label_costs.push_back(-draw.real(0.0, 5.0));
  for (size_t node = 0; node < tree.size(); ++node)
    lexicon.spelt_costs.push_back(-draw.real(0.0, 20.0));
  lexicon.is_closed = draw.chance(0.5);
  return lexicon;
}

Hotwords random_hotwords(Draw& draw, int32_t num_symbols) {
  Tree tree(1);
  Hotwords hotwords;
  for (int32_t phrases = draw.between(1, 4); phrases > 0; --phrases) {
    int32_t node = descend(tree, 0, kBoundary);
    for (int32_t words = draw.between(1, 3); words > 0; --words) {
      for (int32_t length = draw.between(1, 3); length > 0; --length)
        node = descend(tree, node, draw.between(0, num_symbols - 1));
      node = descend(tree, node, kBoundary);
    }
  }
  hotwords.fallback.assign(tree.size(), 0);
  std::deque<int32_t> queue;
  for (const auto& [symbol, node] : tree[0]) queue.push_back(node);
  for (; !queue.empty(); queue.pop_front()) {
    for (const auto& [symbol, child] : tree[queue.front()]) {
      int32_t shorter = hotwords.fallback[queue.front()];
      while (shorter && !tree[shorter].count(symbol)) shorter = hotwords.fallback[shorter];
      const auto known = tree[shorter].find(symbol);
      hotwords.fallback[child] = known == tree[shorter].end() ? 0 : known->second;
      queue.push_back(child);
    }
  }
  for (size_t node = 0; node < tree.size(); ++node) {
    hotwords.credit.push_back(node ? draw.real(0.0, 9.0) : 0.0);
    hotwords.reward.push_back(node && draw.chance(0.3) ? draw.real(0.0, 9.0) : 0.0);
    hotwords.reach.push_back(draw.real(0.0, 20.0));
  }
  const auto num_nodes = static_cast<int32_t>(tree.size());
  for (int32_t node = 0; node < num_nodes; ++node) {
    const auto boundary = tree[node].find(kBoundary);
    if (boundary == tree[node].end() || boundary->second == node) continue;
    tree[boundary->second].emplace(kBoundary, boundary->second);
  }
  hotwords.children = flatten(tree);
  return hotwords;
}

NgramModel random_model(Draw& draw, int32_t num_words) {
  NgramModel model;
  const int32_t num_states = draw.between(1, 6);
  model.first_arc.push_back(0);
  for (int32_t state = 0; state < num_states; ++state) {
    for (int32_t word = 0; word < num_words; ++word) {
      if (state && draw.chance(0.7)) continue;
      model.arc_word.push_back(word);
      model.arc_log_prob.push_back(-static_cast<float>(draw.real(0.0, 8.0)));
      model.arc_state.push_back(draw.between(0, num_states - 1));
    }
    model.first_arc.push_back(static_cast<int64_t>(model.arc_word.size()));
    model.backoff.push_back(state ? static_cast<float>(draw.real(-3.0, 1.0)) : 0.0f);
    model.backoff_state.push_back(state ? draw.between(0, state - 1) : 0);
  }
  model.start = draw.between(0, num_states - 1);
  model.end = draw.chance(0.7) ? draw.between(0, num_words - 1) : -1;
  model.unknown = draw.chance(0.7) ? draw.between(0, num_words - 1) : -1;
  return model;
}

Context random_context(Draw& draw, int32_t num_symbols) {
  Context context;
  const bool has_whole_words = draw.chance(0.2);
  for (int32_t k = 0; k < num_symbols; ++k)
    context.kinds.push_back(static_cast<uint8_t>(has_whole_words ? 3 : draw.between(0, 2)));
  context.alpha = draw.chance(0.2) ? 0.0 : draw.real(0.0, 3.0);
  context.beta = draw.real(-3.0, 3.0);
  context.unknown = -draw.real(0.0, 20.0);
  context.most_said = draw.real(0.0, 3.0);
  const int32_t num_words = draw.between(1, 6);
  context.has_lm = draw.chance(0.5);
  const bool has_lexicon = draw.chance(0.5);
  context.has_hotwords = draw.chance(0.5);
  context.lm_counts_labels = context.has_lm && draw.chance(0.4);
  if (context.has_lm && !has_lexicon && !has_whole_words) context.lm_counts_labels = true;
  if (context.has_lm) context.lm = random_model(draw, num_words);
  if (has_lexicon) context.set_lexicon(random_lexicon(draw, num_symbols, num_words));
  if (context.has_hotwords) context.hotwords = random_hotwords(draw, num_symbols);
  for (int32_t k = 0; k < std::max(num_symbols, num_words); ++k)
    context.lm_words.push_back(draw.between(-1, num_words - 1));
  return context;
}

// (T, V) natural logs as the decoder lets them through: some probability in each frame, no NaN.
template <typename Float>
std::vector<Float> random_frames(Draw& draw, int32_t num_frames, int32_t num_symbols) {
  std::vector<Float> frames(static_cast<size_t>(num_frames) * num_symbols);
  const double sharpness = std::vector<double>{0.0, 0.3, 1.0, 5.0, 300.0}[draw.between(0, 4)];
  const double zeros = draw.chance(0.4) ? draw.real(0.0, 0.9) : 0.0;
  for (int32_t t = 0; t < num_frames; ++t) {
    Float* frame = frames.data() + static_cast<size_t>(t) * num_symbols;
    double sum = 0.0, peak = -std::numeric_limits<double>::infinity();
    std::vector<double> values;
    for (int32_t k = 0; k < num_symbols; ++k) values.push_back(sharpness * draw.normal());
    for (const double value : values) peak = std::max(peak, value);
    for (const double value : values) sum += std::exp(value - peak);
    const int32_t certain = draw.between(0, num_symbols - 1);
    for (int32_t k = 0; k < num_symbols; ++k)
      frame[k] = k != certain && draw.chance(zeros)
                     ? -std::numeric_limits<Float>::infinity()
                     : static_cast<Float>(values[k] - peak - std::log(sum));
  }
  return frames;
}

bool are_equal(const std::vector<Found>& ours, const std::vector<Found>& theirs) {
  return std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                    [](const Found& a, const Found& b) {
                      return a.labels == b.labels && a.log_prob == b.log_prob &&
                             a.ctc_log_prob == b.ctc_log_prob;
                    });
}

void check_found(const std::vector<Found>& found, const Pruning& pruning) {
  if (found.empty() || found.size() > static_cast<size_t>(pruning.beam)) fail("size of the beam");
  std::set<std::vector<int32_t>> labels;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i].log_prob) || !std::isfinite(found[i].ctc_log_prob))
      fail("a score is not finite");
    if (i && found[i].log_prob > found[i - 1].log_prob) fail("not in order");
    if (!labels.insert(found[i].labels).second) fail("the same labels twice");
    for (const int32_t label : found[i].labels)
      if (label < 0 || label >= pruning.num_symbols || label == pruning.blank)
        fail("a label that is none");
  }
}

template <typename Float>
void check_certificate(const Pruning& pruning, const std::vector<Float>& frames,
                       int32_t num_frames) {
  PrefixSearch search(pruning, nullptr);
  search.advance(frames.data(), num_frames);
  const auto [certified, bound] = search.certify(frames.data(), num_frames, 1);
  if (certified.empty()) return;  // nothing in the tree is possible
  const auto& best = certified.front();
  PrefixSearch wide({pruning.num_symbols, pruning.blank, 2000, 0.0, 0.0}, nullptr);
  wide.advance(frames.data(), num_frames);
  for (const Found& rival : wide.found(frames.data(), num_frames, 2))
    if (rival.labels != best.labels && rival.log_prob > bound + 1e-6 * (1 - bound))
      fail("a rival above its bound");
}

template <typename Float>
void check_alignment(Draw& draw, const Pruning& pruning, const std::vector<Float>& frames,
                     int32_t num_frames) {
  if (pruning.num_symbols == 1) return;
  std::vector<int32_t> labels;
  for (int32_t length = draw.between(0, num_frames + 2); length > 0; --length)
    labels.push_back((pruning.blank + draw.between(1, pruning.num_symbols - 1)) %
                     pruning.num_symbols);
  const auto align = [&](int64_t block) {
    return Aligner<Float>(frames.data(), num_frames, pruning.num_symbols, pruning.blank, labels,
                          block)
        .spans();
  };
  const auto spans = align(draw.between(1, 20));
  if (spans != align(Aligner<Float>::kBlock)) fail("the block decides the alignment");
  if (!spans) return;
  if (spans->size() != labels.size()) fail("not a span for each label");
  int64_t stop = 0;
  for (size_t k = 0; k < labels.size(); ++k) {
    const bool repeats = k && labels[k] == labels[k - 1];
    if ((*spans)[k].first < stop + repeats || (*spans)[k].second <= (*spans)[k].first)
      fail("labels overlap");
    stop = (*spans)[k].second;
  }
  if (stop > num_frames) fail("a label after the end");
}

// Returns whether the search came to an end.
template <typename Float>
bool run_case(Draw& draw) {
  const int32_t num_symbols = draw.chance(0.05) ? draw.between(1, 300) : draw.between(1, 6);
  const int32_t num_frames = draw.chance(0.05) ? draw.between(0, 200) : draw.between(0, 12);
  const Pruning pruning{num_symbols, draw.between(0, num_symbols - 1),
                        draw.chance(0.1) ? draw.between(1, 200) : draw.between(1, 6),
                        draw.chance(0.5) ? 0.0 : draw.real(0.0, 0.5),
                        draw.chance(0.7) ? 0.0 : draw.real(0.0, 0.5)};
  std::optional<Context> context;
  if (draw.chance(0.7)) context = random_context(draw, num_symbols);
  const auto frames = random_frames<Float>(draw, num_frames, num_symbols);

  check_alignment(draw, pruning, frames, num_frames);

  PrefixSearch whole(pruning, context ? &*context : nullptr);
  try {
    whole.advance(frames.data(), num_frames);
  } catch (const std::domain_error&) {
    if (!context && pruning.label_threshold == 0.0) fail("a dead end without a context");
    return false;
  }
  const auto found = whole.found(frames.data(), num_frames, pruning.beam);
  check_found(found, pruning);

  PrefixSearch begun(pruning, context ? &*context : nullptr);
  std::vector<int32_t> stable;
  for (int32_t t = 0; t < num_frames;) {
    const int32_t length = draw.between(0, num_frames - t);
    begun.advance(frames.data() + static_cast<size_t>(t) * num_symbols, length);
    t += length;
    const auto longer = begun.stable();
    if (longer.size() < stable.size() || !std::equal(stable.begin(), stable.end(), longer.begin()))
      fail("what was stable has changed");
    stable = longer;
  }
  if (!are_equal(begun.found(frames.data(), num_frames, pruning.beam), found)) fail("chunks find something else");
  if (!context && num_frames <= 7 && num_symbols <= 4)
    check_certificate(pruning, frames, num_frames);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  uint64_t num_ended = 0;
  for (uint64_t number = 0; number < count; ++number) {
    Draw draw(seed * 1'000'000'000 + number);
    try {
      num_ended += draw.chance(0.5) ? run_case<float>(draw) : run_case<double>(draw);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "case %llu of seed %llu: %s\n", static_cast<unsigned long long>(number),
                   static_cast<unsigned long long>(seed), error.what());
      return 1;
    }
  }
  std::printf("%llu cases: %llu decoded, %llu dead ends\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(num_ended),
              static_cast<unsigned long long>(count - num_ended));
  return 0;
}
