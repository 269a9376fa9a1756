import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import ConfigError
from ctcasr.text_rules import DEFAULT_RULES, TEXT_RULES, apply_rules


@pytest.mark.parametrize(
    ("rule", "text", "wanted"),
    [
        ("nfc", "e\u0301", "é"),
        ("nfkc", "ﬁve ²", "five 2"),
        ("whitespace", "  a\t b\n\u00a0c ", "a b c"),
        ("lowercase", "ÄSSE STRASSE", "ässe strasse"),
        ("casefold", "Straße", "strasse"),
        ("punctuation", "well, it's a so-called 'test'...", "well it's a so-called test"),
        ("punctuation", "rock 'n' roll - and/or", "rock n roll and or"),
        ("punctuation", "don’t", "don’t"),
        ("punctuation", "-'", ""),
    ],
)
def test_rule_does_what_its_name_says(rule, text, wanted):
    assert apply_rules(text, [rule]) == wanted


@pytest.mark.parametrize("rule", sorted(set(TEXT_RULES) - {"lowercase"}))
@given(text=st.text(max_size=12))
def test_a_rule_applied_twice_is_applied_once(rule, text):
    once = apply_rules(text, [rule])

    assert apply_rules(once, [rule]) == once


@given(text=st.text(max_size=12))
def test_default_rules_keep_every_word(text):
    result = apply_rules(text, DEFAULT_RULES)

    assert result.split() == unicodedata.normalize("NFC", text).split()


def test_rules_are_applied_in_their_order():
    assert apply_rules("A,B", ["lowercase", "punctuation"]) == "a b"
    assert apply_rules(" , a", ["whitespace", "punctuation"]) == "a"
    assert apply_rules("a", []) == "a"


def test_a_rule_that_does_not_exist_is_named():
    with pytest.raises(ConfigError) as caught:
        apply_rules("a", ["nfc", "upper"])

    assert str(caught.value) == (
        "text rule 'upper' does not exist; choose from: nfc, nfkc, whitespace, lowercase, "
        "casefold, punctuation"
    )
