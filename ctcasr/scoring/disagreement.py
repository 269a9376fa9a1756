"""Where the two heads of a model write different texts: a sign that the output is wrong.

Both heads read the same recording, CTC frame by frame, attention label by label; they make
different mistakes. The disagreement of an utterance is the edits between their texts, in
characters, over the length of the longer one. How well it tells wrong outputs from right ones is
said by its ROC curve: of all thresholds, the share of wrong outputs above it against the share of
right ones; the area under it is the probability that a wrong output has the larger disagreement.

An attention decoder that runs in circles writes far more than CTC heard.

Source: Fawcett 2006, "An introduction to ROC analysis", sections 4, 5 and 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctcasr.scoring.error_rate import count_errors
from ctcasr.scoring.results import ScoredUtterance

_LOOP_RATIO, _LOOP_CHARS = 1.5, 5
"""A loop has so many times the characters of the other text, and so many more."""


@dataclass(frozen=True, slots=True)
class Roc:
    """How well a number tells wrong outputs from right ones.

    Attributes:
        points: (share of right outputs, share of wrong outputs) at or above each threshold, from
            (0, 0) to (1, 1).
        area: under the curve; 0.5 is chance, 1 tells all.
    """

    points: tuple[tuple[float, float], ...]
    area: float

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "area": self.area,
            "points": [{"right": right, "wrong": wrong} for right, wrong in self.points],
        }


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Both heads of a model, over the utterances that both have read.

    Attributes:
        outputs: how many.
        wrong: of them, outputs that differ from the reference.
        differing: outputs about which the heads disagree; wrong_differing: of them, wrong ones.
        utterances: those, most disagreement first: id, by CTC, by attention, disagreement.
        loops: ids of the utterances where attention writes far more than CTC.
        roc: of disagreement; None where all outputs are right, or all wrong.
        confidence_roc: of one less the confidence of the text; None also where there is none.
    """

    outputs: int
    wrong: int
    differing: int
    wrong_differing: int
    utterances: tuple[tuple[str, str, str, float], ...]
    loops: tuple[str, ...]
    roc: Roc | None
    confidence_roc: Roc | None

    def to_json(self) -> dict[str, Any]:
        """Return the record "disagreement" of an analysis."""
        return {
            "outputs": self.outputs,
            "wrong": self.wrong,
            "differing": self.differing,
            "wrong_differing": self.wrong_differing,
            "utterances": [
                {"id": name, "ctc": by_ctc, "attention": by_attention, "disagreement": share}
                for name, by_ctc, by_attention, share in self.utterances
            ],
            "loops": list(self.loops),
            "roc": None if self.roc is None else self.roc.to_json(),
            "confidence_roc": (
                None if self.confidence_roc is None else self.confidence_roc.to_json()
            ),
        }


def disagreement(one: str, other: str) -> float:
    """Return by how much two texts differ: edits over the characters of the longer, 0 to 1."""
    longer = max(len(one), len(other))
    return count_errors(one, other).errors / longer if longer else 0.0


def roc_curve(scores: Sequence[float], is_wrong: Sequence[bool]) -> Roc | None:
    """Return how well scores tell wrong from right; None where there is only one of them."""
    values, wrong = np.asarray(scores, dtype=np.float64), np.asarray(is_wrong, dtype=bool)
    if not wrong.any() or wrong.all():
        return None
    points = [(0.0, 0.0)]
    for threshold in np.unique(values)[::-1]:
        above = values >= threshold
        points.append((float(above[~wrong].mean()), float(above[wrong].mean())))
    x, y = np.array(points).T
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    return Roc(tuple(points), area)


def judge_disagreement(utterances: Sequence[ScoredUtterance]) -> Disagreement | None:
    """Return where the heads differ; None where no utterance was read by both.

    Args:
        utterances: with what was measured.
    """
    read = [
        (one, one.measured.by_head, one.measured.confidence)
        for one in utterances
        if one.measured is not None and one.measured.by_head is not None
    ]
    if not read:
        return None
    shares = [disagreement(*texts) for _, texts, _ in read]
    wrong = [one.reference != one.hypothesis for one, *_ in read]
    apart = sorted(
        ((one.id, *texts, share) for (one, texts, _), share in zip(read, shares, strict=True)),
        key=lambda entry: -entry[-1],
    )
    sure = [confidence for *_, confidence in read if confidence is not None]
    return Disagreement(
        outputs=len(read),
        wrong=sum(wrong),
        differing=sum(share > 0 for share in shares),
        wrong_differing=sum(bad for bad, share in zip(wrong, shares, strict=True) if share > 0),
        utterances=tuple(entry for entry in apart if entry[-1] > 0),
        loops=tuple(one.id for one, texts, _ in read if _runs_in_circles(*texts)),
        roc=roc_curve(shares, wrong),
        confidence_roc=(
            roc_curve([1 - value for value in sure], wrong) if len(sure) == len(read) else None
        ),
    )


def _runs_in_circles(by_ctc: str, by_attention: str) -> bool:
    enough = max(_LOOP_RATIO * len(by_ctc), len(by_ctc) + _LOOP_CHARS)
    return len(by_attention) > enough
