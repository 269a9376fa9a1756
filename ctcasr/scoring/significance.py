"""How far an error rate could be from that of more speech of the same kind.

Errors of one speaker go together, so an interval that treats words or utterances as independent is
too narrow. The bootstrap here draws whole speakers where they are known, else whole utterances.

Source: Bisani and Ney 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
Evaluation"; percentile intervals after Efron and Tibshirani 1993, chapter 13.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]
BY_SPEAKER, BY_UTTERANCE = "speaker", "utterance"

RESAMPLES = 1000
"""Draws per interval: the ends of a 95 % interval are then known to about a tenth of its width."""

_DRAWN_AT_ONCE = 1 << 18  # groups in memory


def groups_to_resample(
    ids: Sequence[str], values: Sequence[str | None], by: str = BY_SPEAKER
) -> tuple[Sequence[str], str]:
    """Return the group of each item, and what a group is.

    The values of a field where each item has one and there are at least two; else every utterance
    is its own group, and the interval says nothing about other speakers.

    Args:
        ids: of the items.
        values: of the field, as many.
        by: the field's name.

    Returns:
        Names of groups; the field's name or "utterance".
    """
    known = [value for value in values if value is not None]
    if len(known) == len(ids) and len(set(known)) >= 2:
        return known, by
    return ids, BY_UTTERANCE


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
    by_group = sum_by_group(groups, errors, lengths)
    if len(by_group) < 2 or by_group[:, 1].sum() == 0:
        return None
    drawn_errors, drawn_lengths = draw_sums(by_group, resamples=resamples, seed=seed).T
    spoken = drawn_lengths > 0  # a draw of silent utterances only has no rate
    low, high = np.percentile(drawn_errors[spoken] / drawn_lengths[spoken], [2.5, 97.5])
    return float(low), float(high)


def sum_by_group(groups: Sequence[str], *columns: ArrayLike) -> NDArray[np.float64]:
    """Return the sums of each column over each group: (G, columns), groups in order of name.

    Args:
        groups: (N,) names.
        columns: (N,) numbers each.
    """
    names, group_of = np.unique(np.array(list(groups), dtype=np.str_), return_inverse=True)
    return np.stack(
        [
            np.bincount(group_of, np.asarray(column, dtype=np.float64), minlength=len(names))
            for column in columns
        ],
        axis=1,
    )


def draw_sums(by_group: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the sums over groups drawn with replacement, as many as there are: (R, columns).

    Equal seeds draw equal groups, so that what is drawn apart can be compared. Memory does not grow
    with R * G.

    Args:
        by_group: (G, columns), G at least 1.
        resamples: R.
        seed: of the draws.
    """
    num_groups = len(by_group)
    columns = np.ascontiguousarray(by_group.T)
    at_once = max(1, _DRAWN_AT_ONCE // num_groups)
    draw = np.random.default_rng(seed)
    sums = np.empty((resamples, len(columns)))
    for done in range(0, resamples, at_once):
        some = sums[done : done + at_once]
        drawn = draw.integers(num_groups, size=(len(some), num_groups))
        for index, column in enumerate(columns):
            some[:, index] = column[drawn].sum(axis=1)
    return sums
