"""Certificates: is anything that the search has dropped more probable than what it found?

A beam search has had some prefixes in its beam and no others. This module looks again at all that
were ever in it, the tree of the search, this time without dropping any. So it knows exactly how
probable each labelling in the tree is. Every other labelling leaves the tree at one edge, from a
prefix p by a label k, and is at most as probable as

    sum over frames t of  mass of p before t  *  y_t(k)  *  later(k, t)

where later(k, t) bounds what any labelling's future can be worth once it has emitted k in frame t.
It comes from looking ahead, from the last frame to the first. For a labelling that goes on with
label j and then k, or with label j after a label i, the bounds

    after_blank(j, k)    on what its future can be worth after a blank
    after_label(i, j)    on what its future can be worth after a label i

follow from the symbols that such a labelling can emit in one frame, blank, j, or i again:

    after_blank(j, k) = y(blank) * after_blank'(j, k) + y(j) * after_label'(j, k)
    after_label(i, j) = y(i) * after_label'(i, j) + the largest after_blank(j, k) over k

with ' for the frame after, and in the last line without the direct step to j where j = i, since a
repeat needs a blank; the end of the text counts as a label. Asking for the next two labels is what
makes the bounds tight: a labelling that goes on with j cannot also gain from not taking it.

Cost is O(T * V^2) for the look-ahead, with the V labels, 256 at most, that reach one in a thousand
in any frame (the others share one row), and O(T * N * V) for N prefixes. For a search without a
context. csrc/certificate.hpp is the same in C++.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RARE = 1e-3
_MOST_ROWS = 256
_TINY = 1e-290  # masses below it may vanish, which the bound allows for


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certain about the labellings of one item.

    Attributes:
        log_probs: (N,) exact natural-log probability of each prefix of the tree as a whole text.
        outside_at_most: no labelling outside the tree has a log-probability above this.
    """

    log_probs: NDArray[np.float64]
    outside_at_most: float


def certify(
    log_probs: NDArray[np.float64],
    parents: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    blank: int,
) -> Certificate:
    """Weigh all labellings, those in a tree of prefixes and those outside.

    Args:
        log_probs: (T, V) natural logs.
        parents: (N,) of each prefix; a parent comes before its children, the root's is -1.
        labels: (N,) last labels; the root's is -1.
        blank: column of the CTC blank.
    """
    futures = _Futures(log_probs, blank=blank)
    in_blank = np.zeros(len(parents))
    in_blank[0] = 1.0
    in_label = np.zeros(len(parents))
    leaving = np.zeros((len(parents), log_probs.shape[1]))
    log_scale, vanished = 0.0, 0.0
    nodes = np.arange(len(parents))
    for t, frame in enumerate(log_probs):
        peak = float(frame.max())
        probs = np.exp(frame - peak)
        extended = (in_blank + in_label)[:, None] * probs
        extended[nodes, labels] = in_blank * probs[labels]  # a repeat needs a blank
        scale = np.exp(log_scale + peak + futures.log_scale[t + 1] - futures.log_scale[0])
        leaving += extended * (futures.after_label(t + 1) * scale)
        vanished += 2 * _TINY * scale
        in_label = in_label * probs[labels]
        in_label[1:] += extended[parents[1:], labels[1:]]
        in_blank = extended[:, blank]
        largest = float((in_blank + in_label).max())
        in_blank /= largest
        in_label /= largest
        log_scale += peak + float(np.log(largest))
    leaving[:, blank] = 0.0
    leaving[parents[1:], labels[1:]] = 0.0  # these edges stay in the tree
    with np.errstate(divide="ignore"):
        return Certificate(
            log_probs=np.log(in_blank + in_label) + log_scale,
            outside_at_most=float(np.log(leaving.max() + vanished) + futures.log_scale[0]),
        )


class _Futures:
    """What any labelling's future can be worth from each frame on, relative to a scale.

    Args:
        log_probs: (T, V) natural logs.
        blank: column of the CTC blank.

    Attributes:
        log_scale: (T + 1,) of what `after_label` returns.
    """

    def __init__(self, log_probs: NDArray[np.float64], *, blank: int) -> None:
        self._rows, num_rows = _assign_rows(log_probs, blank=blank)
        self._after_label = np.ones((len(log_probs) + 1, num_rows))
        self.log_scale = np.zeros(len(log_probs) + 1)
        end, shared = 0, num_rows - 1
        own = np.arange(shared)  # two labels of the shared row may differ: they need no blank
        after_blank = np.zeros((num_rows, num_rows))
        after_blank[end, end] = 1.0
        after_label = np.zeros((num_rows, num_rows))
        after_label[:, end] = 1.0
        for t in reversed(range(len(log_probs))):
            peak = log_probs[t].max()
            probs = np.zeros(num_rows)
            np.maximum.at(probs, self._rows, np.exp(log_probs[t] - peak))
            waiting = probs[end] * after_blank
            of_next = np.where(np.arange(num_rows) == end, 0.0, probs)
            after_blank = waiting + of_next[:, None] * after_label
            direct = np.tile(after_blank.max(axis=1), (num_rows, 1))
            direct[own, own] = waiting.max(axis=1)[own]
            after_label = probs[:, None] * after_label + direct
            scale = max(after_blank.max(), after_label.max())
            after_blank /= scale
            after_label /= scale
            self._after_label[t] = after_label.max(axis=1)
            self.log_scale[t] = self.log_scale[t + 1] + peak + np.log(scale)

    def after_label(self, t: int) -> NDArray[np.float64]:
        """Return (V,) bounds on the future from frame t on, after each label in frame t - 1."""
        bounds: NDArray[np.float64] = self._after_label[t, self._rows]
        return bounds


def _assign_rows(log_probs: NDArray[np.float64], *, blank: int) -> tuple[NDArray[np.int64], int]:
    """Return each label's row and how many there are; the blank's is the end of the text."""
    peaks = log_probs.max(axis=0, initial=-np.inf)
    peaks[blank] = -np.inf
    common = np.flatnonzero(peaks >= np.log(_RARE))
    common = common[np.argsort(-peaks[common], kind="stable")][:_MOST_ROWS]
    rows = np.full(len(peaks), len(common) + 1)
    rows[blank] = 0
    rows[common] = np.arange(1, len(common) + 1)
    return rows, len(common) + 2
