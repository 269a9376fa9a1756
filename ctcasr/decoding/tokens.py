"""Tokens: what a language model counts, n-gram or recurrent, and how a sentence becomes them."""

from dataclasses import dataclass
from enum import StrEnum

from ctcasr.alphabet import Alphabet, Unit, split_units
from ctcasr.decoding.ngram import label_token
from ctcasr.text_rules import DEFAULT_RULES, apply_rules

RECURRENT_SUFFIX = ".safetensors"
"""By which a recurrent model's file is told from an ARPA file."""


class TokenUnit(StrEnum):
    """What a language model counts as one word, where no recognizer says."""

    WORD = "word"
    CHAR = "char"
    GRAPHEME = "grapheme"


@dataclass(frozen=True, slots=True)
class Tokens:
    """How a sentence becomes what a model counts.

    Attributes:
        unit: words, or units of text; of the latter, " " is written `<space>`.
        alphabet: the labels of a recognizer, in place of `unit`.
        rules: text rules that come before.
    """

    unit: TokenUnit = TokenUnit.WORD
    alphabet: Alphabet | None = None
    rules: tuple[str, ...] = DEFAULT_RULES

    def split(self, sentence: str) -> list[str]:
        """Return the tokens of a sentence.

        Raises:
            AlphabetError: the alphabet has no label for a part of it.
            ConfigError: a text rule that does not exist.
        """
        return self.split_ruled(apply_rules(sentence, self.rules))

    def split_ruled(self, text: str) -> list[str]:
        """Return the same for a text that the rules have been applied to.

        Raises:
            AlphabetError: the alphabet has no label for a part of it.
        """
        if self.alphabet is None:
            units = split_units(text, Unit(self.unit))
        else:
            units = [self.alphabet.labels[label] for label in self.alphabet.encode(text)]
        return [label_token(unit) for unit in units]
