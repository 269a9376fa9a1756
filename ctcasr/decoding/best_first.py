"""Best-first search over prefixes: the engine of `prefix_search`, and the bounds that drive it.

A prefix stands for all labellings that begin with it. The mass of the paths that have just said its
last label, frame by frame, times a bound on what one labelling can make of the frames that are
left, is a bound on each of them; the prefix with the largest bound is opened next, and when no
bound exceeds the best complete labelling, that one is proven. Graves bounds the frames ahead by
the sum over all paths, 1. One labelling cannot have all of them, and look_ahead.py shows how few:
on peaky output this opens some prefixes for each label of the best labelling, where the sum
over all paths would open e^40.

One opened prefix costs O(T * V) in one product of NumPy over all labels, T steps in plain Python,
and memory O(T). Masses are logs relative to the best path, so that no number of frames underflows;
of the sum over an opened prefix's frames, what is e^-700 below its largest term is lost.
csrc/best_first.hpp is the same in C++.

Sources: Graves et al. 2006, section 3.2; Graves 2012, section 7.5.1 (the search). With
such bounds it is A* in the sense of Hart, Nilsson and Raphael 1968.
"""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.look_ahead import Futures

Floats = NDArray[np.float64]

ROUNDING = 1e-10  # nats; a labelling that is better by less is not looked for


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended.

    Attributes:
        labels: the best complete labelling that was seen.
        value: its exact log-probability, relative to the best path.
        bound: no labelling has a larger value than this.
        is_proven: nothing that could be better by more than rounding was left unopened.
        num_expanded: prefixes opened.
    """

    labels: tuple[int, ...]
    value: float
    bound: float
    is_proven: bool
    num_expanded: int


@dataclass(frozen=True, slots=True)
class _Prefix:
    """An opened prefix; its arrays are logs, (T + 1,): before the first frame and after each.

    Attributes:
        labels: its labels.
        in_blank: mass of the paths that read it and end in blank.
        mass: mass of all paths that read it.
        value: the log-probability of the prefix as a whole text.
    """

    labels: tuple[int, ...]
    in_blank: Floats
    mass: Floats
    value: float


def search_best_first(
    log_probs: Floats,
    *,
    blank: int,
    max_work: int,
    least: float = -math.inf,
) -> Found:
    """Return the labelling of the largest probability.

    It begins with one descent, to the best-looking child every time, so that there is something to
    return whenever the work has to stop.

    Args:
        log_probs: (T, V) logs, the largest of each frame 0.
        blank: column of the CTC blank.
        max_work: frames times opened prefixes; only the descent may exceed it.
        least: labellings that are not more probable are not looked for, and with one such known
            there is no descent.
    """
    columns = log_probs.T.tolist()
    ahead = _look_ahead(log_probs, blank=blank)
    best = prefix = _nothing_said(log_probs, blank=blank)
    heap: list[tuple[float, int, int, int, _Prefix]] = []
    count = itertools.count()  # the older of two equals goes first
    descending = least == -math.inf
    for opened in itertools.count(1):
        bounds = _bound_children(prefix, ahead)
        enough = max(best.value, least) + ROUNDING
        worth = np.flatnonzero(bounds > enough).tolist()
        descending = descending and len(worth) > 0
        if descending:
            bounds[bounds.argmax()] = np.inf
        for label in worth:
            heapq.heappush(
                heap, (-float(bounds[label]), -len(prefix.labels), next(count), label, prefix)
            )
        top = -heap[0][0] if heap else -math.inf
        is_proven = top <= enough
        if is_proven or (opened * len(log_probs) >= max_work and not descending):
            bound = max(top, enough)
            return Found(best.labels, best.value, bound, is_proven, opened)
        *_, label, parent = heapq.heappop(heap)
        prefix = _extend(parent, label, columns, blank=blank)
        if prefix.value > best.value:
            best = prefix
    raise AssertionError("the loop above has no end but its return")


def bound_all(log_probs: Floats, *, blank: int) -> float:
    """Return a log-bound on every labelling, without a search."""
    nothing = _nothing_said(log_probs, blank=blank)
    bounds = _bound_children(nothing, _look_ahead(log_probs, blank=blank))
    return max(nothing.value, float(bounds.max()))


def ctc_log_prob(log_probs: Floats, labels: Sequence[int], *, blank: int) -> float:
    """Return the log-probability of one labelling: the sum over all its paths."""
    columns = log_probs.T.tolist()
    prefix = _nothing_said(log_probs, blank=blank)
    for label in labels:
        prefix = _extend(prefix, label, columns, blank=blank)
    return prefix.value


def _nothing_said(log_probs: Floats, *, blank: int) -> _Prefix:
    """Return the empty prefix, whose one path is all blanks."""
    silence = np.concatenate([[0.0], np.cumsum(log_probs[:, blank])])
    return _Prefix((), in_blank=silence, mass=silence, value=float(silence[-1]))


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What saying a label in a frame, and all that may follow, is worth at most.

    Attributes:
        worths: (T, V), relative to `log_scale`; 0 for blank.
        log_scale: (T,)
    """

    worths: Floats
    log_scale: Floats


def _look_ahead(log_probs: Floats, *, blank: int) -> _Ahead:
    futures = Futures(log_probs, blank=blank)
    worths: Floats = np.exp(log_probs)
    for t in range(len(log_probs)):
        worths[t] *= futures.after_label(t + 1)
    worths[:, blank] = 0.0
    return _Ahead(worths, futures.log_scale[1:])


def _bound_children(prefix: _Prefix, ahead: _Ahead) -> Floats:
    """Return (V,) bounds on the value of every labelling that begins with `prefix` and a label."""
    arriving = prefix.mass[:-1] + ahead.log_scale
    scale = arriving.max(initial=-np.inf)
    if np.isneginf(scale):
        return np.full(ahead.worths.shape[1], -np.inf)
    shares = np.exp(arriving - scale) @ ahead.worths
    if prefix.labels:  # a repeat needs a blank between
        last = prefix.labels[-1]
        in_blank = np.exp(prefix.in_blank[:-1] + ahead.log_scale - scale)
        shares[last] = in_blank @ ahead.worths[:, last]
    with np.errstate(divide="ignore"):
        bounds: Floats = np.log(shares) + scale
    return bounds


def _extend(parent: _Prefix, label: int, columns: list[list[float]], *, blank: int) -> _Prefix:
    """Return `parent` and one more label, with the exact mass of its paths."""
    is_repeat = parent.labels[-1:] == (label,)
    source = (parent.in_blank if is_repeat else parent.mass).tolist()
    label_now = blank_now = -math.inf
    in_label, in_blank = [label_now], [blank_now]
    for arriving, says_label, says_blank in zip(
        source, columns[label], columns[blank], strict=False
    ):
        blank_now = says_blank + _log_sum(blank_now, label_now)
        label_now = says_label + _log_sum(arriving, label_now)
        in_label.append(label_now)
        in_blank.append(blank_now)
    mass = np.logaddexp(in_label, in_blank)
    return _Prefix((*parent.labels, label), np.array(in_blank), mass, float(mass[-1]))


def _log_sum(left: float, right: float) -> float:
    """Return log(exp(left) + exp(right)); NumPy's is ten times slower on one number."""
    if left < right:
        left, right = right, left
    return left if right == -math.inf else left + math.log1p(math.exp(right - left))
