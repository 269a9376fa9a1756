"""CTC prefix scores: how probable it is that the text begins with some labels.

    prefix(g)     = sum of p(text) over all texts that begin with the labels g
    prefix(g + c) = sum over frames t of (mass of g before t) * p_t(c)

A new label c appears for the first time in some frame t, after everything up to t - 1 has become g.
A repeat of the last label needs a blank in between, so that only paths which end in blank count for
it. One product of matrices gives the scores of all labels after a prefix; the masses of a longer
prefix are needed for those alone that a search keeps. Here each is a running sum over frames:

    in_label(g + c, t) = p_t(c)     * (in_label(g + c, t - 1) + mass of g before t)
    in_blank(g + c, t) = p_t(blank) * (in_blank(g + c, t - 1) + in_label(g + c, t - 1))

With them a search that writes label by label can ask CTC too, after every label. NumPy only; no
torch. tests/test_decoding_ctc_prefix_score.py holds all of it against enumeration.

Source: Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech recognition",
section III-C, algorithm 2.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.log_probs import LogProbs

_NOTHING = -np.inf
_LEAST = -700.0
"""Nats below which a frame's probability counts as this; exp of less is zero."""
_NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class PrefixMasses:
    """The mass of N prefixes after each frame, in natural logs.

    Attributes:
        utterances: (N,) which utterance each belongs to.
        last: (N,) their last labels; -1 for the empty prefix.
        in_blank: (N, T + 1) of the paths over the first t frames that become the prefix and end in
            blank; beyond the utterance's frames, less than anything that counts.
        all: (N, T + 1) the same with the paths that end in the last label.
    """

    utterances: NDArray[np.int64]
    last: NDArray[np.int64]
    in_blank: NDArray[np.float64]
    all: NDArray[np.float64]


class CtcPrefixScorer:
    """Prefix scores over the frames of some utterances.

    Args:
        items: (T, V) natural-log probabilities of each utterance.
        blank: column of the CTC blank.
    """

    def __init__(self, items: Sequence[LogProbs], *, blank: int) -> None:
        self._blank = blank
        self._lengths = np.array([len(item) for item in items])
        most = int(self._lengths.max(initial=0))
        num_symbols = items[0].shape[1] if items else 0
        logs = np.full((len(items), num_symbols, most), _LEAST)
        self._probs = np.zeros((len(items), num_symbols, most))  # 0 beyond the utterance
        for row, probs, item in zip(logs, self._probs, items, strict=True):
            np.maximum(item.T, _LEAST, out=row[:, : len(item)], dtype=np.float64)
            np.exp(item.T, out=probs[:, : len(item)], dtype=np.float64)
        self._through = np.zeros((len(items), num_symbols, most + 1))
        """Of a label in each of the first t frames, one after the other."""
        logs.cumsum(axis=2, out=self._through[:, :, 1:])

    def begin(self) -> PrefixMasses:
        """Return the masses of the empty prefix of each utterance."""
        count = len(self._through)
        silent = self._through[:, self._blank]
        return PrefixMasses(np.arange(count), np.full(count, _NO_LABEL), silent, silent)

    def scores(self, masses: PrefixMasses) -> NDArray[np.float64]:
        """Return (N, V + 1): the prefix score of each prefix with one more label, and of its end.

        Natural logs; the last column is the log-probability of the prefix as the whole text. That
        of blank is minus infinity.
        """
        utterances, last = masses.utterances, masses.last
        count, num_symbols, most = len(last), *self._probs.shape[1:]
        peaks = masses.all.max(axis=1, keepdims=True, initial=_NOTHING)
        peaks = np.where(np.isneginf(peaks), 0.0, peaks)
        found = np.empty((count, num_symbols + 1))
        shares = np.exp(masses.all[:, :most] - peaks)
        for first, end in _runs(utterances):
            probs = self._probs[utterances[first]]
            np.matmul(shares[first:end], probs.T, out=found[first:end, :num_symbols])
        rows = np.flatnonzero(last != _NO_LABEL)
        after_blank = np.exp(masses.in_blank[rows, :most] - peaks[rows])
        probs = self._probs[utterances[rows], last[rows]]
        found[rows, last[rows]] = np.einsum("nt,nt->n", after_blank, probs)
        with np.errstate(divide="ignore"):
            np.log(found[:, :num_symbols], out=found[:, :num_symbols])
        found[:, :num_symbols] += peaks
        found[:, num_symbols] = masses.all[np.arange(count), self._lengths[utterances]]
        found[:, self._blank] = _NOTHING
        return found

    def advance(
        self, masses: PrefixMasses, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> PrefixMasses:
        """Return the masses of longer prefixes.

        Args:
            masses: of the prefixes before.
            rows: (N,) which of them each goes on from.
            labels: (N,) the label that is added.
        """
        utterances = masses.utterances[rows]
        is_repeat = (masses.last[rows] == labels)[:, None]
        before = np.where(is_repeat, masses.in_blank[rows], masses.all[rows])
        ended = _running_sum(before, self._through[utterances, labels])
        silent = _running_sum(ended, self._through[utterances, self._blank])
        return PrefixMasses(utterances, labels, silent, np.logaddexp(ended, silent))

    def text_scores(self, texts: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """Return the log-probability of known texts, all their paths together.

        Args:
            texts: of each utterance, the labels of any number of texts.
        """
        known = [labels for some in texts for labels in some]
        scores = np.full(len(known), _NOTHING)
        rows = np.repeat(np.arange(len(texts)), [len(some) for some in texts])
        under_way = np.arange(len(known))
        masses, place = self.begin(), 0
        while len(under_way):
            is_over = np.array([len(known[at]) == place for at in under_way])
            over = rows[is_over]
            lengths = self._lengths[masses.utterances[over]]
            scores[under_way[is_over]] = masses.all[over, lengths]
            under_way, rows = under_way[~is_over], rows[~is_over]
            labels = np.array([known[at][place] for at in under_way], dtype=np.int64)
            masses = self.advance(masses, rows, labels)
            rows, place = np.arange(len(under_way)), place + 1
        of_each = iter(scores.tolist())
        return [[next(of_each) for _ in some] for some in texts]


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield where stretches of one value begin and end."""
    edges = np.flatnonzero(np.diff(values)) + 1
    yield from itertools.pairwise([0, *edges.tolist(), len(values)] if len(values) else [])


def _running_sum(
    entering: NDArray[np.float64], through: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return m with m[0] = 0 mass and m[t] = p_t * (m[t - 1] + entering[t - 1]), all in logs.

    Args:
        entering: (N, T + 1).
        through: (N, T + 1) the sum of ln p over the first t frames.
    """
    found = np.full(entering.shape, _NOTHING)
    np.logaddexp.accumulate(entering[:, :-1] - through[:, :-1], axis=1, out=found[:, 1:])
    found[:, 1:] += through[:, 1:]
    return found
