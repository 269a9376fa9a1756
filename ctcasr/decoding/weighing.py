"""The mass of label sequences over all their paths, for the survivors of a search.

A beam search loses mass: a prefix that is dropped takes with it the paths that would have gone on
to its extensions later. Each survivor of a long input has lost a factor of ten or so, not all the
same, and where two are nearly equal that decides which comes first. So the survivors, which share
most of their labels, are weighed again as one tree of prefixes, this time without dropping any.

Only a few prefixes have mass in any one frame, and they lie close together, since prefixes are
numbered as the search met them. What comes before the first or after the last one that has 1e-12
of the largest mass is left out, which keeps the cost near O(T) for each label that the survivors do
not share. csrc/weighing.hpp is the same in C++.
"""

import math

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-12
_TINY = 1e-290  # of a frame's likeliest symbol; below it numbers lose their digits


def weigh(
    log_probs: NDArray[np.float64],
    parents: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    blank: int,
) -> NDArray[np.float64]:
    """Return the natural-log mass of each prefix of a tree as a whole text.

    Args:
        log_probs: (T, V) natural logs.
        parents: (N,) of each prefix, in the order in which the search met them: a parent comes
            before its children; the root's is -1.
        labels: (N,) last labels; the root's is -1.
        blank: column of the CTC blank.

    Returns:
        (N,) lower bounds, and all but exact for what is not negligible beside the largest; -inf
        where some frame leaves them all without a probability that could be counted with.
    """
    in_blank = np.zeros(len(parents))
    in_blank[0] = 1.0
    in_label = np.zeros(len(parents))
    repeats = labels == labels[parents]  # needs a blank between
    repeats[0] = False
    log_scale = 0.0
    for frame in log_probs:
        peak = float(frame.max())
        probs = np.exp(frame - peak)
        mass = in_blank + in_label
        arriving = np.where(repeats, in_blank[parents], mass[parents])
        arriving[0] = 0.0
        in_label = (in_label + arriving) * probs[labels]
        in_blank = mass * probs[blank]
        mass = in_blank + in_label
        largest = float(mass.max())
        if largest < _TINY:  # all that was left had no future
            return np.full(len(parents), -np.inf)
        kept = np.flatnonzero(mass >= _NEGLIGIBLE * largest)
        is_outside = np.ones(len(mass), dtype=bool)
        is_outside[kept[0] : kept[-1] + 1] = False
        in_blank[is_outside] = in_label[is_outside] = 0.0
        _, exponent = np.frexp(largest)
        in_blank = np.ldexp(in_blank, -exponent)
        in_label = np.ldexp(in_label, -exponent)
        log_scale += peak + float(exponent) * math.log(2)
    with np.errstate(divide="ignore"):
        weighed: NDArray[np.float64] = np.log(in_blank + in_label) + log_scale
    return weighed
