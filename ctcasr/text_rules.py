"""Named text rules: what is done to a transcript before it is learned or counted.

Two scores can be compared only when their rules are the same, so rules are named, listed in
every result, and applied in the order in which they are given.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from ctcasr.errors import ConfigError

DEFAULT_RULES = ("nfc", "whitespace")

_SPACES = re.compile(r"\s+")


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


TEXT_RULES: Mapping[str, Callable[[str], str]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "whitespace": _collapse_whitespace,
    "lowercase": str.lower,
    "casefold": str.casefold,
    "punctuation": _drop_punctuation,
}
"""Every rule by name: nfc and nfkc (Unicode normal forms), whitespace (runs become one space, ends
trimmed), lowercase, casefold, punctuation (dropped, except inside a word)."""


def apply_rules(text: str, rules: Sequence[str]) -> str:
    """Return `text` after each named rule in turn.

    Raises:
        ConfigError: a rule that does not exist; the message lists those that do.
    """
    for name in rules:
        if name not in TEXT_RULES:
            known = ", ".join(TEXT_RULES)
            raise ConfigError(f"text rule {name!r} does not exist; choose from: {known}")
        text = TEXT_RULES[name](text)
    return text
