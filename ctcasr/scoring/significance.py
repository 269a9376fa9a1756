"""How far an error rate could be from that of more speech of the same kind.

Errors of one speaker go together, so an interval that treats words or utterances as independent is
too narrow. The bootstrap here draws whole speakers where they are known, else whole utterances.

Source: Bisani and Ney 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
Evaluation"; percentile intervals after Efron and Tibshirani 1993, chapter 13.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Interval = tuple[float, float]
ResampledBy = Literal["speaker", "utterance"]

RESAMPLES = 1000
"""Draws per interval: the ends of a 95 % interval are then known to about a tenth of its width."""


def groups_to_resample(
    ids: Sequence[str], speakers: Sequence[str | None]
) -> tuple[Sequence[str], ResampledBy]:
    """Return the group of each item, and what a group is.

    Speakers where each item has one and there are at least two; else every utterance is its own
    group, and the interval says nothing about other speakers.
    """
    known = [speaker for speaker in speakers if speaker is not None]
    if len(known) == len(ids) and len(set(known)) >= 2:
        return known, "speaker"
    return ids, "utterance"


def bootstrap_interval(
    errors: ArrayLike,
    lengths: ArrayLike,
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Return the 95 % percentile interval of the pooled rate, sum(errors) / sum(lengths).

    Args:
        errors: (N,) errors of each item.
        lengths: (N,) reference tokens of each item.
        groups: (N,) names of what is drawn together: speakers or utterances.
        resamples: how many times as many groups as there are, are drawn with replacement.
        seed: the same seed and items, in any order, give the same interval.

    Returns:
        (low, high) as fractions; None with fewer than two groups, or where nothing was said.
    """
    names, group_of = np.unique(np.array(list(groups), dtype=np.str_), return_inverse=True)
    errors_by_group = np.bincount(group_of, weights=np.asarray(errors, dtype=np.float64))
    lengths_by_group = np.bincount(group_of, weights=np.asarray(lengths, dtype=np.float64))
    if len(names) < 2 or lengths_by_group.sum() == 0:
        return None
    draw = np.random.default_rng(seed)
    rates = []
    for _ in range(resamples):
        drawn = draw.integers(len(names), size=len(names))
        length = lengths_by_group[drawn].sum()
        if length > 0:  # a draw of silent utterances only has no rate
            rates.append(errors_by_group[drawn].sum() / length)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)
