"""Named text rules: what is done to a transcript before it is learned or counted.

Two scores can be compared only when their rules are the same, so rules are named, listed in
every result, and applied in the order in which they are given. Most rules change one text; a rule
on pairs looks at reference and output together, so only scoring can have it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ctcasr.compound_words import HYPHENS, spell_as_reference
from ctcasr.errors import ConfigError
from ctcasr.spoken_numbers import require_language, say_numbers

DEFAULT_RULES = ("nfc", "whitespace")

_SPACES = re.compile(r"\s+")
_INNER_HYPHEN = re.compile(rf"(?<=[^\W\d_])[{HYPHENS}](?=[^\W\d_])")
_NUMBERS = "numbers"


def _collapse_whitespace(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _drop_punctuation(text: str) -> str:
    """Drop Unicode punctuation, but keep an apostrophe or hyphen inside a word."""
    kept = []
    for index, char in enumerate(text):
        inside = (
            0 < index < len(text) - 1 and text[index - 1].isalnum() and text[index + 1].isalnum()
        )
        if unicodedata.category(char).startswith("P") and not (inside and char in "'’-"):
            kept.append(" ")
        else:
            kept.append(char)
    return _collapse_whitespace("".join(kept))


def _drop_marks(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text)
    kept = "".join(char for char in letters if not unicodedata.category(char).startswith("M"))
    return unicodedata.normalize("NFC", kept)


TEXT_RULES: Mapping[str, Callable[[str], str]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "whitespace": _collapse_whitespace,
    "lowercase": str.lower,
    "casefold": str.casefold,
    "punctuation": _drop_punctuation,
    "hyphens": lambda text: _INNER_HYPHEN.sub(" ", text),
    "diacritics": _drop_marks,
    _NUMBERS: say_numbers,
}
"""Every rule on one text: nfc and nfkc (Unicode normal forms), whitespace (runs become one space,
ends trimmed), lowercase, casefold, punctuation (dropped, except inside a word), hyphens (between
letters become spaces), diacritics (marks dropped after NFKD, then NFC), numbers (digits become
English words; `numbers:de` German ones, and so on)."""

PAIR_RULES: Mapping[str, Callable[[str, str], str]] = {"compounds": spell_as_reference}
"""Every rule on reference and output, which returns the output anew: compounds (the reference's
spelling where only spaces or hyphens differ)."""


def apply_rules(text: str, rules: Sequence[str]) -> str:
    """Return `text` after each named rule in turn.

    Raises:
        ConfigError: a rule that does not exist, and the message lists those that do; or one on
            pairs.
    """
    for name in rules:
        text = _find_rule(name)(text)
    return text


def apply_rules_to_pair(reference: str, hypothesis: str, rules: Sequence[str]) -> tuple[str, str]:
    """Return reference and output after each named rule in turn, those on pairs among them.

    Raises:
        ConfigError: a rule that does not exist; the message lists those that do.
    """
    for name in rules:
        if name in PAIR_RULES:
            hypothesis = PAIR_RULES[name](reference, hypothesis)
        else:
            rule = _find_rule(name, known=(*TEXT_RULES, *PAIR_RULES))
            reference, hypothesis = rule(reference), rule(hypothesis)
    return reference, hypothesis


def _find_rule(name: str, *, known: Iterable[str] = TEXT_RULES) -> Callable[[str], str]:
    if name in TEXT_RULES:
        return TEXT_RULES[name]
    rule, colon, language = name.partition(":")
    if rule == _NUMBERS and colon:
        require_language(language)
        return partial(say_numbers, language=language)
    if name in PAIR_RULES:
        raise ConfigError(
            f"text rule {name!r} compares an output with its reference, so it is for scores "
            f"alone; leave it out here and name it in score.rules or --rules"
        )
    raise ConfigError(f"text rule {name!r} does not exist; choose from: {', '.join(known)}")
