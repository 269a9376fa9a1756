"""What a check can find: its kinds, how grave each is, what to do about it, and the report.

A finding is fatal where training would leave the item out or a score would mean nothing; a
warning where a person should look; a note where something is worth knowing and nothing needs
doing. Gravity and remedy belong to the kind, so that every finding of a kind says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How grave a finding is."""

    FATAL = "fatal"
    WARNING = "warning"
    NOTE = "note"


class Kind(StrEnum):
    """What was found, in the order in which reports list it."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    MODALITY = "another modality"
    CHANNEL = "channel"
    OUTSIDE_ALPHABET = "outside alphabet"
    TOO_FEW_FRAMES = "too few frames"
    NO_CLASS = "no label of the whole"
    UNKNOWN_CLASS = "unknown label of the whole"
    NO_STRETCHES = "no labels of frames"
    UNKNOWN_STRETCH = "unknown label of frames"
    SHARED_RECORDING = "recording on both sides"
    SHARED_STRETCH = "stretch on both sides"
    UNLABELLED = "unlabelled"
    STRAY_CHARACTERS = "stray characters"
    SPACING = "spacing"
    MIXED_NORMALISATION = "mixed normalisation"
    MIXED_SCRIPTS = "mixed scripts"
    RARE_UNITS = "rare characters"
    RARE_CLASS = "rare label of the whole"
    LITTLE_INK = "little ink"
    INK_WITHOUT_TEXT = "ink without text"
    EMPTY_STROKES = "empty strokes"
    LOW_IMAGE = "low image"
    DARK_IMAGE = "dark image"
    SILENT = "silent"
    CLIPPED = "clipped"
    DC_OFFSET = "DC offset"
    DURATION = "duration"
    SPEECH_RATE = "speech rate"
    DUPLICATE = "duplicate"
    RATE_MIX = "sample rates"
    SHARED_ID = "id on both sides"
    SHARED_SPEAKER = "speaker on both sides"
    SHARED_GROUP = "group on both sides"
    SHARED_TEXT = "text on both sides"
    EMPTY_TEXT = "empty text"
    REPAIRED = "mended by text rules"
    CHANNEL_MIX = "channel counts"
    RESAMPLED = "resampled"
    SAMPLED = "sampled"

    @property
    def severity(self) -> Severity:
        """How grave a finding of this kind is."""
        return _FACTS[self][0]

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _FACTS[self][1]


_FACTS: dict[Kind, tuple[Severity, str]] = {
    Kind.MISSING: (Severity.FATAL, "correct the paths, or take the lines out"),
    Kind.UNREADABLE: (
        Severity.FATAL,
        "copy or convert the files again, or take the lines out",
    ),
    Kind.MODALITY: (Severity.FATAL, "set frontend.kind to one that reads them, or leave them out"),
    Kind.CHANNEL: (Severity.FATAL, 'write "channel": n (from 0) into the manifest lines'),
    Kind.OUTSIDE_ALPHABET: (
        Severity.FATAL,
        "correct the text, add a text rule, or add such text to the training set",
    ),
    Kind.TOO_FEW_FRAMES: (
        Severity.FATAL,
        "see whether text and recording belong together; else lower encoder.stride or reduce_after",
    ),
    Kind.NO_CLASS: (Severity.FATAL, "fill the field that heads.utterance.field names"),
    Kind.UNKNOWN_CLASS: (
        Severity.FATAL,
        "add recordings with this label to the training set, or take the lines out",
    ),
    Kind.NO_STRETCHES: (
        Severity.FATAL,
        "fill the field that heads.frame.field names; ctcasr align --timed does",
    ),
    Kind.UNKNOWN_STRETCH: (
        Severity.FATAL,
        "add recordings with this label to the training set, or take the lines out",
    ),
    Kind.SHARED_RECORDING: (Severity.FATAL, "keep each recording in one set, or scores flatter"),
    Kind.SHARED_STRETCH: (
        Severity.FATAL,
        "correct `offset` and `duration`, or keep what overlaps in one set",
    ),
    Kind.UNLABELLED: (Severity.WARNING, "fill `text`; training leaves these lines out"),
    Kind.STRAY_CHARACTERS: (
        Severity.WARNING,
        "remove them from the text; else the model learns to write them",
    ),
    Kind.SPACING: (Severity.WARNING, "add the text rule `whitespace`"),
    Kind.MIXED_NORMALISATION: (Severity.WARNING, "add the text rule `nfc`"),
    Kind.MIXED_SCRIPTS: (Severity.WARNING, "retype the words: letters only look alike"),
    Kind.RARE_UNITS: (
        Severity.WARNING,
        "see whether they are typing errors; few examples teach little",
    ),
    Kind.RARE_CLASS: (Severity.WARNING, "add recordings; few examples teach little"),
    Kind.LITTLE_INK: (Severity.WARNING, "look at it: text and ink may not belong together"),
    Kind.INK_WITHOUT_TEXT: (Severity.WARNING, "fill `text`, or take the lines out"),
    Kind.EMPTY_STROKES: (Severity.WARNING, "see whether the device lost points; else no harm"),
    Kind.LOW_IMAGE: (Severity.WARNING, "scan at 200 dpi or more"),
    Kind.DARK_IMAGE: (Severity.WARNING, "look at it: paper must be lighter than ink"),
    Kind.SILENT: (Severity.WARNING, "listen; take them out, or set their text to an empty string"),
    Kind.CLIPPED: (Severity.WARNING, "listen; record at a lower level"),
    Kind.DC_OFFSET: (Severity.WARNING, "look at the sound card or filter below 20 Hz"),
    Kind.DURATION: (Severity.WARNING, "drop `duration` to use the whole file, or correct it"),
    Kind.SPEECH_RATE: (Severity.WARNING, "listen: text and recording may not belong together"),
    Kind.DUPLICATE: (Severity.WARNING, "keep one of each"),
    Kind.RATE_MIX: (
        Severity.WARNING,
        "see that no rate goes with one set or text: what a low rate cut off stays lost",
    ),
    Kind.SHARED_ID: (Severity.WARNING, "rename one of each, or scores cannot be told apart"),
    Kind.SHARED_SPEAKER: (
        Severity.WARNING,
        "split by speaker, or say that the scores are for voices heard in training",
    ),
    Kind.SHARED_GROUP: (
        Severity.WARNING,
        "split by group, or say that the scores are for sessions or pages learned from",
    ),
    Kind.SHARED_TEXT: (
        Severity.WARNING,
        "fine where a few phrases are all there is to say; else split so that test texts are new",
    ),
    Kind.EMPTY_TEXT: (Severity.NOTE, "learned as silence; where something is said, fill `text`"),
    Kind.REPAIRED: (Severity.NOTE, "nothing to do while those text rules stay"),
    Kind.CHANNEL_MIX: (Severity.NOTE, "nothing to do: one channel of each is used"),
    Kind.RESAMPLED: (Severity.NOTE, "nothing to do; or set frontend.sample_rate to theirs"),
    Kind.SAMPLED: (Severity.NOTE, "leave out --sample to read them all"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what; it decides severity and next step.
        sets: names of the sets concerned; a leak concerns two.
        items: ids of the utterances concerned.
        message: one line: the item, what was found, what is needed.
    """

    kind: Kind
    sets: tuple[str, ...]
    items: tuple[str, ...]
    message: str

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return self.kind.severity


@dataclass(frozen=True, slots=True)
class Unusable:
    """An utterance that cannot be learned from or judged on, and why.

    Attributes:
        id: of the utterance.
        kind: short reason, to count by.
        message: one line: the item, what was found, what is needed, the next step.
    """

    id: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class SetSummary:
    """What one set holds.

    Attributes:
        name: of the set.
        items: utterances.
        read: utterances that were read.
        amount: of those, in `unit`: "s" of speech, "point"s of ink, "px".
        speakers: different speakers named.
        rates: sample rates in Hz, ascending, of those that were read.
    """

    name: str
    items: int
    read: int
    amount: float
    speakers: int
    rates: tuple[int, ...]
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, the gravest first, and what was checked."""

    findings: tuple[Finding, ...]
    sets: tuple[SetSummary, ...]

    @property
    def items(self) -> int:
        """Utterances in all sets."""
        return sum(summary.items for summary in self.sets)

    @property
    def seconds(self) -> float:
        """Seconds of audio that were read."""
        return sum(summary.amount for summary in self.sets if summary.unit == "s")

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """What training would leave out, or what makes scores meaningless."""
        return self._of(Severity.FATAL)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What a person should look at."""
        return self._of(Severity.WARNING)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing."""
        return self._of(Severity.NOTE)

    def by_kind(self) -> dict[Kind, tuple[Finding, ...]]:
        """Return the findings grouped by kind, the gravest kinds first."""
        kinds = dict.fromkeys(finding.kind for finding in self.findings)
        return {kind: tuple(f for f in self.findings if f.kind is kind) for kind in kinds}

    def to_json(self) -> dict[str, Any]:
        """Return what check.json holds."""
        return {
            "schema": 1,
            "items": self.items,
            "seconds": round(self.seconds, 3),
            "sets": [
                {
                    "name": s.name,
                    "items": s.items,
                    "read": s.read,
                    "seconds": round(s.amount, 3) if s.unit == "s" else None,
                    "amount": round(s.amount, 3),
                    "unit": s.unit,
                    "speakers": s.speakers,
                    "sample_rates": list(s.rates),
                }
                for s in self.sets
            ],
            "findings": [
                {
                    "kind": f.kind.value,
                    "severity": f.severity.value,
                    "sets": list(f.sets),
                    "items": list(f.items),
                    "message": f.message,
                    "next_step": f.kind.next_step,
                }
                for f in self.findings
            ],
        }

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)


def gravest_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of severity, then kind; else as they came."""
    severities, kinds = list(Severity), list(Kind)
    return tuple(
        sorted(findings, key=lambda f: (severities.index(f.severity), kinds.index(f.kind)))
    )


def some(names: Sequence[str], *, limit: int = 3) -> str:
    """Return the first few names, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: "1 speaker", "2,000 utterances"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
