"""Error rates with their intervals: pooled counts, and how far the rate could be off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.scoring.error_rate import ErrorCounts
from ctcasr.scoring.significance import (
    BY_SPEAKER,
    Interval,
    bootstrap_interval,
    groups_to_resample,
)


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which utterances are drawn together.

    Attributes:
        names: of each utterance's cluster.
        by: the field that names them, or "utterance".
    """

    names: Sequence[str]
    by: str

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(set(self.names))


def clusters_of(ids: Sequence[str], values: Sequence[str | None], by: str = BY_SPEAKER) -> Clusters:
    """Return the clusters that a field makes of utterances; see `groups_to_resample`."""
    return Clusters(*groups_to_resample(ids, values, by))


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Error counts with the interval of their rate."""

    counts: ErrorCounts
    interval: Interval | None = None
    resampled_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record C of results.json."""
        return {
            "n": self.counts.reference_length,
            "hit": self.counts.hits,
            "sub": self.counts.substitutions,
            "del": self.counts.deletions,
            "ins": self.counts.insertions,
            "rate": self.counts.rate,
            "ci95": None if self.interval is None else list(self.interval),
            "resampled_by": self.resampled_by,
        }


def pooled_rate(counts: Sequence[ErrorCounts], clusters: Clusters, *, seed: int) -> ErrorRate:
    """Return the rate of all counts together.

    Args:
        counts: of each utterance.
        clusters: of as many.
        seed: of the bootstrap.
    """
    interval = bootstrap_interval(
        [count.errors for count in counts],
        [count.reference_length for count in counts],
        clusters.names,
        seed=seed,
    )
    total = sum(counts, start=ErrorCounts())
    return ErrorRate(total, interval, None if interval is None else clusters.by)
