"""What a reader brings home: items, and by name everything that was left out."""

import dataclasses
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import Piece, derive_ids, without_spaces
from ctcasr.manifest.utterance import Utterance

_NAMED = 3  # items that the message of an import without result names


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        utterances: the items, each with an id of its own.
        left_out: (item, reason) for everything in the source that did not become one.
        notes: what was guessed on the way (columns, an encoding) and should be looked at.
    """

    utterances: tuple[Utterance, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unlabelled(self) -> int:
        """How many items have no text."""
        return sum(utterance.text is None for utterance in self.utterances)


@dataclass
class Collector:
    """Gathers what a reader finds; refuses, by name, what no manifest may hold.

    Attributes:
        source: what is imported, as the user named it.
        folder: where the files lie; derived ids are relative to it.
    """

    source: Path
    folder: Path
    _drafts: list[tuple[str, Utterance]] = field(default_factory=list)
    _left_out: list[tuple[str, str]] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)

    def add(self, item: str, utterance: Utterance) -> None:
        """Add one item, or leave it out if its place in the recording is impossible.

        Args:
            item: how a message names it, like "row 7".
            utterance: its file exists; an empty id is derived from its path, spaces in one
                become "_".
        """
        offset, duration, channel = utterance.offset, utterance.duration, utterance.channel
        if not (math.isfinite(offset) and offset >= 0):
            self.leave_out(item, f"starts at {offset:g} s; an item starts at 0 or later")
        elif duration is not None and not (math.isfinite(duration) and duration > 0):
            self.leave_out(item, f"lasts {duration:g} s; an item needs a duration above 0")
        elif channel is not None and channel < 0:
            self.leave_out(item, f"channel {channel}; channels count from 0")
        else:
            self._drafts.append((item, utterance))

    def leave_out(self, item: str, reason: str) -> None:
        """Record that an item of the source does not become one of the manifest."""
        self._left_out.append((item, reason))

    def note(self, text: str) -> None:
        """Record something guessed that the user should look at; once if said again."""
        if text not in self._notes:
            self._notes.append(text)

    def finish(self) -> Imported:
        """Return everything gathered; of two items with one id the first stays.

        Raises:
            ManifestError: there is no item; names the first that were left out, and why.
        """
        first_with: dict[str, str] = {}
        utterances = []
        for (item, utterance), name in zip(self._drafts, self._ids(), strict=True):
            if name in first_with:
                self.leave_out(item, f"has the same id {name!r} as {first_with[name]}")
            else:
                first_with[name] = item
                utterances.append(dataclasses.replace(utterance, id=name))
        if not utterances:
            raise self._nothing()
        return Imported(tuple(utterances), tuple(self._left_out), tuple(self._notes))

    def _ids(self) -> list[str]:
        pieces = [
            Piece(
                self._from_folder(draft.path),
                draft.offset,
                draft.channel,
                draft.index,
                draft.traces[0] if draft.traces else None,
            )
            for _, draft in self._drafts
            if not draft.id
        ]
        derived = iter(derive_ids(pieces))
        return [without_spaces(draft.id) or next(derived) for _, draft in self._drafts]

    def _from_folder(self, path: Path) -> Path:
        try:
            return Path(os.path.relpath(path, self.folder))
        except ValueError:  # Windows: another drive
            return path

    def _nothing(self) -> ManifestError:
        if not self._left_out:
            return ManifestError(f"{self.source}: nothing found to import; check the path")
        named = "; ".join(f"{item}: {reason}" for item, reason in self._left_out[:_NAMED])
        more = len(self._left_out) - _NAMED
        return ManifestError(
            f"{self.source}: nothing could be imported: {named}"
            + (f"; and {more} more" if more > 0 else "")
            + "; correct these and import again"
        )
