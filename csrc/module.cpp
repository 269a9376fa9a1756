// The Python side of the C++ core: arrays in, label sequences out; the GIL is released while it
// works. In ctcasr/decoding, backend.py calls the search and align.py the alignment.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>

#include "align.hpp"
#include "best_first.hpp"
#include "search.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace ctcasr {

template <typename T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <typename T>
std::vector<T> to_vector(const Array<T>& array) {
  return std::vector<T>(array.data(), array.data() + array.shape(0));
}

// Refuses rows of another length: the search would read beyond them.
template <typename Float>
void check_width(const Matrix<Float>& log_probs, int32_t num_symbols) {
  if (log_probs.shape(1) != static_cast<size_t>(num_symbols))
    throw std::invalid_argument("log_probs has " + std::to_string(log_probs.shape(1)) +
                                " columns but the search has " + std::to_string(num_symbols) +
                                " symbols");
}

// What a search found: (labels, log_prob, ctc_log_prob) each, and the bound on all others.
struct Outcome {
  std::vector<Found> found;
  double others = std::numeric_limits<double>::quiet_NaN();
};

class Decoder {
 public:
  Decoder(const Pruning& pruning, std::shared_ptr<Context> context)
      : pruning_(pruning), context_(std::move(context)) {}

  template <typename Float>
  Outcome decode(const Float* log_probs, int64_t num_frames, int64_t count, bool certify) const {
    PrefixSearch search(pruning_, context_.get());
    search.advance(log_probs, num_frames);
    if (!certify) return {search.found(log_probs, num_frames, count)};
    auto [found, others] = search.certify(log_probs, num_frames, count);
    return {std::move(found), others};
  }

  PrefixSearch stream() const { return PrefixSearch(pruning_, context_.get()); }

  int32_t num_symbols() const { return pruning_.num_symbols; }

 private:
  Pruning pruning_;
  std::shared_ptr<Context> context_;
};

nb::tuple to_python(const Found& found) {
  nb::list labels;
  for (const int32_t label : found.labels) labels.append(label);
  return nb::make_tuple(nb::tuple(labels), found.log_prob, found.ctc_log_prob);
}

nb::list to_python(const std::vector<Found>& found) {
  nb::list items;
  for (const Found& one : found) items.append(to_python(one));
  return items;
}

nb::tuple to_python(const Outcome& outcome) {
  return nb::make_tuple(to_python(outcome.found), outcome.others);
}

// Decodes every item, `workers` at a time; the first exception stops the rest and is thrown again,
// with the item's number in front where there are several.
template <typename Float>
nb::list decode_all(const Decoder& decoder, const std::vector<Matrix<Float>>& items, int64_t count,
                    bool certify, int workers) {
  for (const auto& item : items) check_width(item, decoder.num_symbols());
  std::vector<Outcome> outcomes(items.size());
  {
    nb::gil_scoped_release release;
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    size_t failed = 0;
    std::mutex failure_mutex;
    const auto work = [&] {
      for (size_t i = next++; i < items.size(); i = next++) {
        try {
          outcomes[i] = decoder.decode(items[i].data(), items[i].shape(0), count, certify);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(failure_mutex);
          if (!failure) {
            failure = std::current_exception();
            failed = i;
          }
          next = items.size();
        }
      }
    };
    std::vector<std::thread> threads;
    const auto wanted = std::min<size_t>(std::max(workers, 1), items.size());
    try {
      for (size_t i = 1; i < wanted; ++i) threads.emplace_back(work);
    } catch (const std::system_error&) {
      // The machine has no more threads to give; those there are do all the work.
    }
    work();
    for (auto& thread : threads) thread.join();
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::domain_error& error) {
      if (items.size() == 1) throw;
      throw std::domain_error("item " + std::to_string(failed) + " of the batch: " + error.what());
    }
  }
  nb::list results;
  for (const Outcome& outcome : outcomes) results.append(to_python(outcome));
  return results;
}

template <typename Float>
nb::list found_so_far(const PrefixSearch& search, const Matrix<Float>& log_probs, int64_t count) {
  check_width(log_probs, search.num_symbols());
  if (static_cast<int64_t>(log_probs.shape(0)) > search.num_frames())
    throw std::invalid_argument("log_probs has " + std::to_string(log_probs.shape(0)) +
                                " frames but the search was given " +
                                std::to_string(search.num_frames()));
  std::vector<Found> found;
  {
    nb::gil_scoped_release release;
    found = search.found(log_probs.data(), log_probs.shape(0), count);
  }
  return to_python(found);
}

// The frames of each label on the best path of a label sequence. The caller has seen to it that the
// labels fit the columns and the frames.
template <typename Float>
std::optional<std::vector<Span>> align(const Matrix<Float>& log_probs,
                                       const Array<int32_t>& labels, int32_t blank,
                                       int64_t block) {
  const auto num_symbols = static_cast<int32_t>(log_probs.shape(1));
  const auto wanted = to_vector(labels);
  for (const int32_t label : wanted)
    if (label < 0 || label >= num_symbols) throw std::invalid_argument("a label has no column");
  if (blank < 0 || blank >= num_symbols || block < 1)
    throw std::invalid_argument("blank has no column, or a block no frames");
  nb::gil_scoped_release release;
  const Aligner<Float> aligner(log_probs.data(), log_probs.shape(0), num_symbols, blank, wanted,
                               block);
  return aligner.spans();
}

Children make_children(const Array<int32_t>& first, const Array<int32_t>& symbol,
                       const Array<int32_t>& node) {
  return {to_vector(first), to_vector(symbol), to_vector(node)};
}

// The most probable label sequence as (labels, value, bound, is_proven, num_opened); nothing where
// the numbers in a frame are too far apart for it.
std::optional<std::tuple<std::vector<int32_t>, double, double, bool, int64_t>> search_best_first(
    const Matrix<double>& log_probs, int32_t blank, int64_t max_work) {
  const auto num_frames = static_cast<int64_t>(log_probs.shape(0));
  const auto num_symbols = static_cast<int32_t>(log_probs.shape(1));
  if (blank < 0 || blank >= num_symbols) throw std::invalid_argument("blank has no column");
  nb::gil_scoped_release release;
  if (!BestFirst<double>::fits(log_probs.data(), num_frames, num_symbols)) return std::nullopt;
  Proof proof =
      BestFirst<double>(log_probs.data(), num_frames, num_symbols, blank).search(max_work);
  return std::make_tuple(std::move(proof.labels), proof.value, proof.bound, proof.is_proven,
                         proof.num_opened);
}

}  // namespace ctcasr

NB_MODULE(_core, module) {
  using namespace ctcasr;

  module.def("align", &align<float>, "log_probs"_a, "labels"_a, "blank"_a, "block"_a);
  module.def("align", &align<double>, "log_probs"_a, "labels"_a, "blank"_a, "block"_a);

  module.def("search_best_first", &search_best_first, "log_probs"_a, "blank"_a, "max_work"_a);

  nb::class_<Context>(module, "Context")
      .def("__init__",
           [](Context* self, const Array<uint8_t>& kinds, const Array<int32_t>& lm_words,
              double alpha, double beta, double unknown, double most_said) {
             new (self) Context();
             self->kinds = to_vector(kinds);
             self->lm_words = to_vector(lm_words);
             self->alpha = alpha;
             self->beta = beta;
             self->unknown = unknown;
             self->most_said = most_said;
           })
      .def("set_lm",
           [](Context& self, const Array<int64_t>& first_arc, const Array<int32_t>& arc_word,
              const Array<float>& arc_log_prob, const Array<int32_t>& arc_state,
              const Array<float>& backoff, const Array<int32_t>& backoff_state, int32_t start,
              int32_t end, int32_t unknown, bool counts_labels) {
             self.has_lm = true;
             self.lm_counts_labels = counts_labels;
             self.lm = {to_vector(first_arc), to_vector(arc_word),      to_vector(arc_log_prob),
                        to_vector(arc_state), to_vector(backoff),       to_vector(backoff_state),
                        start,                end,                      unknown};
           })
      .def("set_lexicon",
           [](Context& self, const Array<int32_t>& first, const Array<int32_t>& label,
              const Array<int32_t>& node, const Array<int32_t>& word, const Array<double>& charges,
              double outside_charge, const Array<double>& label_costs,
              const Array<double>& spelt_costs, bool is_closed) {
             Lexicon lexicon;
             lexicon.children = make_children(first, label, node);
             lexicon.word = to_vector(word);
             lexicon.charges = to_vector(charges);
             lexicon.label_costs = to_vector(label_costs);
             lexicon.spelt_costs = to_vector(spelt_costs);
             lexicon.outside_charge = outside_charge;
             lexicon.is_closed = is_closed;
             self.set_lexicon(std::move(lexicon));
           })
      .def("set_hotwords", [](Context& self, const Array<int32_t>& first,
                              const Array<int32_t>& symbol, const Array<int32_t>& node,
                              const Array<int32_t>& fallback, const Array<double>& credit,
                              const Array<double>& reward, const Array<double>& reach) {
        self.has_hotwords = true;
        self.hotwords = {make_children(first, symbol, node), to_vector(fallback),
                         to_vector(credit), to_vector(reward), to_vector(reach)};
      })
      .def("extend",
           [](const Context& self, int32_t history, int32_t spelt, int32_t matched,
              int32_t label) {
             const Context::State from{history, spelt, matched};
             Context::Completion word{};
             const auto to = self.extend(from, label, [&]() -> const Context::Completion& {
               return word = self.complete(from);
             });
             return std::make_tuple(to.state.history, to.state.spelt, to.state.matched, to.worth);
           })
      .def("finish", [](const Context& self, int32_t history, int32_t spelt, int32_t matched) {
        return self.finish({history, spelt, matched});
      });

  nb::class_<PrefixSearch>(module, "Stream")
      .def("advance",
           [](PrefixSearch& self, const Matrix<float>& log_probs) {
             check_width(log_probs, self.num_symbols());
             nb::gil_scoped_release release;
             self.advance(log_probs.data(), log_probs.shape(0));
           })
      .def("advance",
           [](PrefixSearch& self, const Matrix<double>& log_probs) {
             check_width(log_probs, self.num_symbols());
             nb::gil_scoped_release release;
             self.advance(log_probs.data(), log_probs.shape(0));
           })
      .def("found", &found_so_far<float>, "log_probs"_a, "count"_a)
      .def("found", &found_so_far<double>, "log_probs"_a, "count"_a)
      .def("stable", &PrefixSearch::stable);

  nb::class_<Decoder>(module, "Decoder")
      .def("__init__",
           [](Decoder* self, int32_t num_symbols, int32_t blank, int32_t beam, double threshold,
              double label_threshold, const Context* context) {
             std::shared_ptr<Context> copy;
             if (context) copy = std::make_shared<Context>(*context);
             new (self) Decoder({num_symbols, blank, beam, threshold, label_threshold}, copy);
           },
           "num_symbols"_a, "blank"_a, "beam"_a, "threshold"_a, "label_threshold"_a,
           "context"_a.none())
      .def("decode", &decode_all<float>, "items"_a, "count"_a, "certify"_a, "workers"_a)
      .def("decode", &decode_all<double>, "items"_a, "count"_a, "certify"_a, "workers"_a)
      .def("stream", &Decoder::stream, nb::keep_alive<0, 1>());
}
