"""Alphabet: text to label ids and back, for every unit a model may write.

A unit is what one output label stands for: a character (one Unicode code point), a grapheme (what
a reader sees as one character: base letter and marks together), a word (any white-space token, so
phones too), or a subword learned by sentencepiece. The rest of ctcasr sees label ids only.

Grapheme clusters: Unicode Standard Annex 29. Subwords: Kudo and Richardson 2018, arXiv:1808.06226.
"""

import io
import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import regex

from ctcasr.errors import AlphabetError

if TYPE_CHECKING:  # loaded on first use
    from sentencepiece import SentencePieceProcessor

BLANK_LABEL = "<blank>"
_WORD_START = "▁"  # sentencepiece's mark of a space before a piece
_GAP = "\0"  # in no label


class Unit(StrEnum):
    """What one label stands for."""

    CHAR = "char"
    GRAPHEME = "grapheme"
    WORD = "word"
    SUBWORD = "subword"


class Direction(StrEnum):
    """The direction the script is written in; text itself is always in logical order."""

    LTR = "ltr"
    RTL = "rtl"


@dataclass(frozen=True)
class Alphabet:
    """The labels of one model, in the order of its output columns.

    Attributes:
        labels: every column's label; `labels[blank]` is "<blank>".
        blank: column of the CTC blank.
        unit: what one label stands for.
        direction: writing direction.
        subword_model: the serialised sentencepiece model; only for subwords.
    """

    labels: tuple[str, ...]
    blank: int = 0
    unit: Unit = Unit.CHAR
    direction: Direction = Direction.LTR
    subword_model: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
            raise AlphabetError(f"alphabet: labels given twice: {describe(twice)}; list each once")
        if not 0 <= self.blank < len(self.labels):
            raise AlphabetError(
                f"alphabet: blank is column {self.blank} but there are {len(self.labels)} labels"
            )
        if self.unit is Unit.SUBWORD and self.subword_model is None:
            raise AlphabetError(
                "alphabet: subword labels need the sentencepiece model they are from"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {label: column for column, label in enumerate(self.labels)}

    @cached_property
    def marks_words(self) -> bool:
        """Whether labels mark with "▁" where a word begins, as pieces of words do."""
        return self.unit is not Unit.WORD and any(
            label.startswith(_WORD_START) for label in self.labels
        )

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the label ids of `text`.

        Raises:
            AlphabetError: names every unit that has no label, with its code points.
        """
        units = self.split(text)
        unknown = self._unknown(units)
        if unknown:
            raise AlphabetError(
                f"no label for {describe(unknown)} in {text!r}; add them to the training text or "
                f"remove them by a text rule"
            )
        return tuple(self._columns[unit] for unit in units)

    def unknown(self, text: str) -> list[str]:
        """Return the units of `text` that have no label, each once, in order of appearance."""
        return self._unknown(self.split(text))

    def _unknown(self, units: Iterable[str]) -> list[str]:
        columns = self._columns
        missing = (unit for unit in units if unit not in columns or columns[unit] == self.blank)
        return list(dict.fromkeys(missing))

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of label ids, without blanks."""
        names, blank = self.labels, self.blank
        units = [names[label] for label in labels if label != blank]
        if self.unit is Unit.WORD:
            return " ".join(units)
        text = "".join(units)
        if self.unit is Unit.SUBWORD or self.marks_words:
            return text.replace(_WORD_START, " ").strip()
        return text

    def word_spans(self, labels: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return each word of a label sequence as (word, first position, last position + 1)."""
        if self.unit is Unit.WORD:
            return [(self.labels[label], at, at + 1) for at, label in enumerate(labels)]
        spans: list[tuple[str, int, int]] = []
        first = 0
        word = ""
        for at, label in enumerate(labels):
            unit = self.labels[label]
            starts_word = unit == " " or unit.startswith(_WORD_START)
            if starts_word and word:
                spans.append((word, first, at))
                word = ""
            piece = "" if unit == " " else unit.removeprefix(_WORD_START)
            if piece and not word:
                first = at
            word += piece
        if word:
            spans.append((word, first, len(labels)))
        return spans

    def words(self, labels: Sequence[int]) -> list[str]:
        """Return the words of `word_spans` alone, several times as fast."""
        if self.unit is Unit.WORD:
            return [self.labels[label] for label in labels]
        text = "".join(map(self._pieces.__getitem__, labels))
        return [word for word in text.split(_GAP) if word]

    @cached_property
    def _pieces(self) -> tuple[str, ...]:
        """What each label adds to a text in which a gap stands between words."""
        return tuple(
            _GAP if label == " " else _GAP + label[1:] if label.startswith(_WORD_START) else label
            for label in self.labels
        )

    def split(self, text: str) -> list[str]:
        """Return `text` as the units this alphabet has labels for, known or not."""
        if self.unit is Unit.SUBWORD:
            return [str(piece) for piece in self._processor.encode(text, out_type=str)]
        return split_units(text, self.unit)

    @cached_property
    def _processor(self) -> "SentencePieceProcessor":
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.subword_model)


def split_units(text: str, unit: Unit) -> list[str]:
    """Return the units of `text` that need no learned model: characters, graphemes or words."""
    match unit:
        case Unit.CHAR:
            return list(text)
        case Unit.GRAPHEME:
            return [str(cluster) for cluster in regex.findall(r"\X", text)]
        case Unit.WORD:
            return text.split()
        case Unit.SUBWORD:
            raise ValueError("subwords are split by their alphabet's own model")


def build_alphabet(
    texts: Iterable[str],
    *,
    unit: Unit = Unit.CHAR,
    direction: Direction = Direction.LTR,
    subwords: int = 256,
) -> Alphabet:
    """Return the alphabet of the training texts: every unit they hold, sorted, after the blank.

    Args:
        texts: transcripts, after the text rules.
        unit: what one label stands for.
        direction: writing direction of the script.
        subwords: how many pieces sentencepiece learns; fewer where the text is too small.

    Raises:
        AlphabetError: the texts are all empty.
    """
    if unit is Unit.SUBWORD:
        return _learn_subwords(list(texts), direction=direction, subwords=subwords)
    units = {part for text in texts for part in split_units(text, unit)}
    if not units:
        raise _nothing_to_learn()
    if BLANK_LABEL in units:
        raise AlphabetError(f"{BLANK_LABEL} stands in the training text, but names the CTC blank")
    return Alphabet((BLANK_LABEL, *sorted(units)), unit=unit, direction=direction)


NO_TEXT = Alphabet((BLANK_LABEL,))
"""The alphabet of a model that writes none."""


def alphabet_of_labels(labels: Sequence[str], *, unit: Unit, direction: Direction) -> Alphabet:
    """Return the alphabet of labels that someone has listed, in their order, after the blank.

    Raises:
        AlphabetError: a label stands twice.
    """
    return Alphabet((BLANK_LABEL, *labels), unit=unit, direction=direction)


def frames_needed(labels: Sequence[int]) -> int:
    """Return the fewest frames that CTC can align labels with.

    Adjacent repeats need a blank between them (Graves et al. 2006, section 3.1).
    """
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


def describe(units: Iterable[str]) -> str:
    """Return units with their code points and names, for a message: 'é' (U+00E9 LATIN ...)."""
    return ", ".join(f"{unit!r} ({_code_points(unit)})" for unit in units)


def _code_points(unit: str) -> str:
    return " + ".join(
        f"U+{ord(char):04X} {unicodedata.name(char, 'unnamed')}" for char in unit[:4]
    ) + (" + ..." if len(unit) > 4 else "")


def _learn_subwords(texts: list[str], *, direction: Direction, subwords: int) -> Alphabet:
    import sentencepiece

    if not any(texts):
        raise _nothing_to_learn()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=subwords,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",  # the text rules have been applied already
        bos_id=-1,
        eos_id=-1,
        unk_id=0,
        unk_piece=BLANK_LABEL,  # sentencepiece insists on one; its column is our blank's
        minloglevel=2,
        num_threads=1,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = tuple(processor.id_to_piece(i) for i in range(processor.get_piece_size()))
    return Alphabet(pieces, unit=Unit.SUBWORD, direction=direction, subword_model=model.getvalue())


def _nothing_to_learn() -> AlphabetError:
    return AlphabetError(
        "the training texts are all empty, so there is nothing to write; "
        "fill `text` in the manifest"
    )
