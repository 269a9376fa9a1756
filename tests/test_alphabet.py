import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import (
    Alphabet,
    Direction,
    Unit,
    alphabet_of_labels,
    build_alphabet,
    describe,
    split_units,
)
from ctcasr.errors import AlphabetError

SENTENCES = [
    "the cat sat on the mat",
    "a cat is on a mat",
    "the rat sat on the cat",
    "that is the hat of the cat",
    "it is a hat",
]
HINDI = "नमस्ते दुनिया"
FAMILY = "👨‍👩‍👧"  # one grapheme of five code points, joined by ZWJ


@pytest.fixture(scope="module")
def subwords():
    return build_alphabet(SENTENCES, unit=Unit.SUBWORD, subwords=30)


# Building


def test_labels_are_the_units_of_the_text_sorted_after_the_blank():
    assert build_alphabet(["cab", "b a"]).labels == ("<blank>", " ", "a", "b", "c")
    assert build_alphabet(["to be", "or not"], unit=Unit.WORD).labels == (
        "<blank>",
        "be",
        "not",
        "or",
        "to",
    )


def test_the_order_of_the_texts_does_not_matter():
    assert build_alphabet(SENTENCES) == build_alphabet(SENTENCES[::-1])


def test_listed_labels_keep_their_order():
    alphabet = alphabet_of_labels(["z", "a"], unit=Unit.CHAR, direction=Direction.RTL)

    assert alphabet.labels == ("<blank>", "z", "a")
    assert alphabet.direction == "rtl"
    assert alphabet.encode("az") == (2, 1)


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_to_learn_is_refused(unit, texts):
    with pytest.raises(AlphabetError, match=r"^the training texts are all empty, so .* manifest$"):
        build_alphabet(texts, unit=unit)


def test_labels_given_twice_are_named():
    with pytest.raises(AlphabetError) as caught:
        alphabet_of_labels(["a", "é", "a", "é"], unit=Unit.CHAR, direction=Direction.LTR)

    assert str(caught.value) == (
        "alphabet: labels given twice: 'a' (U+0061 LATIN SMALL LETTER A), "
        "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE); list each once"
    )


def test_the_blanks_name_cannot_be_a_word():
    with pytest.raises(AlphabetError, match="names the CTC blank"):
        build_alphabet(["a <blank> b"], unit=Unit.WORD)


def test_the_blank_must_be_a_column():
    with pytest.raises(AlphabetError, match="blank is column 2 but there are 2 labels"):
        Alphabet(("<blank>", "a"), blank=2)


def test_subword_labels_need_their_model():
    with pytest.raises(AlphabetError, match="need the sentencepiece model"):
        Alphabet(("<blank>", "▁a"), unit=Unit.SUBWORD)


# Units


@pytest.mark.parametrize(
    ("text", "graphemes"),
    [
        (HINDI, ["न", "म", "स्ते", " ", "दु", "नि", "या"]),
        (f"a{FAMILY}b", ["a", FAMILY, "b"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("각a", ["각", "a"]),
        ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
    ],
)
def test_a_grapheme_is_what_a_reader_sees_as_one_character(text, graphemes):
    assert split_units(text, Unit.GRAPHEME) == graphemes


def test_a_character_is_a_code_point_and_a_word_is_between_spaces():
    assert split_units("e\u0301 a", Unit.CHAR) == ["e", "\u0301", " ", "a"]
    assert split_units(" sil  aa\tb ", Unit.WORD) == ["sil", "aa", "b"]
    with pytest.raises(ValueError, match="own model"):
        split_units("a", Unit.SUBWORD)


# Text to labels and back

scripts = st.text(alphabet=st.sampled_from([*"ab é", *HINDI, *FAMILY, "\u0301", "ж", "字"]))


@given(text=scripts.filter(bool), unit=st.sampled_from([Unit.CHAR, Unit.GRAPHEME]))
def test_decoding_gives_back_what_was_encoded(text, unit):
    alphabet = build_alphabet([text], unit=unit)

    labels = alphabet.encode(text)

    assert alphabet.decode(labels) == text
    assert alphabet.blank not in labels
    assert alphabet.unknown(text) == []


@given(words=st.lists(st.sampled_from(["to", "be", "sil", "ष"]), min_size=1))
def test_decoding_words_gives_them_back_with_single_spaces(words):
    alphabet = build_alphabet(["to be sil ष"], unit=Unit.WORD)

    assert alphabet.decode(alphabet.encode("  ".join(words))) == " ".join(words)


@given(words=st.lists(st.sampled_from(" ".join(SENTENCES).split()), max_size=8))
def test_decoding_subwords_gives_back_any_text_of_the_letters_seen(subwords, words):
    text = " ".join(words)

    assert subwords.decode(subwords.encode(text)) == text


def test_empty_text_has_no_labels(subwords):
    for alphabet in (subwords, build_alphabet(["a"]), build_alphabet(["a"], unit=Unit.WORD)):
        assert alphabet.encode("") == ()
        assert alphabet.decode(()) == ""


def test_blanks_are_not_written():
    alphabet = Alphabet(("a", "<blank>", "b"), blank=1)

    assert alphabet.decode([1, 0, 1, 2, 1]) == "ab"


def test_unknown_units_are_named_once_with_their_code_points():
    alphabet = build_alphabet(["ab"], unit=Unit.GRAPHEME)

    with pytest.raises(AlphabetError) as caught:
        alphabet.encode("aß" + "e\u0301ß")

    assert str(caught.value) == (
        "no label for 'ß' (U+00DF LATIN SMALL LETTER SHARP S), 'e\u0301' (U+0065 LATIN SMALL "
        "LETTER E + U+0301 COMBINING ACUTE ACCENT) in 'aße\u0301ß'; add them to the training "
        "text or remove them by a text rule"
    )


@pytest.mark.parametrize("unit", [Unit.WORD, Unit.SUBWORD])
def test_unknown_words_and_characters_are_named(unit):
    alphabet = build_alphabet(SENTENCES, unit=unit, subwords=30)

    assert alphabet.unknown("the cat") == []
    assert any("ж" in missing for missing in alphabet.unknown("the жcat"))
    with pytest.raises(AlphabetError, match=r"U\+0436 CYRILLIC SMALL LETTER ZHE"):
        alphabet.encode("the жcat")


def test_long_units_are_described_by_their_first_code_points():
    assert describe(["abcdef"]).endswith("U+0064 LATIN SMALL LETTER D + ...)")
    assert "U+0007 unnamed" in describe(["\a"])


# Words in time


def spelled(alphabet, labels):
    return [(word, first, last) for word, first, last in alphabet.word_spans(labels)]


def test_words_of_characters_are_between_spaces():
    alphabet = build_alphabet(["ab c"])

    assert spelled(alphabet, alphabet.encode(" ab  c")) == [("ab", 1, 3), ("c", 5, 6)]
    assert spelled(alphabet, alphabet.encode("ab ")) == [("ab", 0, 2)]
    assert spelled(alphabet, ()) == []


def test_each_word_label_is_a_word():
    alphabet = build_alphabet(["to be"], unit=Unit.WORD)

    assert spelled(alphabet, alphabet.encode("be to")) == [("be", 0, 1), ("to", 1, 2)]


@given(words=st.lists(st.sampled_from(" ".join(SENTENCES).split()), max_size=8))
def test_subword_spans_are_the_words_side_by_side(subwords, words):
    labels = subwords.encode(" ".join(words))

    spans = spelled(subwords, labels)

    assert [word for word, _, _ in spans] == words
    for word, first, last in spans:
        assert subwords.decode(labels[first:last]) == word


@given(
    st.lists(st.integers(1, 6), max_size=12),
    st.sampled_from([Unit.CHAR, Unit.GRAPHEME, Unit.WORD]),
)
def test_words_are_those_of_the_spans(labels, unit):
    alphabet = Alphabet(("<blank>", "a", "b", " ", "▁", "▁c", "d e"), unit=unit)

    assert alphabet.words(labels) == [word for word, _, _ in alphabet.word_spans(labels)]


# Subwords


def test_subwords_join_characters(subwords):
    text = "the cat"

    assert subwords.labels[subwords.blank] == "<blank>"
    assert len(subwords) <= 30
    assert len(subwords.encode(text)) < len(text)


def test_a_small_text_gives_fewer_subwords_than_asked_for():
    alphabet = build_alphabet(["yes", "no"], unit=Unit.SUBWORD, subwords=256)

    assert len(alphabet) < 20
    assert alphabet.decode(alphabet.encode("no yes")) == "no yes"


def test_subwords_are_learned_again_the_same(subwords):
    assert build_alphabet(SENTENCES, unit=Unit.SUBWORD, subwords=30).labels == subwords.labels


def test_an_alphabet_in_use_can_still_be_pickled_or_rebuilt_from_its_parts(subwords):
    subwords.encode("the cat")
    rebuilt = Alphabet(subwords.labels, unit=Unit.SUBWORD, subword_model=subwords.subword_model)

    assert rebuilt.encode("the cat") == subwords.encode("the cat")
    assert pickle.loads(pickle.dumps(rebuilt)) == rebuilt
