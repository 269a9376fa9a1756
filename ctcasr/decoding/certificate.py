"""Certificates: is anything that the search has dropped more probable than what it found?

A beam search has had some prefixes in its beam and no others. This module looks again at all that
were ever in it, the tree of the search, this time without dropping any. So it knows exactly how
probable each labelling in the tree is. Every other labelling leaves the tree at one edge, from a
prefix p by a label k, and is at most as probable as

    sum over frames t of  mass of p before t  *  y_t(k)  *  later(k, t)

where later(k, t) bounds what any labelling's future can be worth once it has emitted k in frame t
(look_ahead.py).

Cost is that of the look-ahead and O(T * N * V) for N prefixes. For a search without a context.
csrc/certificate.hpp is the same in C++.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.look_ahead import Futures

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
    futures = Futures(log_probs, blank=blank)
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
