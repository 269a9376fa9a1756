"""Best-first search over prefixes: the engine of `prefix_search`, and the bounds that drive it.

A prefix stands for all labellings that begin with it. The mass of the paths that have just said its
last label, frame by frame, times a bound on what one labelling can make of the frames that are
left, is a bound on each of them; the prefix with the largest bound is opened next, and when no
bound exceeds the best complete labelling, that one is proven. Graves bounds the frames ahead by
the sum over all paths, 1. One labelling cannot have all of them, and `bound_ahead` shows how few:

    share(c, d)   the most that one labelling gets of frames c..d-1: the mass of all paths there
                  that read some beginning of it, at the worst state to start from.

One frame: blank, the label that is being said, and the next one, so at most blank and the two
most probable labels. Many frames: the search itself, for the labelling whose beginnings have the
most mass in sum (a chain); where a label is already being said, the paths that go on with it are
added. And share(b, d) <= share(b, c) * share(c, d), since a path is in some state at c. Sections
are therefore doubled level by level, each level's bounds driving the search for the next. On peaky
output this opens hundreds of prefixes where the sum over all paths would open e^40.

One opened prefix costs O(T * V) in one product of NumPy over all labels, T steps in plain Python,
and memory O(T). Masses are logs relative to the best path, so that no number of frames underflows;
of the sum over an opened prefix's frames, what is e^-700 below its largest term is lost.

Sources: Graves et al. 2006, section 3.2; Graves 2012, section 7.5.1 (the search). The bounds are
our own: A* in the sense of Hart, Nilsson and Raphael 1968.
"""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDING = 1e-10  # nats; a labelling that is better by less is not looked for

_SECTION = 16  # frames of the shortest sections that are searched for their share
_SLACK = 0.01  # nats that a share may be too large
_OPENED = 500  # prefixes opened for one share, at most


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended.

    Attributes:
        labels: the best complete labelling that was seen.
        value: its exact log-probability, or its chain's, relative to the best path.
        bound: no labelling has a larger value than this.
        is_proven: nothing that could be better by more than the slack was left unopened.
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
        value: what is to be as large as possible: the last of its mass, or its chain's sum.
    """

    labels: tuple[int, ...]
    in_blank: Floats
    mass: Floats
    value: float


def search_best_first(
    log_probs: Floats,
    *,
    blank: int,
    log_ahead: Floats,
    max_work: int,
    chain: bool = False,
    slack: float = ROUNDING,
) -> Found:
    """Return the labelling of the largest probability.

    It begins with one descent, to the best-looking child every time, so that there is something to
    return whenever the work has to stop.

    Args:
        log_probs: (T, V) logs, the largest of each frame 0.
        blank: column of the CTC blank.
        log_ahead: (T,) bounds on what one labelling gets of all frames after each frame.
        max_work: frames times opened prefixes; only the descent may exceed it.
        chain: search instead for the largest sum over a labelling and all its beginnings.
        slack: nats by which another labelling may be better.
    """
    columns = log_probs.T.tolist()
    weights = _label_weights(log_probs, blank=blank)
    best = prefix = _nothing_said(log_probs, blank=blank)
    heap: list[tuple[float, int, int, int, _Prefix]] = []
    count = itertools.count()  # the older of two equals goes first
    descending = True
    for opened in itertools.count(1):
        bounds = _bound_children(prefix, weights, log_ahead, chain=chain)
        worth = np.flatnonzero(bounds > best.value + slack).tolist()
        descending = descending and len(worth) > 0
        if descending:
            bounds[bounds.argmax()] = np.inf
        for label in worth:
            heapq.heappush(
                heap, (-float(bounds[label]), -len(prefix.labels), next(count), label, prefix)
            )
        top = -heap[0][0] if heap else -math.inf
        is_proven = top <= best.value + slack
        if is_proven or (opened * len(log_probs) >= max_work and not descending):
            bound = max(top, best.value + slack)
            return Found(best.labels, best.value, bound, is_proven, opened)
        *_, label, parent = heapq.heappop(heap)
        prefix = _extend(parent, label, columns, blank=blank, chain=chain)
        if prefix.value > best.value:
            best = prefix
    raise AssertionError("the loop above has no end but its return")


def bound_all(log_probs: Floats, *, blank: int, log_ahead: Floats) -> float:
    """Return a log-bound on every labelling, without a search."""
    nothing = _nothing_said(log_probs, blank=blank)
    weights = _label_weights(log_probs, blank=blank)
    bounds = _bound_children(nothing, weights, log_ahead, chain=False)
    return max(nothing.value, float(bounds.max()))


def ctc_log_prob(log_probs: Floats, labels: Sequence[int], *, blank: int) -> float:
    """Return the log-probability of one labelling: the sum over all its paths."""
    columns = log_probs.T.tolist()
    prefix = _nothing_said(log_probs, blank=blank)
    for label in labels:
        prefix = _extend(prefix, label, columns, blank=blank, chain=False)
    return prefix.value


def _nothing_said(log_probs: Floats, *, blank: int) -> _Prefix:
    """Return the empty prefix, whose one path is all blanks."""
    silence = np.concatenate([[0.0], np.cumsum(log_probs[:, blank])])
    return _Prefix((), in_blank=silence, mass=silence, value=float(silence[-1]))


def _label_weights(log_probs: Floats, *, blank: int) -> Floats:
    """Return (T, V) probabilities relative to each frame's best, those of blank 0."""
    weights: Floats = np.exp(log_probs)
    weights[:, blank] = 0.0
    return weights


def _bound_children(prefix: _Prefix, weights: Floats, log_ahead: Floats, *, chain: bool) -> Floats:
    """Return (V,) bounds on the value of every labelling that begins with `prefix` and a label."""
    arriving = prefix.mass[:-1] + log_ahead
    scale = arriving.max(initial=-np.inf)
    if np.isneginf(scale):
        return np.full(weights.shape[1], -np.inf)
    shares = np.exp(arriving - scale) @ weights
    if prefix.labels:  # a repeat needs a blank between
        last = prefix.labels[-1]
        shares[last] = np.exp(prefix.in_blank[:-1] + log_ahead - scale) @ weights[:, last]
    with np.errstate(divide="ignore"):
        bounds: Floats = np.log(shares) + scale
    return np.logaddexp(bounds, np.where(shares > 0, prefix.value, -np.inf)) if chain else bounds


def _extend(
    parent: _Prefix, label: int, columns: list[list[float]], *, blank: int, chain: bool
) -> _Prefix:
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
    value = float(mass[-1])
    if chain:
        value = _log_sum(value, parent.value)
    return _Prefix((*parent.labels, label), np.array(in_blank), mass, value)


def _log_sum(left: float, right: float) -> float:
    """Return log(exp(left) + exp(right)); NumPy's is ten times slower on one number."""
    if left < right:
        left, right = right, left
    return left if right == -math.inf else left + math.log1p(math.exp(right - left))


def bound_ahead(log_probs: Floats, *, blank: int, max_work: int) -> tuple[Floats, int]:
    """Return (T,) log-bounds on what one labelling gets of all frames after each, and the work.

    Args:
        log_probs: (T, V) logs, the largest of each frame 0.
        blank: column of the CTC blank.
        max_work: frames times opened prefixes; past it, the bounds stay as they are.
    """
    by_frame = _share_by_frame(log_probs, blank=blank)
    cuts = _calm_frames(log_probs, blank=blank)
    ahead = np.zeros(len(log_probs))  # to the end of each frame's own section
    sections = list(itertools.pairwise(cuts))
    for start, stop in sections:
        ahead[start:stop] = _sum_after(by_frame[start:stop])
    shares = [float(by_frame[start:stop].sum()) for start, stop in sections]
    done = 0
    while len(sections) > 1:
        for at, (start, stop) in enumerate(sections[1:], start=1):  # nothing lies before the first
            if done < max_work:
                part, inner = log_probs[start:stop], ahead[start:stop]
                is_last = stop == len(log_probs)
                share, work = _share_by_search(part, inner, blank=blank, chain=not is_last)
                shares[at] = min(shares[at], share)
                done += work
        for left in range(0, len(sections) - 1, 2):
            start, stop = sections[left]
            ahead[start:stop] += shares[left + 1]
        shares = [sum(shares[at : at + 2]) for at in range(0, len(shares), 2)]
        sections = [
            (sections[at][0], sections[at : at + 2][-1][1]) for at in range(0, len(sections), 2)
        ]
    return ahead, done


def _share_by_frame(log_probs: Floats, *, blank: int) -> Floats:
    """Return (T,) log-shares of single frames: blank and the two most probable labels."""
    probs = np.exp(log_probs)
    in_blank = probs[:, blank]
    labels = np.delete(probs, blank, axis=1)
    labels.sort(axis=1)
    shares: Floats = np.log(in_blank + labels[:, -2:].sum(axis=1))
    return shares


def _share_by_search(
    log_probs: Floats, log_ahead: Floats, *, blank: int, chain: bool
) -> tuple[float, int]:
    """Return a section's log-share and the work it took; `log_ahead` ends with the section.

    In the last section a labelling must be read to its end, so that its chain does not count.
    """
    limit = _OPENED * len(log_probs)
    found = search_best_first(
        log_probs, blank=blank, log_ahead=log_ahead, max_work=limit, chain=chain, slack=_SLACK
    )
    going_on = float(np.delete(log_probs[0], blank).max(initial=-np.inf)) + float(log_ahead[0])
    return _log_sum(found.bound, going_on), found.num_expanded * len(log_probs)


def _calm_frames(log_probs: Floats, *, blank: int) -> list[int]:
    """Return 0, frames about `_SECTION` apart where labels are least probable, and T."""
    loudest = np.delete(log_probs, blank, axis=1).max(axis=1, initial=-np.inf)
    cuts = [0]
    while len(log_probs) - cuts[-1] > 2 * _SECTION:
        first = cuts[-1] + _SECTION // 2
        cuts.append(first + int(loudest[first : first + _SECTION].argmin()))
    return [*cuts, len(log_probs)]


def _sum_after(values: Floats) -> Floats:
    """Return for each value the sum of those after it."""
    sums: Floats = np.cumsum(values[::-1])[::-1] - values
    return sums
