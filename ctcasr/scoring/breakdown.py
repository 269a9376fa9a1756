"""Error rates of parts of a test set: by speaker, by device, by length, by noise.

A field of text has a part for each value. A field of many numbers has four parts with as many
utterances each, by rank. Every part has its interval and the number of utterances behind it, since
a part that stands out may be small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctcasr.scoring.rates import ErrorRate, clusters_of, pooled_rate
from ctcasr.scoring.results import FieldValue, ScoredUtterance
from ctcasr.scoring.significance import BY_SPEAKER

_RANGES = 4
_FEWEST_NUMBERS = 8  # different ones, before they are taken together in ranges
_MOST_VALUES = 0.5  # per utterance: a field with more says nothing about groups


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the utterances.

    Attributes:
        label: the value, or the range, that they share.
        utterances: how many.
        middle: the median of a range; None for a value.
    """

    label: str
    utterances: int
    word: ErrorRate
    char: ErrorRate
    middle: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the part as a JSON object."""
        return {
            "label": self.label,
            "utterances": self.utterances,
            "middle": self.middle,
            "word": self.word.to_json(),
            "char": self.char.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A test set in parts.

    Attributes:
        field: the name of what they differ in.
        parts: values by name, ranges from low to high.
        without: utterances that lack the field, which are in no part.
    """

    field: str
    parts: tuple[Part, ...]
    without: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the breakdown as a JSON object."""
        parts = [part.to_json() for part in self.parts]
        return {"field": self.field, "parts": parts, "without": self.without}


def break_down(
    utterances: Sequence[ScoredUtterance], *, cluster: str, seed: int
) -> list[Breakdown]:
    """Return a breakdown by every field that makes groups; the speaker first.

    A field with one value only, or with hardly an utterance per value, makes none.

    Args:
        utterances: with their fields.
        cluster: the field whose values say which utterances the intervals draw together.
        seed: of the intervals.
    """
    columns: dict[str, list[FieldValue | None]] = {
        BY_SPEAKER: [utterance.speaker for utterance in utterances]
    }
    for name in sorted({name for utterance in utterances for name in utterance.fields}):
        columns[name] = [utterance.fields.get(name) for utterance in utterances]
    columns |= {name: list(values) for name, values in _derived(utterances).items()}
    clusters = columns.get(cluster, [None] * len(utterances))
    found = (
        _by_field(name, values, utterances, cluster, clusters, seed=seed)
        for name, values in columns.items()
    )
    return [one for one in found if one is not None]


def _derived(utterances: Sequence[ScoredUtterance]) -> Mapping[str, Sequence[float | None]]:
    """Return what every test set can be broken down by, where it was measured."""
    measured = [utterance.measured for utterance in utterances]
    words = [len(utterance.reference.split()) for utterance in utterances]
    durations = [one.duration if one else None for one in measured]
    unit = next((one.unit for one in measured if one), "s")
    rate = "speech rate, words/s" if unit == "s" else f"words per {unit}"
    return {
        "length, words": [float(count) for count in words],
        f"length, {unit}": durations,
        rate: [
            count / length if length else None
            for count, length in zip(words, durations, strict=True)
        ],
        "level range, dB": [one.level_range_db if one else None for one in measured],
        "confidence": [one.confidence if one else None for one in measured],
    }


def _by_field(
    name: str,
    values: Sequence[FieldValue | None],
    utterances: Sequence[ScoredUtterance],
    cluster: str,
    clusters: Sequence[FieldValue | None],
    *,
    seed: int,
) -> Breakdown | None:
    known = [index for index, value in enumerate(values) if value is not None]
    different = {values[index] for index in known}
    if len(different) < 2:
        return None
    is_number = all(isinstance(value, int | float) and value is not True for value in different)
    groups: list[tuple[str, list[int], float | None]]
    if is_number and len(different) > _FEWEST_NUMBERS:
        groups = _ranges(known, [float(values[index] or 0) for index in known])
    elif len(different) > _MOST_VALUES * len(known) and name != BY_SPEAKER:
        return None
    else:
        groups = [
            (str(value), [index for index in known if values[index] == value], None)
            for value in sorted(different, key=_natural)
        ]
    parts = []
    for label, indices, middle in groups:
        members = [utterances[index] for index in indices]
        by = clusters_of(
            [one.id for one in members],
            [None if (value := clusters[index]) is None else str(value) for index in indices],
            cluster,
        )
        word = pooled_rate([one.word for one in members], by, seed=seed)
        char = pooled_rate([one.char for one in members], by, seed=seed)
        parts.append(Part(label, len(members), word, char, middle))
    return Breakdown(name, tuple(parts), len(values) - len(known))


def _ranges(
    known: Sequence[int], numbers: Sequence[float]
) -> list[tuple[str, list[int], float | None]]:
    """Return groups of equal size by rank; equal numbers are never parted."""
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _RANGES + 1)))
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    groups: list[tuple[str, list[int], float | None]] = []
    for bin_number in range(len(edges) - 1):
        chosen = np.flatnonzero(place == bin_number)
        if len(chosen):
            inside = np.asarray(numbers)[chosen]
            label = f"{inside.min():.3g} to {inside.max():.3g}"
            members = [known[index] for index in chosen.tolist()]
            groups.append((label, members, float(np.median(inside))))
    return groups


def _natural(value: FieldValue | None) -> tuple[bool, float, str]:
    """Sort numbers by size and before texts."""
    is_number = isinstance(value, int | float)
    return (not is_number, float(value) if is_number else 0.0, str(value))  # type: ignore[arg-type]
