"""Does a confidence of 0.8 mean that four of five are right, and how many errors are left above it?

Sources: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2 (expected
calibration error, reliability diagrams) and 4.2 (temperature scaling); El-Yaniv and Wiener 2010 for
error against coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.scoring.alignment import Costs, align_tokens
from ctcasr.scoring.results import ScoredUtterance

_BINS = 10
_DECIMALS = 6  # of confidences that count as equal
_STEPS = 20  # of coverage


@dataclass(frozen=True, slots=True)
class Reliability:
    """Words of like confidence.

    Attributes:
        low, high: confidences among them.
        words: how many.
        confidence: their mean.
        right: the share of them that is right.
    """

    low: float
    high: float
    words: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well confidence tells right words from wrong ones.

    Attributes:
        words: of the outputs, with a confidence each.
        right: the share of them that is right.
        confidence: their mean.
        expected_error: expected calibration error: by how much confidence and share of right words
            differ, as a mean over bins of equally many words.
        bins: these bins, by confidence.
        coverage: (share of the reference words kept, word error rate among them), as utterances of
            low confidence are set aside.
    """

    words: int
    right: float
    confidence: float
    expected_error: float
    bins: tuple[Reliability, ...]
    coverage: tuple[tuple[float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as a JSON object."""
        return {
            "words": self.words,
            "right": self.right,
            "confidence": self.confidence,
            "expected_calibration_error": self.expected_error,
            "bins": [
                {
                    "low": one.low,
                    "high": one.high,
                    "words": one.words,
                    "confidence": one.confidence,
                    "right": one.right,
                }
                for one in self.bins
            ],
            "coverage": [{"kept": kept, "wer": wer} for kept, wer in self.coverage],
        }


def words_right(reference: Sequence[str], output: Sequence[str], *, costs: Costs) -> list[bool]:
    """Return for each word of an output whether it stands for an equal one of the reference."""
    return [
        said == heard
        for said, heard in align_tokens(reference, output, costs=costs)
        if heard is not None
    ]


def calibrate(utterances: Sequence[ScoredUtterance], *, costs: Costs) -> Calibration | None:
    """Return how good the confidences of a test set are; None where there are none.

    An output whose words and confidences are not as many, since a text rule has changed its words,
    takes no part in what is said of words.

    Args:
        utterances: with what was measured.
        costs: of the alignments.
    """
    confidences: list[float] = []
    right: list[bool] = []
    for utterance in utterances:
        given = utterance.measured.word_confidences if utterance.measured else ()
        output = utterance.hypothesis.split()
        if given and len(given) == len(output):
            confidences += given
            right += words_right(utterance.reference.split(), output, costs=costs)
    if not confidences:
        return None
    surely, truly = np.array(confidences), np.array(right)
    return Calibration(
        words=len(right),
        right=float(np.mean(right)),
        confidence=float(np.mean(confidences)),
        expected_error=expected_calibration_error(surely, truly),
        bins=tuple(_reliability(surely, truly)),
        coverage=tuple(_coverage(utterances)),
    )


def expected_calibration_error(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return by how much confidence and share of right words differ, as a mean over bins.

    Args:
        confidences: (N,) of words, N at least 1.
        right: (N,) whether each is right.
    """
    bins = _reliability(confidences, right)
    return sum(one.words * abs(one.confidence - one.right) for one in bins) / len(right)


def _reliability(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Reliability]:
    """Return bins of about as many words each; equal confidences are never parted."""
    order = np.argsort(confidences, kind="stable")
    ranked = np.round(confidences[order], _DECIMALS)
    cuts = np.arange(1, _BINS) * len(ranked) // _BINS
    ends = np.unique(np.searchsorted(ranked, ranked[cuts], side="left"))
    return [
        Reliability(
            low=float(confidences[chosen].min()),
            high=float(confidences[chosen].max()),
            words=len(chosen),
            confidence=float(confidences[chosen].mean()),
            right=float(right[chosen].mean()),
        )
        for chosen in np.split(order, ends)
        if len(chosen)
    ]


def _coverage(utterances: Sequence[ScoredUtterance]) -> list[tuple[float, float]]:
    """Return error against coverage; utterances are set aside whole, the least certain first."""
    sure = [
        (utterance.measured.confidence, utterance.word)
        for utterance in utterances
        if utterance.measured and utterance.measured.confidence is not None
    ]
    sure.sort(key=lambda item: -item[0])
    errors = np.cumsum([word.errors for _, word in sure])
    lengths = np.cumsum([word.reference_length for _, word in sure])
    if not len(lengths) or not lengths[-1]:
        return []
    points = []
    for step in range(1, _STEPS + 1):
        at = min(int(np.searchsorted(lengths, lengths[-1] * step / _STEPS)), len(lengths) - 1)
        if lengths[at]:
            points.append((float(lengths[at] / lengths[-1]), float(errors[at] / lengths[at])))
    return sorted(set(points))
