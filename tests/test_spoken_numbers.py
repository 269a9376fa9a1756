import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from ctcasr.errors import ConfigError
from ctcasr.spoken_numbers import known_languages, say_numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 and 21", "zero and twenty one"),
        ("the 21st, 2ND and 113th", "the twenty first, second and one hundred and thirteenth"),
        ("1,000", "one thousand"),
        ("1,234,567.05", None),
        ("12,34", "twelve,thirty four"),
        ("3.5 or 3.50", "three point five or three point five zero"),
        ("on 5.", "on five."),
        ("007", "zero zero seven"),
        ("mp3player v2", "mp three player v two"),
        ("-5%", "-five%"),
        ("٣ cats", "three cats"),
        ("1" * 17, " ".join(["one"] * 17)),
        ("²", "²"),
        ("none", "none"),
    ],
)
def test_numbers_are_written_as_said(text, said):
    if said is None:
        said = (
            "one million two hundred and thirty four thousand five hundred and sixty seven "
            "point zero five"
        )
    assert say_numbers(text) == said


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("de", "21 von 1.000", "einundzwanzig von eintausend"),
        ("de", "3,05", "drei Komma null fünf"),
        ("fr", "1.000,5", "mille virgule cinq"),
        ("fr", "21st", "vingt et un st"),
        ("ja", "1,000", "千"),
        ("tr", "3,5", "3,5"),  # num2words has no decimals there
    ],
)
def test_other_languages_have_their_own_words_and_marks(language, text, said):
    assert say_numbers(text, language) == said


@given(number=st.integers(0, 10**15 - 1))
def test_an_amount_is_what_num2words_says(number):
    wanted = re.sub("[-, ]+", " ", num2words(number))

    assert say_numbers(str(number)) == wanted
    assert say_numbers(f"{number:,}") == wanted


@pytest.mark.parametrize("language", known_languages())
@pytest.mark.parametrize("text", ["7", "40", "1999", "1000000", "999999999999999", "0123", "2,5"])
def test_every_language_says_something_or_leaves_the_number_alone(language, text):
    said = say_numbers(text, language)

    assert said == text or (said and not re.search(r"\d", said))


def test_an_unknown_language_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'numbers:xx': no numbers .* choose from: ar, az, "):
        say_numbers("1", "xx")
