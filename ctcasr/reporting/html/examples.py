"""Which utterances a report shows one by one, and what stands under their texts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctcasr.reporting.html.page import describe_length
from ctcasr.reporting.html.utterances import ShownUtterance
from ctcasr.scoring.alignment import align_tokens

SHOWN = 4
"""Of each kind, where nobody asks for another number."""

Utterance = Mapping[str, Any]
"""An entry of "utterances" in results.json."""

_BLAME = {
    "search": "the search's: the model prefers the reference",
    "model": "the model's: it prefers the output",
    "unwritable": "the model cannot write the reference",
}


@dataclass(frozen=True, slots=True)
class Examples:
    """Some utterances of a kind.

    Attributes:
        title: of their section.
        why: they were chosen.
        utterances: them.
    """

    title: str
    why: str
    utterances: Sequence[ShownUtterance]


@dataclass(frozen=True, slots=True)
class Choice:
    """The same before anything is drawn."""

    title: str
    why: str
    utterances: Sequence[Utterance]


def choose_examples(utterances: Sequence[Utterance], count: int = SHOWN) -> list[Choice]:
    """Return the worst utterances, those about the median, and random ones, none of them twice.

    Args:
        utterances: of results.json.
        count: how many of each kind.
    """
    worst = sorted(
        (one for one in utterances if _errors(one["word"])),
        key=lambda one: (-_errors(one["word"]), one["word"]["n"], one["id"]),
    )
    ranked = sorted(
        utterances,
        key=lambda one: (one["word"]["rate"] or 0.0, _errors(one["char"]), one["id"]),
    )
    from_middle = sorted(range(len(ranked)), key=lambda place: abs(place - len(ranked) // 2))
    kinds = [
        ("Worst", "The most wrong words.", worst),
        ("Median", "Around the median of the error rates.", [ranked[at] for at in from_middle]),
        ("Random", "Drawn by chance, the same ones each time.", sorted(utterances, key=_draw)),
    ]
    taken: set[str] = set()
    chosen = []
    for title, why, order in kinds:
        some = [one for one in order if one["id"] not in taken][:count]
        taken |= {one["id"] for one in some}
        if some:
            chosen.append(Choice(title, why, some))
    return chosen


def show_text(utterance: Utterance) -> ShownUtterance:
    """Return what can be shown of an utterance without a model: its texts and facts."""
    return ShownUtterance(
        id=utterance["id"],
        pairs=align_tokens(utterance["ref"].split(), utterance["hyp"].split()),
        has_reference=True,
        facts=describe(utterance),
    )


def describe(utterance: Utterance) -> list[tuple[str, str]]:
    """Return what stands under an utterance's texts."""
    word = utterance["word"]
    facts = [("wrong words", f"{_errors(word)} of {word['n']}")]
    if utterance["speaker"] is not None:
        facts.append(("speaker", utterance["speaker"]))
    measured = utterance.get("measured") or {}
    if measured.get("duration") is not None:
        length = describe_length(measured["duration"], measured.get("unit", "s"))
        facts.append(("length", length))
    if measured.get("confidence") is not None:
        facts.append(("confidence", f"{measured['confidence']:.3f}"))
    if _errors(word) and measured.get("verdict"):
        facts.append(("whose fault", _BLAME[measured["verdict"]]))
    return facts


def _errors(record: Mapping[str, Any]) -> int:
    return int(record["sub"] + record["del"] + record["ins"])


def _draw(utterance: Utterance) -> bytes:
    return hashlib.blake2b(utterance["id"].encode("utf-8", "surrogateescape")).digest()
