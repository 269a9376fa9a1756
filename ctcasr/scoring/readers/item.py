"""What one line of a file says, whoever wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ctcasr.scoring.results import Failed, FieldValue
from ctcasr.transcript import TimedWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a file that is scored.

    Attributes:
        id: None where the file has none.
        text: None where there is none.
        output: what was recognised, in a file that holds it beside `text`, the reference.
        speaker: who said it.
        failure: why there is no output.
        start, end: where the item lies in its recording, in seconds; None where nobody says.
        channel: of the recording, counted from 0.
        words: with their times from the recording's beginning.
        fields: what else is known, by name: strings, numbers, truth values.
    """

    id: str | None
    text: str | None
    output: str | None = None
    speaker: str | None = None
    failure: Failed | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    words: tuple[TimedWord, ...] = ()
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
