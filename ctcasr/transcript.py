"""Transcript: what was said, when, by which model; one JSON line of `transcribe` output."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word, and from where to where it reaches on the transcript's axis.

    Attributes:
        confidence: posterior probability in 0..1; None where none was computed.
        strokes: of ink: those that it is written with, from 0; None of anything else.
        polygon: of an image: (x, y) corners of the part of the line that it fills; None else.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None
    strokes: tuple[int, ...] | None = None
    polygon: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """What is said between two pauses; times in seconds from the file's beginning."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class TimedLabel:
    """One label of a forced alignment: the frames in which its path gives that label.

    A CTC network gives a label for a frame or two, somewhere inside its sound, so that `end` is
    not where the sound ends. Times in seconds from the file's beginning.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """One text of the n-best list and its natural-log score."""

    text: str
    log_prob: float


@dataclass(frozen=True, slots=True)
class UtteranceLabel:
    """The one label of a whole recording.

    Attributes:
        field: what it is a value of, such as "speaker".
        text: the label.
        confidence: its probability, in 0..1.
    """

    field: str
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item has no text.

    Attributes:
        kind: class of the mistake, such as "AudioError".
        message: one line: what was found, what is needed, the next step.
    """

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The text of one item, or why there is none.

    Attributes:
        id: the item's.
        source: the path, or "-" for standard input, or None for an array.
        axis: what words and segments are placed on: "s" of a recording, "point" of ink, "px".
        channel: of the file, where one of several was transcribed.
        text: "" for silence and for a failed item; the label of the whole, where the model writes
            nothing else.
        duration: seconds, points or pixels transcribed; None for a failed item.
        offset: seconds from the file's beginning to the item's.
        words: with times.
        labels: with times; only of a forced alignment.
        log_prob: of the text (prefix beam search) or of its best path, natural log.
        confidence: posterior probability of the text, in 0..1; None where none was computed.
        confidence_kind: what confidences are: "posterior", or "calibrated" on labelled recordings.
        nbest: best first; empty unless asked for.
        model: name and sha256.
        decoder: its settings.
        segments: of a long recording, what was said between two pauses; none where it is one.
        label: of the whole recording; None where the model gives none.
        frames: what is heard when, where the model says so frame by frame; what is nothing is left
            out.
        times: where those of `words` come from: "ctc", or "attention" where CTC has no path.
        is_cut: whether the text was as long as an attention decoder may write, and ended for that.
        disagreement: by how much CTC and attention alone differ, 0 to 1; None unless asked for.
        error: None unless the item failed.
    """

    id: str
    source: str | None
    model: Mapping[str, Any]
    decoder: Mapping[str, Any]
    text: str = ""
    channel: int | None = None
    axis: str = "s"
    duration: float | None = None
    offset: float = 0.0
    words: tuple[TimedWord, ...] = ()
    segments: tuple[Segment, ...] = ()
    labels: tuple[TimedLabel, ...] = ()
    log_prob: float | None = None
    confidence: float | None = None
    confidence_kind: str = "posterior"
    nbest: tuple[Alternative, ...] = ()
    label: UtteranceLabel | None = None
    frames: tuple[TimedWord, ...] = ()
    times: str = "ctc"
    is_cut: bool = False
    disagreement: float | None = None
    error: Failure | None = None

    @property
    def separate_channel(self) -> int | None:
        """The channel, where several of the file were transcribed apart; their ids say so."""
        return self.channel if self.id.endswith(f"#{self.channel}") else None

    def to_json(self) -> dict[str, Any]:
        """Return the transcript as one JSON object; some keys only where there is something to say.

        These are `label`, `labels`, `frames`, `times` if not of CTC, `cut` and `disagreement`.

        Times are rounded to the millisecond, confidences to 0.0001.
        """
        segments = [
            {"start": round(one.start, 3), "end": round(one.end, 3), "text": one.text}
            for one in self._all_segments()
        ]
        labels = [
            {"text": label.text, "start": round(label.start, 3), "end": round(label.end, 3)}
            for label in self.labels
        ]
        label: dict[str, Any] = {}
        if self.label is not None:
            confidence = _rounded(self.label.confidence)
            label = {"field": self.label.field, "text": self.label.text, "confidence": confidence}
        error = {"kind": self.error.kind, "message": self.error.message} if self.error else None
        return {
            "schema": SCHEMA,
            "id": self.id,
            "source": self.source,
            "channel": self.channel,
            "text": self.text,
            "duration": None if self.duration is None else round(self.duration, 3),
            "axis": self.axis,
            "model": dict(self.model),
            "decoder": dict(self.decoder),
            "segments": segments,
            "words": _timed(self.words),
            **({"labels": labels} if labels else {}),
            **({"label": label} if label else {}),
            **({"frames": _timed(self.frames)} if self.frames else {}),
            **({"times": self.times} if self.words and self.times != "ctc" else {}),
            **({"cut": True} if self.is_cut else {}),
            **(
                {"disagreement": round(self.disagreement, 4)}
                if self.disagreement is not None
                else {}
            ),
            "confidence": _rounded(self.confidence),
            "confidence_kind": None if self.confidence is None else self.confidence_kind,
            "log_prob": self.log_prob,
            "nbest": [{"text": other.text, "log_prob": other.log_prob} for other in self.nbest],
            "error": error,
        }

    def _all_segments(self) -> tuple[Segment, ...]:
        """Return the segments; one of all there is where the recording was not cut."""
        if self.segments or self.error is not None or self.duration is None:
            return self.segments
        return (Segment(self.text, self.offset, self.offset + self.duration),)


def _timed(words: Iterable[TimedWord]) -> list[dict[str, Any]]:
    return [
        {
            "text": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": _rounded(word.confidence),
            **({} if word.strokes is None else {"strokes": list(word.strokes)}),
            **({} if word.polygon is None else {"polygon": _rounded_points(word.polygon)}),
        }
        for word in words
    ]


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 4)


def _rounded_points(polygon: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in polygon]
