"""One labelled (or unlabelled) item: what every later step knows about a recording."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One line of a manifest.

    Attributes:
        id: unique in its manifest, without spaces.
        audio: the recording, resolved against the manifest's folder.
        text: what is said, in logical order; None where unlabelled, "" for silence.
        offset: seconds from the file's beginning to the item's.
        duration: seconds; None reaches to the file's end.
        channel: which channel of the file, from 0; None where there is only one.
        speaker: who speaks.
        group: session or page.
        split: train, dev, test or any other name.
        extra: every other field of the line, kept as it was.
    """

    id: str
    audio: Path
    text: str | None = None
    offset: float = 0.0
    duration: float | None = None
    channel: int | None = None
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
