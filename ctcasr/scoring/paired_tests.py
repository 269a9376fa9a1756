"""Whether one system is better than another on the same test set, or only seems so.

Three questions, three tests. They pair what both systems made of the same speech, so what makes
an utterance hard for both does not count as doubt.

    paired_bootstrap   how far the rates differ, and how sure that is: for other speakers as well,
                       where whole speakers are drawn
    matched_pairs      MAPSSWE: word errors in segments between words that both recognised
    mcnemar            sentences that only one of the two got right

The last two take segments and sentences as independent of one another. Where speakers differ much,
or there are few, the bootstrap is the one to trust.

Sources: Bisani and Ney 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
Evaluation"; Gillick and Cox 1989, "Some Statistical Issues in the Comparison of Speech Recognition
Algorithms"; Pallett, Fisher and Fiscus 1990, "Tools for the Analysis of Benchmark Speech
Recognition Tests"; SCTK, src/sclite/mtchprs.c and sentmcn.c, github.com/usnistgov/SCTK.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from ctcasr.scoring.alignment import Pair
from ctcasr.scoring.significance import Interval, draw_sums, sum_by_group

MOST_RESAMPLES, FEWEST_RESAMPLES = 10_000, 1_000
_GROUPS_DRAWN = 200_000_000  # in all, where there are many groups; seconds
_GOOD_WORDS = 2  # that both recognised, in a row, and that end a segment; sc_stats' default


@dataclass(frozen=True, slots=True)
class RateDifference:
    """How much higher the rate of the other system is than the baseline's; below 0, it is better.

    Attributes:
        difference: of the pooled rates, a fraction; None where nothing was said.
        interval: 95 %; None with fewer than two groups.
        p_value: two-sided, of no difference; None where there is no interval.
        resamples: draws that interval and p-value rest on.
    """

    difference: float | None
    interval: Interval | None = None
    p_value: float | None = None
    resamples: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record of comparison.json, without its p-value's correction."""
        return {
            "difference": self.difference,
            "ci95": None if self.interval is None else list(self.interval),
            "p": self.p_value,
            "resamples": self.resamples,
        }


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """MAPSSWE: errors per segment of the baseline, less those of the other system.

    Attributes:
        segments: how many; each holds an error of one system at least.
        mean: of the differences; above 0, the baseline makes more errors.
        deviation: their standard deviation (n - 1).
        z: mean / (deviation / sqrt(segments)).
        p_value: two-sided, by the normal distribution, so that 50 segments or more are wanted.
    """

    segments: int
    mean: float
    deviation: float
    z: float
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """Return the record of comparison.json, without its p-value's correction."""
        return {
            "segments": self.segments,
            "mean": self.mean,
            "sd": self.deviation,
            "z": self.z,
            "p": self.p_value,
        }


@dataclass(frozen=True, slots=True)
class McNemar:
    """Sentences that only one of two systems got right, and how odd the division is."""

    only_baseline: int
    only_other: int
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """Return the record of comparison.json, without its p-value's correction."""
        return {
            "only_baseline_right": self.only_baseline,
            "only_system_right": self.only_other,
            "p": self.p_value,
        }


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Where one utterance went wrong.

    Attributes:
        wrong: for each word that was said, 1 where it was missed or mistaken, else 0.
        inserted: words added before each word that was said, and after the last: one entry more.
    """

    wrong: tuple[int, ...]
    inserted: tuple[int, ...]

    @classmethod
    def none(cls, num_words: int) -> "WordErrors":
        """Return those of an utterance that was recognised."""
        return cls((0,) * num_words, (0,) * (num_words + 1))


def locate_errors(pairs: Sequence[Pair]) -> WordErrors:
    """Return where an alignment has errors."""
    wrong, inserted = [], [0]
    for said, recognised in pairs:
        if said is None:
            inserted[-1] += 1
        else:
            wrong.append(int(said != recognised))
            inserted.append(0)
    return WordErrors(tuple(wrong), tuple(inserted))


def paired_bootstrap(
    baseline_errors: ArrayLike,
    other_errors: ArrayLike,
    lengths: ArrayLike,
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> RateDifference:
    """Compare the pooled error rates of two systems on the same items.

    Every draw takes the same groups for both systems. Percentiles of the differences would make
    too narrow an interval where groups are few, since a draw varies less than a fresh sample and
    its spread is itself estimated; they are therefore taken further out, as a t interval would be.
    The p-value is the level whose interval ends at no difference.

    Args:
        baseline_errors: (N,) errors of the baseline in each item.
        other_errors: (N,) errors of the other system.
        lengths: (N,) reference tokens of each item.
        groups: (N,) names of what is drawn together: speakers or utterances.
        seed: the same seed and items, in any order, give the same result.

    Source: Bisani and Ney 2004; for the percentiles, Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", arXiv:1411.5279, expanded percentile interval.
    """
    by_group = sum_by_group(groups, baseline_errors, other_errors, lengths)
    baseline, other, length = by_group.sum(axis=0)
    if length == 0:
        return RateDifference(None)
    difference = float(other - baseline) / float(length)
    num_groups = len(by_group)
    if num_groups < 2:
        return RateDifference(difference)
    resamples = max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, _GROUPS_DRAWN // num_groups))
    baselines, others, drawn_lengths = draw_sums(by_group, resamples=resamples, seed=seed).T
    spoken = drawn_lengths > 0  # a draw of silent utterances only has no rate
    differences = (others[spoken] - baselines[spoken]) / drawn_lengths[spoken]
    freedom, narrowing = num_groups - 1, math.sqrt((num_groups - 1) / num_groups)
    tail = float(ndtr(stdtrit(freedom, 0.025) / narrowing))
    low, high = np.quantile(differences, [tail, 1 - tail])
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    share = (beyond + 1) / (len(differences) + 1)
    p_value = min(1.0, 2 * float(stdtr(freedom, ndtri(share) * narrowing)))
    return RateDifference(difference, (float(low), float(high)), p_value, resamples)


def matched_pairs(segments: Sequence[tuple[int, int]]) -> MatchedPairs:
    """Test whether two systems make as many word errors, by their errors in each segment.

    Where all segments differ alike, z is 0 and the p-value 1, as in sc_stats: there is no spread
    to judge by. Its p-values come from a table by two decimals of z, these from z itself.

    Args:
        segments: (errors of the baseline, errors of the other system); see `find_segments`.

    Source: Gillick and Cox 1989; the divisor n - 1, as sc_stats has it.
    """
    differences = np.array([baseline - other for baseline, other in segments], dtype=np.float64)
    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    deviation = float(differences.std(ddof=1)) if count > 1 else 0.0
    z = mean / (deviation / math.sqrt(count)) if deviation > 0 else 0.0
    return MatchedPairs(count, mean, deviation, z, 2 * float(ndtr(-abs(z))))


def find_segments(baseline: WordErrors, other: WordErrors) -> Iterator[tuple[int, int]]:
    """Yield the errors of both systems in each segment of one utterance.

    A segment ends where both recognised two words in a row with nothing added between them, or with
    the utterance. Stretches without errors are no segments.

    Source: Pallett et al. 1990; test_comp_sents in SCTK's mtchprs.c.
    """
    errors_of_baseline = errors_of_other = good = 0
    for place, inserted in enumerate(zip(baseline.inserted, other.inserted, strict=True)):
        errors_of_baseline += inserted[0]
        errors_of_other += inserted[1]
        if any(inserted):
            good = 0
        if place == len(baseline.wrong):
            break
        wrong = baseline.wrong[place], other.wrong[place]
        errors_of_baseline += wrong[0]
        errors_of_other += wrong[1]
        good = 0 if any(wrong) else good + 1
        if good >= _GOOD_WORDS and (errors_of_baseline or errors_of_other):
            yield errors_of_baseline, errors_of_other
            errors_of_baseline = errors_of_other = 0
    if errors_of_baseline or errors_of_other:
        yield errors_of_baseline, errors_of_other


def mcnemar(baseline_wrong: ArrayLike, other_wrong: ArrayLike) -> McNemar:
    """Test whether two systems get as many sentences right.

    The p-value is exact: twice the smaller tail of a fair coin's binomial distribution over the
    sentences that only one of them got right, 1 at most. So sc_stats means it too; but where there
    are more than 20 such sentences, as if a 64-bit factorial overflowed, its version 1.3 prints
    p-values that are far too small.

    Args:
        baseline_wrong: (N,) whether the baseline got each sentence wrong.
        other_wrong: (N,) whether the other system did.

    Source: Gillick and Cox 1989; SCTK, src/sclite/sentmcn.c.
    """
    first = np.asarray(baseline_wrong, dtype=np.bool_)
    second = np.asarray(other_wrong, dtype=np.bool_)
    only_baseline = int(np.count_nonzero(~first & second))
    only_other = int(np.count_nonzero(first & ~second))
    fewer, both = min(only_baseline, only_other), only_baseline + only_other
    p_value = min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0
    return McNemar(only_baseline, only_other, p_value)


def correct_by_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for being several; None stays None and does not count.

    The chance that any true hypothesis is rejected stays below the level, however the tests
    depend on one another.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    ranked = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(ranked):
        highest = max(highest, min(1.0, p * (len(ranked) - rank)))
        corrected[index] = highest
    return corrected
