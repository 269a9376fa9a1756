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

from collections.abc import Sequence
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
        in_label, in_blank: (N, T + 1) of the paths over the first t frames that become the prefix
            and end in its last label, or in blank; beyond the utterance's frames, anything.
    """

    utterances: NDArray[np.int64]
    last: NDArray[np.int64]
    in_label: NDArray[np.float64]
    in_blank: NDArray[np.float64]


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
        self._logs = np.zeros((len(items), most, num_symbols))
        for row, item in zip(self._logs, items, strict=True):
            np.maximum(item, _LEAST, out=row[: len(item)], dtype=np.float64)
        self._probs = [np.exp(item.astype(np.float64)) for item in items]

    def begin(self) -> PrefixMasses:
        """Return the masses of the empty prefix of each utterance."""
        count, most, _ = self._logs.shape
        nothing = np.zeros((count, 1))
        return PrefixMasses(
            utterances=np.arange(count),
            last=np.full(count, _NO_LABEL),
            in_label=np.full((count, most + 1), _NOTHING),
            in_blank=np.concatenate(
                [nothing, self._logs[:, :, self._blank].cumsum(axis=1)], axis=1
            ),
        )

    def scores(self, masses: PrefixMasses) -> NDArray[np.float64]:
        """Return (N, V + 1): the prefix score of each prefix with one more label, and of its end.

        Natural logs; the last column is the log-probability of the prefix as the whole text. That
        of blank is minus infinity.
        """
        count, num_symbols = len(masses.last), self._logs.shape[2]
        found = np.full((count, num_symbols + 1), _NOTHING)
        for utterance in np.unique(masses.utterances):
            rows = np.flatnonzero(masses.utterances == utterance)
            length, probs = self._lengths[utterance], self._probs[utterance]
            in_label, in_blank = masses.in_label[rows], masses.in_blank[rows]
            both = np.logaddexp(in_label, in_blank)
            found[rows, :num_symbols] = _log_product(both[:, :length], probs)
            has_last = np.flatnonzero(masses.last[rows] != _NO_LABEL)
            last = masses.last[rows[has_last]]
            repeated = _log_product(in_blank[has_last, :length], probs)
            found[rows[has_last], last] = repeated[np.arange(len(last)), last]
            found[rows, num_symbols] = both[:, length]
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
        in_label, in_blank = masses.in_label[rows], masses.in_blank[rows]
        is_repeat = (masses.last[rows] == labels)[:, None]
        before = np.where(is_repeat, in_blank, np.logaddexp(in_label, in_blank))
        ended = _running_sum(before, self._logs[utterances, :, labels])
        silent = _running_sum(ended, self._logs[utterances, :, self._blank])
        return PrefixMasses(utterances, labels, ended, silent)


def _log_product(masses: NDArray[np.float64], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, V) ln of sum over t of exp(masses[n, t]) * probs[t, v]."""
    peaks = masses.max(axis=1, keepdims=True, initial=_NOTHING)
    peaks = np.where(np.isneginf(peaks), 0.0, peaks)
    with np.errstate(divide="ignore"):
        found: NDArray[np.float64] = np.log(np.exp(masses - peaks) @ probs) + peaks
    return found


def _running_sum(
    entering: NDArray[np.float64], log_probs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return m with m[0] = 0 mass and m[t] = p_t * (m[t - 1] + entering[t - 1]), all in logs.

    Args:
        entering: (N, T + 1).
        log_probs: (N, T).
    """
    through = np.concatenate([np.zeros((len(log_probs), 1)), log_probs.cumsum(axis=1)], axis=1)
    sums = np.logaddexp.accumulate(entering[:, :-1] - through[:, :-1], axis=1)
    nothing = np.full((len(log_probs), 1), _NOTHING)
    return np.concatenate([nothing, sums + through[:, 1:]], axis=1)
