"""How often the label of a recording, or of a frame, is wrong, and what it is taken for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.scoring.significance import Interval, bootstrap_interval


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Errors of the labels of whole recordings, or of frames.

    Attributes:
        field: what they are values of, such as "speaker".
        total: labels that are known; wrong: how many of them were given as another, or not at all.
        interval: 95 %, of the rate.
        confusions: label, what was given instead ("" for nothing), how often; most often first.
    """

    field: str
    total: int
    wrong: int
    interval: Interval | None
    confusions: tuple[tuple[str, str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record "label" or "frames" of results.json."""
        return {
            "field": self.field,
            "n": self.total,
            "wrong": self.wrong,
            "rate": self.wrong / self.total if self.total else None,
            "ci95": None if self.interval is None else list(self.interval),
            "confusions": [list(confusion) for confusion in self.confusions],
        }


def score_classes(
    field: str,
    references: Sequence[Sequence[str] | None],
    found: Sequence[Sequence[str]],
    clusters: Sequence[str],
    *,
    seed: int = 0,
) -> ClassScore:
    """Compare the labels of recordings: one of the whole, or one for each frame.

    Args:
        field: what they are values of.
        references: what is right, of each recording; None where nobody knows: it is left out.
        found: what was given; what is missing at the end is wrong.
        clusters: as many names of what the interval draws together.
        seed: of the interval.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    wrong, total, names = [], [], []
    for right, given, cluster in zip(references, found, clusters, strict=True):
        if right is None:
            continue
        padded = [*given, *[None] * len(right)]
        errors = [
            (one, other or "") for one, other in zip(right, padded, strict=False) if one != other
        ]
        pairs.update(errors)
        wrong.append(len(errors))
        total.append(len(right))
        names.append(cluster)
    return ClassScore(
        field,
        total=sum(total),
        wrong=sum(wrong),
        interval=bootstrap_interval(wrong, total, names, seed=seed),
        confusions=tuple(
            (right, label, count)
            for (right, label), count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))
        ),
    )
