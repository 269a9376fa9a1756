"""One labelled (or unlabelled) item: what every later step knows about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any


class Modality(StrEnum):
    """What an item is: the name of the manifest field that holds its path."""

    AUDIO = "audio"
    INK = "ink"
    IMAGE = "image"

    @property
    def items(self) -> str:
        """What to call several of them."""
        return {"audio": "recordings", "ink": "pen strokes", "image": "images of lines"}[self]


Point = tuple[float, float]
"""x and y of a page, in pixels from its upper left corner."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a result may be written back: a file, and the id of an element in it."""

    file: Path
    element: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One line of a manifest.

    Attributes:
        id: unique in its manifest, without spaces.
        path: the recording, pen strokes or image, resolved against the manifest's folder.
        modality: which of them.
        text: what is said or written, in logical order; None where unlabelled, "" for silence.
        offset: of a recording: seconds from the file's beginning to the item's.
        duration: of a recording: seconds; None reaches to the file's end.
        channel: of a recording: which channel, from 0; None where there is only one.
        index: of pen strokes: which item of a pack, from 0.
        traces: of pen strokes: ids of the strokes or groups in the file; None takes all.
        polygon: of an image: the outline of the line; None takes the whole image.
        baseline: of an image: what the letters stand on.
        source: where a result may be written back.
        speaker: who speaks or writes.
        group: session or page.
        split: train, dev, test or any other name.
        extra: every other field of the line, kept as it was.
    """

    id: str
    path: Path
    modality: Modality = Modality.AUDIO
    text: str | None = None
    offset: float = 0.0
    duration: float | None = None
    channel: int | None = None
    index: int | None = None
    traces: tuple[str, ...] | None = None
    polygon: tuple[Point, ...] | None = None
    baseline: tuple[Point, ...] | None = None
    source: Source | None = None
    speaker: str | None = None
    group: str | None = None
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def value_of(self, name: str) -> str | None:
        """Return a field by the name it has in the manifest, as text; None where it has none."""
        own = name != "extra" and name in (each.name for each in fields(self))
        value: Any = getattr(self, name) if own else self.extra.get(name)
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, sort_keys=True, default=str)
