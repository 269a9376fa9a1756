"""What a recognizer found out about one utterance while it was evaluated."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Who is to blame for a wrong output."""

    SEARCH = "search"
    """The model scores the reference above the output: the search has missed it."""
    MODEL = "model"
    """The model scores the output at least as high as the reference."""
    UNWRITABLE = "unwritable"
    """The model gives the reference no probability: a character it does not have, a word that its
    lexicon forbids, more labels than frames."""


_ROUNDING = 1e-6
"""Nats by which two scores of the same text may differ."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Facts about one utterance; None for what was not, or could not be, measured.

    Attributes:
        duration: seconds, or what `unit` says.
        level_range_db: loud frames against quiet ones, an estimate of the signal-to-noise ratio:
            the 95th less the 5th percentile of the level of frames of 10 ms.
        confidence: of the whole text, 0..1.
        word_confidences: of each word of the output, 0..1.
        reference_score: what the search maximises, natural log, of the reference; minus infinity
            where the model cannot write it.
        output_score: the same of the output.
        is_proven: whether nothing has a higher score than the output; without a language model,
            lexicon or hotwords only.
        wider: what a wider search without threshold writes.
        unit: of the duration: "s", "point" or "px".
        by_head: what CTC alone writes, and what attention alone; None of a model without both.
    """

    duration: float | None = None
    level_range_db: float | None = None
    confidence: float | None = None
    word_confidences: tuple[float, ...] = ()
    reference_score: float | None = None
    output_score: float | None = None
    is_proven: bool | None = None
    wider: str | None = None
    unit: str = "s"
    by_head: tuple[str, str] | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Who is to blame if the output is wrong; None where scores are not known."""
        if self.reference_score is None or self.output_score is None:
            return None
        if self.reference_score == float("-inf"):
            return Verdict.UNWRITABLE
        if self.reference_score > self.output_score + _ROUNDING:
            return Verdict.SEARCH
        return Verdict.MODEL

    def to_json(self) -> dict[str, Any]:
        """Return the record "measured" of an utterance in results.json."""
        verdict = self.verdict
        return {
            "duration": self.duration,
            "unit": self.unit,
            "level_range_db": self.level_range_db,
            "confidence": self.confidence,
            "word_confidences": list(self.word_confidences),
            "reference_score": _finite(self.reference_score),
            "output_score": _finite(self.output_score),
            "verdict": None if verdict is None else verdict.value,
            "proven": self.is_proven,
            "wider": self.wider,
            **(
                {"by_head": dict(zip(("ctc", "attention"), self.by_head, strict=True))}
                if self.by_head
                else {}
            ),
        }


def _finite(score: float | None) -> float | None:
    """Return a score, None for minus infinity: JSON has no such number."""
    return None if score is None or not math.isfinite(score) else score
