"""Where words begin and end in a label sequence, label by label.

`Alphabet.word_spans` says it of a whole sequence; a search needs it for one label at a time.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet, Unit

BOUNDARY = -1
"""The symbol of a word boundary among labels."""

WORD_START = "▁"


class LabelKind(IntEnum):
    """What a label does to the word that is being written."""

    INSIDE = 0
    """Goes on with it, or begins the first one."""
    SPACE = 1
    """Ends it and belongs to none."""
    STARTS_WORD = 2
    """Ends it and begins the next."""
    WHOLE_WORD = 3
    """Ends it and is a word by itself."""


def label_kinds(alphabet: Alphabet) -> NDArray[np.uint8]:
    """Return the (V,) kinds of an alphabet's labels."""

    def kind(label: str) -> LabelKind:
        if alphabet.unit is Unit.WORD:
            return LabelKind.WHOLE_WORD
        if label in (" ", WORD_START):  # a mark without a piece is a space
            return LabelKind.SPACE
        return LabelKind.STARTS_WORD if label.startswith(WORD_START) else LabelKind.INSIDE

    return np.array([kind(label) for label in alphabet.labels], dtype=np.uint8)


def label_symbols(label: int, kind: int) -> tuple[int, ...]:
    """Return a label as the labels and word boundaries it stands for."""
    match kind:
        case LabelKind.SPACE:
            return (BOUNDARY,)
        case LabelKind.STARTS_WORD:
            return (BOUNDARY, label)
        case LabelKind.WHOLE_WORD:
            return (label, BOUNDARY)
        case _:
            return (label,)
