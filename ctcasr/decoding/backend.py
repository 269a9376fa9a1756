"""Which implementation searches: the C++ core, or NumPy where it was not built.

Both do the same (search.py is the definition). The core releases the GIL and decodes the items of a
batch in threads; NumPy takes them one after another.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding import core
from ctcasr.decoding.context import Context, LmUnit, PrefixContext, State
from ctcasr.decoding.log_probs import LogProbs, contiguous
from ctcasr.decoding.search import Found, PrefixSearch, Pruning


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search of one item ended with.

    Attributes:
        found: best first.
        others_at_most: bound on the log-probability of all but the best; None where not asked for.
    """

    found: tuple[Found, ...]
    others_at_most: float | None


class Stream(Protocol):
    """A search under way."""

    def advance(self, log_probs: LogProbs) -> None:
        """Go on by the frames of (T, V) natural logs."""

    def found(self, log_probs: LogProbs, count: int) -> list[Found]:
        """Return up to `count` label sequences, best first; `log_probs` are all frames so far."""

    def stable(self) -> tuple[int, ...]:
        """Return the labels with which everything still in the beam begins."""


class Searcher(Protocol):
    """A search with its settings."""

    def decode(
        self, items: Sequence[LogProbs], *, count: int, certify: bool, workers: int
    ) -> list[Outcome]:
        """Search every item, each (T, V) natural logs."""

    def stream(self) -> Stream:
        """Begin a search that is given its frames bit by bit."""


def backend() -> str:
    """Return which implementation searches: "C++", or "NumPy" where the core was not built."""
    return "C++" if core.HAS_CORE else "NumPy"


def make_searcher(
    pruning: Pruning,
    context: PrefixContext | None,
    *,
    num_symbols: int,
    use_core: bool | None = None,
) -> Searcher:
    """Return a searcher; `use_core` False is for comparing the two.

    With a recurrent model NumPy searches in any case. Where it stands in for a core that was not
    built, that is said once.
    """
    if context is not None and not isinstance(context, Context):
        return NumpySearcher(pruning, context)
    if use_core is not False and not core.HAS_CORE:
        _say_that_numpy_searches()
    if core.HAS_CORE and use_core is not False:
        return CoreSearcher(pruning, context, num_symbols=num_symbols)
    return NumpySearcher(pruning, context)


@cache
def _say_that_numpy_searches() -> None:
    warnings.warn(
        "ctcasr was installed without its C++ search, so NumPy searches: the same results, a "
        "hundred times slower; install a C++17 compiler and ctcasr again for the fast one",
        RuntimeWarning,
        stacklevel=4,
    )


class NumpySearcher:
    """The readable search."""

    def __init__(self, pruning: Pruning, context: PrefixContext | None) -> None:
        self._pruning = pruning
        self._context = context

    def decode(
        self, items: Sequence[LogProbs], *, count: int, certify: bool, workers: int
    ) -> list[Outcome]:
        """See `Searcher`; `workers` changes nothing here."""
        outcomes = []
        for number, item in enumerate(items):
            try:
                outcomes.append(self._decode(item.astype(np.float64), count, certify))
            except ValueError as error:
                if len(items) == 1:
                    raise
                raise ValueError(f"item {number} of the batch: {error}") from error
        return outcomes

    def _decode(self, log_probs: NDArray[np.float64], count: int, certify: bool) -> Outcome:
        search = PrefixSearch(self._pruning, self._context)
        search.advance(log_probs)
        if not certify:
            return Outcome(tuple(search.found(log_probs, count)), None)
        found, others_at_most = search.certify(log_probs, count)
        return Outcome(tuple(found), others_at_most)

    def stream(self) -> Stream:
        """See `Searcher`."""
        return PrefixSearch(self._pruning, self._context)


class CoreSearcher:
    """The C++ search."""

    def __init__(self, pruning: Pruning, context: Context | None, *, num_symbols: int) -> None:
        self._decoder = core.compiled.Decoder(
            num_symbols=num_symbols,
            blank=pruning.blank,
            beam=pruning.beam,
            threshold=pruning.threshold,
            label_threshold=pruning.label_threshold,
            context=None if context is None else _copy_context(context),
        )

    def decode(
        self, items: Sequence[LogProbs], *, count: int, certify: bool, workers: int
    ) -> list[Outcome]:
        """See `Searcher`."""
        outcomes = self._decoder.decode(
            _of_one_type(items), count=count, certify=certify, workers=workers
        )
        return [
            Outcome(tuple(Found(*one) for one in found), others if certify else None)
            for found, others in outcomes
        ]

    def stream(self) -> Stream:
        """See `Searcher`."""
        return _CoreStream(self._decoder.stream())


class _CoreStream:
    def __init__(self, stream: "core.compiled.Stream") -> None:
        self._stream = stream

    def advance(self, log_probs: LogProbs) -> None:
        self._stream.advance(_of_one_type([log_probs])[0])

    def found(self, log_probs: LogProbs, count: int) -> list[Found]:
        return [Found(*one) for one in self._stream.found(contiguous(log_probs), count)]

    def stable(self) -> tuple[int, ...]:
        return tuple(self._stream.stable())


def _of_one_type(items: Sequence[LogProbs]) -> list[LogProbs]:
    """Return contiguous arrays, all float32 or all float64."""
    if all(item.dtype == np.float32 for item in items):
        return [contiguous(item) for item in items]
    return [contiguous(item.astype(np.float64)) for item in items]


class CoreContext:
    """A context whose questions C++ answers, for a search in Python that asks one at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._compiled = _copy_context(context)

    @property
    def unwritten(self) -> tuple[str, ...]:
        """See `PrefixContext`."""
        return self._context.unwritten

    def start(self) -> State:
        """See `PrefixContext`."""
        return self._context.start()

    def prepare(self, states: Sequence[State]) -> None:
        """Do nothing: an automaton has all answers at hand."""

    def extend(self, state: State, label: int) -> tuple[State, float]:
        """See `PrefixContext`."""
        history, spelt, matched, worth = self._compiled.extend(*state, label)
        return State(history, spelt, matched), worth

    def finish(self, state: State) -> float:
        """See `PrefixContext`."""
        return self._compiled.finish(*state)

    def gain(self, state: State) -> float:
        """See `PrefixContext`."""
        return self._context.gain(state)


def answer_fast(context: PrefixContext | None) -> PrefixContext | None:
    """Return the same context, whose questions C++ answers where it can."""
    if core.HAS_CORE and isinstance(context, Context):
        return CoreContext(context)
    return context


def _copy_context(context: Context) -> "core.compiled.Context":
    """Return the same context in C++."""
    copy = core.compiled.Context(
        context.kinds,
        context.lm_words,
        context.alpha,
        context.beta,
        context.unknown,
        context.most_said,
    )
    if (lm := context.lm) is not None:
        copy.set_lm(
            np.ascontiguousarray(lm.first_arc, dtype=np.int64),
            np.ascontiguousarray(lm.arc_word, dtype=np.int32),
            np.ascontiguousarray(lm.arc_log_prob, dtype=np.float32),
            np.ascontiguousarray(lm.arc_state, dtype=np.int32),
            np.ascontiguousarray(lm.backoff, dtype=np.float32),
            np.ascontiguousarray(lm.backoff_state, dtype=np.int32),
            lm.start,
            lm.end,
            lm.unknown,
            context.lm_unit is LmUnit.LABEL,
        )
    if (trie := context.lexicon) is not None:
        copy.set_lexicon(
            trie.first_child,
            trie.child_label,
            trie.child_node,
            trie.word,
            context.charges,
            context.outside_charge,
            context.label_costs,
            context.spelt_costs,
            context.is_closed,
        )
    if (hotwords := context.hotwords) is not None:
        copy.set_hotwords(
            hotwords.first_child,
            hotwords.child_symbol,
            hotwords.child_node,
            hotwords.fallback,
            hotwords.credit,
            hotwords.reward,
            hotwords.reach,
        )
    return copy
