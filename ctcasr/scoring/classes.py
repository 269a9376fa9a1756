"""How often the one label of a recording is wrong, and what it is taken for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.scoring.significance import Interval, bootstrap_interval


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Errors of the labels of whole recordings.

    Attributes:
        field: what they are values of, such as "speaker".
        total: recordings whose label is known; wrong: how many of them got another, or none.
        interval: 95 %, of the rate.
        confusions: label, what was given instead ("" for nothing), how often; most often first.
    """

    field: str
    total: int
    wrong: int
    interval: Interval | None
    confusions: tuple[tuple[str, str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record "label" of results.json."""
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
    references: Sequence[str | None],
    found: Sequence[str | None],
    clusters: Sequence[str],
    *,
    seed: int = 0,
) -> ClassScore:
    """Compare the labels of recordings; one that was given none is wrong.

    Args:
        field: what they are values of.
        references: what is right; None where nobody knows, which is left out.
        found: what was given, as many.
        clusters: as many names of what the interval draws together.
        seed: of the interval.
    """
    known = [
        (right, label or "", cluster)
        for right, label, cluster in zip(references, found, clusters, strict=True)
        if right is not None
    ]
    wrong = [right != label for right, label, _ in known]
    pairs = Counter((right, label) for right, label, _ in known if right != label)
    return ClassScore(
        field,
        total=len(known),
        wrong=sum(wrong),
        interval=bootstrap_interval(
            wrong, [1] * len(wrong), [cluster for *_, cluster in known], seed=seed
        ),
        confusions=tuple(
            (right, label, count)
            for (right, label), count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))
        ),
    )
