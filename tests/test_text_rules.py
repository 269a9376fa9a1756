import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import ConfigError
from ctcasr.text_rules import (
    DEFAULT_RULES,
    PAIR_RULES,
    TEXT_RULES,
    apply_rules,
    apply_rules_to_pair,
)


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
        ("hyphens", "so-called e\u2010mail - covid-19 -x", "so called e mail - covid-19 -x"),
        ("diacritics", "Café Ångström ﬁn", "Cafe Angstrom fin"),
        ("diacritics", "שָׁלוֹם", "שלום"),
        ("diacritics", "한글", "한글"),
        ("numbers", "21st of 1,000 at 3.5", "twenty first of one thousand at three point five"),
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
        "casefold, punctuation, hyphens, diacritics, numbers"
    )


# On pairs


def test_rules_on_pairs_and_on_texts_are_applied_in_their_order():
    rules = ["casefold", "compounds", "whitespace"]

    assert apply_rules_to_pair("A Data Base ", "a database", rules) == (
        "a data base",
        "a data base",
    )
    assert apply_rules_to_pair("Data Base", "database", ["compounds", "casefold"]) == (
        "data base",
        "database",
    )


@given(
    said=st.text(max_size=12), heard=st.text(max_size=12), rule=st.sampled_from(list(TEXT_RULES))
)
def test_a_rule_on_texts_does_the_same_to_both_of_a_pair(said, heard, rule):
    assert apply_rules_to_pair(said, heard, [rule]) == (
        apply_rules(said, [rule]),
        apply_rules(heard, [rule]),
    )


def test_a_rule_on_pairs_is_refused_for_one_text():
    with pytest.raises(ConfigError, match=r"'compounds' compares an output with its reference"):
        apply_rules("data base", ["compounds"])


def test_scores_list_the_rules_on_pairs_too():
    with pytest.raises(ConfigError, match=r"'upper' does not exist; .*, numbers, compounds$"):
        apply_rules_to_pair("a", "b", ["upper"])


def test_every_rule_is_documented():
    page = (Path(__file__).parents[1] / "docs" / "scoring.md").read_text(encoding="utf-8")

    assert all(f"| `{rule}` |" in page for rule in (*TEXT_RULES, *PAIR_RULES))
