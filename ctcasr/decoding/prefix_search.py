"""Graves' prefix search: the most probable labelling, proven, where a beam can only propose one.

The search opens prefixes best first and stops when the best complete labelling cannot be beaten by
what is unopened (`best_first`). It is exact: what it calls proven is the labelling of the largest
probability, to within rounding. How long that takes depends on the input: seconds and less on the
peaky output of a trained network, for ever on noise; hence a limit on work, after which the result
says by how much an unseen labelling might still be better. For everyday use there is
`PrefixBeamDecoder`; this is what tells how good a beam is.

Cost is O(T * V) time and O(T) memory for each prefix that is opened. The search runs in C++ where
that is built; no torch.

Sources: Graves et al. 2006, "Connectionist Temporal Classification", section 3.2;
Graves 2012, "Supervised Sequence Labelling", section 7.5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet
from ctcasr.decoding import core
from ctcasr.decoding.align import align_all
from ctcasr.decoding.best_first import (
    ROUNDING,
    Floats,
    Found,
    bound_all,
    ctc_log_prob,
    search_best_first,
)
from ctcasr.decoding.hypothesis import Hypothesis, Word, words_in_time
from ctcasr.decoding.log_probs import LogProbs, check_log_probs, to_alphabet


@dataclass(frozen=True, slots=True)
class PrefixSearchResult:
    """What a prefix search found, and how sure it is.

    Attributes:
        hypothesis: the best labelling seen; its `log_prob` is exact, over the whole input.
        is_proven: no labelling is more probable (by more than rounding, 1e-10 nats).
        gap: nats by which an unseen labelling might be more probable, at most; 0 where proven.
        num_expanded: prefixes opened.
        num_sections: parts that were searched one by one; 1 for the whole input.
        crossing: what sectioning could not see, in nats: how much the paths that say a label in a
            cut frame, or in another section than where it was found, add to the log-probability
            that the sections promise. The more, the less the cuts were in the right places. 0
            where nothing was cut.
    """

    hypothesis: Hypothesis
    is_proven: bool
    gap: float
    num_expanded: int
    num_sections: int
    crossing: float

    @property
    def upper_bound(self) -> float:
        """No labelling of this input has a larger log-probability."""
        return self.hypothesis.log_prob + self.gap


def prefix_search(
    log_probs: Any,
    labels: Alphabet | Sequence[str],
    *,
    blank: int = 0,
    max_work: int = 4_000_000,
    section_threshold: float | None = None,
) -> PrefixSearchResult:
    """Return the most probable labelling, or the best one found within the work allowed.

    With `section_threshold` the input is cut at every frame whose blank is more probable than
    that, each section is searched by itself, and what they say is joined. This is fast, and it is
    a heuristic: the result need not be the best labelling even where every section's is proven,
    since paths that cross a cut are not counted. `crossing` and `gap` say what it may have cost;
    `is_proven` is then true only where a bound over the whole input shows it.

    Args:
        log_probs: (T, V) natural logs, an array or a tensor; T may be 0.
        labels: an alphabet, or V characters in the order of the columns.
        blank: column of the CTC blank; an alphabet brings its own.
        max_work: frames times opened prefixes, at most; a million take some 50 ms in C++, about a
            second in NumPy, and 24 MB. Only a first descent to one whole labelling may exceed it.
        section_threshold: blank probability above which a frame separates sections, as 0.9999.

    Returns:
        The labelling with word times from a forced alignment. Of labellings equally probable it
        is any one.

    Raises:
        ValueError: the shape does not fit the labels, the values are no log-probabilities,
            `max_work` is below 1, or the threshold is outside 0 < threshold < 1.
    """
    if max_work < 1:
        raise ValueError(f"max_work is {max_work}; give at least 1 frame of one prefix")
    if section_threshold is not None and not 0.0 < section_threshold < 1.0:
        raise ValueError(f"section_threshold is {section_threshold}; give a probability, as 0.9999")
    alphabet = to_alphabet(labels, blank=blank)
    array = check_log_probs(log_probs, num_labels=len(alphabet)).astype(np.float64)
    peaks = array.max(axis=1, initial=-np.inf)
    relative = array - peaks[:, None]
    is_cut = np.zeros(len(array), dtype=bool)
    if section_threshold is not None:
        is_cut = array[:, alphabet.blank] > np.log(section_threshold)
    search = _search_sections if is_cut.any() else _search_whole
    found = search(relative, is_cut, blank=alphabet.blank, max_work=max_work)
    return PrefixSearchResult(
        hypothesis=_hypothesis(array, alphabet, found.labels, found.value + float(peaks.sum())),
        is_proven=found.is_proven,
        gap=0.0 if found.is_proven else found.bound - found.value,
        num_expanded=found.num_expanded,
        num_sections=found.num_sections,
        crossing=found.crossing,
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A search of the whole input or its sections; logs are relative to the best path."""

    labels: tuple[int, ...]
    value: float
    bound: float
    is_proven: bool
    num_expanded: int
    num_sections: int = 1
    crossing: float = 0.0


def _search_whole(
    log_probs: Floats, _: NDArray[np.bool_], *, blank: int, max_work: int
) -> _Outcome:
    found = _search(log_probs, blank=blank, max_work=max_work)
    return _Outcome(found.labels, found.value, found.bound, found.is_proven, found.num_expanded)


def _search(log_probs: Floats, *, blank: int, max_work: int) -> Found:
    """Search in C++, where that is built and its floats can hold what is in the frames."""
    if core.HAS_CORE:
        found = core.compiled.search_best_first(
            np.ascontiguousarray(log_probs), blank=blank, max_work=max_work
        )
        if found is not None:
            labels, value, bound, is_proven, num_expanded = found
            return Found(tuple(labels), value, bound, is_proven, num_expanded)
    return search_best_first(log_probs, blank=blank, max_work=max_work)


def _search_sections(
    log_probs: Floats, is_cut: NDArray[np.bool_], *, blank: int, max_work: int
) -> _Outcome:
    """Search what lies between cut frames, join it, and hold the whole against a bound."""
    labels: tuple[int, ...] = ()
    value_by_section = float(log_probs[is_cut, blank].sum())
    num_expanded = 0
    sections = _runs_of(~is_cut)
    for start, stop in sections:
        share = max(1, max_work * (stop - start) // len(log_probs))
        found = _search_whole(log_probs[start:stop], is_cut, blank=blank, max_work=share)
        labels += found.labels
        value_by_section += found.value
        num_expanded += found.num_expanded
    value = ctc_log_prob(log_probs, labels, blank=blank)
    bound = max(value, bound_all(log_probs, blank=blank))
    return _Outcome(
        labels,
        value,
        bound,
        is_proven=bound <= value + ROUNDING,
        num_expanded=num_expanded,
        num_sections=len(sections),
        crossing=max(0.0, value - value_by_section),  # rounding may leave it just below 0
    )


def _runs_of(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last + 1 position of each run of true values."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _hypothesis(
    log_probs: Floats, alphabet: Alphabet, labels: tuple[int, ...], log_prob: float
) -> Hypothesis:
    return Hypothesis(
        labels=labels,
        text=alphabet.decode(labels),
        log_prob=log_prob,
        ctc_log_prob=log_prob,
        find_words=partial(_find_words, log_probs, alphabet, labels),
    )


def _find_words(
    log_probs: LogProbs, alphabet: Alphabet, labels: tuple[int, ...]
) -> tuple[Word, ...]:
    (spans,) = align_all(log_probs, [labels], blank=alphabet.blank)
    return words_in_time(alphabet, labels, spans)
