"""Defects of transcripts are named with their code points, and ordinary text raises nothing."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.alphabet import Unit, build_alphabet
from ctcasr.checking.findings import Kind, Severity
from ctcasr.checking.text_checks import check_alphabet, check_rare_units, check_texts
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import DEFAULT_RULES


def labelled(*texts):
    return [Utterance(id=f"u{n}", path=Path("a.wav"), text=t) for n, t in enumerate(texts)]


def found(*texts, rules=()):
    return {f.kind: f for f in check_texts("train", labelled(*texts), rules=rules)}


@pytest.mark.parametrize(
    "text",
    [
        "l'été, peut-être",
        "Ünïcödé 42 %",
        "привет мир",
        "hello привет",  # two scripts, but not in one word
        "αβγ",
        "مرحبا",
        "می\u200cخواهم",  # Persian spells with a zero-width non-joiner
        "क्\u200dष",  # and Devanagari with a joiner
        "你好",
        "b ii n sil",
    ],
)
@pytest.mark.parametrize("rules", [(), DEFAULT_RULES])
def test_ordinary_text_raises_nothing(text, rules):
    assert found(text, rules=rules) == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("\ufeffyes", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("ye\u200bs", "U+200B ZERO WIDTH SPACE"),
        ("ye\u200ds", "U+200D ZERO WIDTH JOINER"),
        ("yes\r\n", "U+000D unnamed"),
        ("y\x00es", "U+0000 unnamed"),
        ("y\ufffds", "U+FFFD REPLACEMENT CHARACTER"),
        ("y\u00ades", "U+00AD SOFT HYPHEN"),
        ("yes\u200f", "U+200F RIGHT-TO-LEFT MARK"),
    ],
)
def test_stray_characters_are_named(text, named):
    finding = found("no", text)[Kind.STRAY_CHARACTERS]

    assert finding.items == ("u1",)
    assert named in finding.message
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (" yes", "a space at the beginning"),
        ("yes ", "a space at the end"),
        ("yes  no", "several spaces in a row"),
        ("yes\u00a0no", "an unusual space, '\\xa0' (U+00A0 NO-BREAK SPACE)"),
    ],
)
def test_odd_spacing_is_named(text, named):
    assert found(text)[Kind.SPACING].message == f"u0: {named}"


@pytest.mark.parametrize("text", [" yes", "yes  no", "yes\u00a0no", "yes\r\n"])
def test_what_the_text_rules_mend_is_a_note_only(text):
    findings = found(text, rules=DEFAULT_RULES)

    assert set(findings) == {Kind.REPAIRED}
    assert findings[Kind.REPAIRED].items == ("u0",)
    assert "mended by nfc, whitespace" in findings[Kind.REPAIRED].message


def test_a_byte_order_mark_survives_the_default_rules_and_is_a_warning():
    assert set(found("\ufeffyes", rules=DEFAULT_RULES)) == {Kind.STRAY_CHARACTERS}


def test_mixed_normalisation_is_a_warning_without_nfc_and_a_note_with_it():
    texts = ("caf\u00e9", "cafe\u0301", "the")

    warned, mended = found(*texts), found(*texts, rules=("nfc",))

    assert set(warned) == {Kind.MIXED_NORMALISATION}
    assert warned[Kind.MIXED_NORMALISATION].message == (
        "1 text with composed letters (NFC; 'u0'), 1 with decomposed ones ('u1')"
    )
    assert set(mended) == {Kind.REPAIRED}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_normal_form_throughout_is_no_mixture(form):
    assert found(*(unicodedata.normalize(form, text) for text in ("été", "forêt", "the"))) == {}


def test_look_alike_letters_of_another_script_are_named():
    finding = found("the c\u0430t sat")[Kind.MIXED_SCRIPTS]  # Cyrillic a

    assert "U+0430 CYRILLIC SMALL LETTER A" in finding.message


def test_empty_and_missing_text_are_told_apart():
    findings = found("", None, "  ", rules=DEFAULT_RULES)

    assert findings[Kind.UNLABELLED].items == ("u1",)
    empty = [
        f.items
        for f in check_texts("train", labelled("", None, "  "), rules=DEFAULT_RULES)
        if f.kind is Kind.EMPTY_TEXT
    ]
    assert empty == [("u0",), ("u2",)]
    assert Kind.EMPTY_TEXT.severity is Severity.NOTE


def test_characters_outside_the_alphabet_are_fatal_and_named():
    alphabet = build_alphabet(["yes no"])

    (finding,) = check_alphabet(
        "dev", labelled("yes", "yés no!"), rules=("nfc",), alphabet=alphabet
    )

    assert finding.severity is Severity.FATAL
    assert finding.message == (
        "u1: no label for 'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE), '!' (U+0021 EXCLAMATION "
        "MARK)"
    )


def test_characters_seen_once_or_twice_are_named_with_where():
    utterances = labelled("abab", "aabx", "abyy", "ba")
    alphabet = build_alphabet([u.text for u in utterances])

    findings = check_rare_units("train", utterances, rules=(), alphabet=alphabet)

    assert [f.message for f in findings] == [
        "'x' (U+0078 LATIN SMALL LETTER X) stands once, in 'u1'",
        "'y' (U+0079 LATIN SMALL LETTER Y) stands twice, in 'u2'",
    ]


def test_rare_words_are_no_finding():
    utterances = labelled("yes", "no")
    alphabet = build_alphabet([u.text for u in utterances], unit=Unit.WORD)

    assert check_rare_units("train", utterances, rules=(), alphabet=alphabet) == []


@given(texts=st.lists(st.text(max_size=8), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_text_is_described_in_one_line(texts):
    findings = check_texts("train", labelled(*texts), rules=DEFAULT_RULES)
    findings += check_alphabet(
        "dev", labelled(*texts), rules=DEFAULT_RULES, alphabet=build_alphabet(["a"])
    )

    for finding in findings:
        assert finding.message.splitlines() == [finding.message]
