"""Numbers in digits as the words that are said: 21 as "twenty one", 3.5 as "three point five".

Whole numbers are read as amounts, so 1999 is "one thousand nine hundred and ninety nine". What
begins with 0 or has more than 15 digits is read digit by digit, and so is what follows the decimal
mark. In English 21st, 2nd, 3rd and 4th are ordinals. Signs and units stay where they are.

Words are those of the library num2words, with spaces for its hyphens and without its commas. Of
some languages it cannot say decimals; such a number stays in digits.
"""

import functools
import re
from decimal import Decimal

from ctcasr.errors import ConfigError

ENGLISH = "en"

_DIGITS_SAID_AS_AMOUNT = 15
# As CLDR has it; in the other languages the comma is the decimal mark and the point groups digits.
_DECIMAL_POINT = frozenset(
    {"ar", "bn", "cy", "en", "en_IN", "en_NG", "es_GT", "es_NI", "fa", "he", "ja", "kn", "ko"}
    | {"te", "th"}
)
# Amharic: num2words 0.5.14 fails on 9999 and never ends on 9999999.
_BROKEN = frozenset({"am"})
_FAILURES = (ArithmeticError, LookupError, NotImplementedError, TypeError, ValueError)


def say_numbers(text: str, language: str = ENGLISH) -> str:
    """Return the text with words for the numbers that stand in it in digits.

    Args:
        text: any text; digits of every script are understood.
        language: as num2words names it, such as `en`, `de` or `pt_BR`.

    Raises:
        ConfigError: a language that num2words does not know.
    """
    require_language(language)
    return _number_in(language).sub(lambda found: _words(found, language), text)


@functools.cache
def known_languages() -> tuple[str, ...]:
    """Return the languages whose numbers can be said, as num2words names them."""
    from num2words import CONVERTER_CLASSES

    return tuple(sorted(CONVERTER_CLASSES.keys() - _BROKEN))


def require_language(language: str) -> None:
    """Refuse a language whose numbers nobody knows here.

    Raises:
        ConfigError: lists those that are known.
    """
    if language not in known_languages():
        raise ConfigError(
            f"text rule 'numbers:{language}': no numbers are known in language {language!r}; "
            f"choose from: {', '.join(known_languages())}"
        )


@functools.cache
def _number_in(language: str) -> re.Pattern[str]:
    """Return what finds a number: whole with or without groups, fraction, English ordinal."""
    group, mark = (",", r"\.") if language in _DECIMAL_POINT else (r"\.", ",")
    ordinal = (
        r"(?P<ordinal>(?:st|nd|rd|th)\b)" if language.startswith(ENGLISH) else "(?P<ordinal>$^)"
    )
    whole = rf"(?P<whole>\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+)"
    return re.compile(rf"{whole}(?:{mark}(?P<fraction>\d+)|{ordinal})?", re.IGNORECASE)


def _words(found: re.Match[str], language: str) -> str:
    digits = re.sub(r"\D", "", found["whole"])
    if found["fraction"] is not None:
        mark = _decimal_word(language)
        if mark is None:
            return found[0]
        said = f"{_amount(digits, language)} {mark} {_one_by_one(found['fraction'], language)}"
    elif found["ordinal"]:
        said = _num2words(int(digits), language, to="ordinal")
    else:
        said = _amount(digits, language)
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return (" " if before.isalnum() else "") + said + (" " if after.isalnum() else "")


def _amount(digits: str, language: str) -> str:
    leading_zero = len(digits) > 1 and int(digits[0]) == 0
    if leading_zero or len(digits) > _DIGITS_SAID_AS_AMOUNT:
        return _one_by_one(digits, language)
    try:
        return _num2words(int(digits), language)
    except _FAILURES:  # larger than the language's words
        return _one_by_one(digits, language)


def _one_by_one(digits: str, language: str) -> str:
    return " ".join(_num2words(int(digit), language) for digit in digits)


@functools.cache
def _decimal_word(language: str) -> str | None:
    """Return "point"; None where the library does not say 3.05 as three, point, zero, five."""
    before, after = _num2words(3, language), _one_by_one("05", language)
    try:
        said = _num2words(Decimal("3.05"), language)
    except _FAILURES:
        return None
    said = said.removeprefix(before)
    return said.removesuffix(after).strip() if said.endswith(after) else None


def _num2words(number: int | Decimal, language: str, *, to: str = "cardinal") -> str:
    from num2words import num2words

    said = num2words(number, lang=language, to=to)
    return " ".join(said.replace("-", " ").replace(",", " ").split())
