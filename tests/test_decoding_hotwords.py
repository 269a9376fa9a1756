import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import Alphabet, Unit
from ctcasr.decoding import PrefixBeamDecoder
from ctcasr.decoding.context import make_context
from ctcasr.errors import HotwordError
from tests.oracles import hotword_worth, random_log_probs

SPELLER = Alphabet(("_", *"abcdeiknoprtwy", " "))
PIECES = Alphabet(("_", "▁a", "▁b", "c"))


def worths(text, boosts, alphabet=SPELLER):
    """What each label of a text earns, and last its end."""
    context = make_context(alphabet, hotwords=boosts)
    assert context is not None
    state, earned = context.start(), []
    for label in alphabet.encode(text):
        state, worth = context.extend(state, label)
        earned.append(worth)
    return [*earned, context.finish(state)]


phrases = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=3).map(" ".join)


@given(
    boosts=st.dictionaries(phrases, st.sampled_from([0.5, 2.0, 7.0]), min_size=1, max_size=5),
    text=st.text("ab ", max_size=14),
)
def test_a_text_earns_the_boost_of_each_phrase_that_stands_in_it(boosts, text):
    assert sum(worths(text, boosts)) == pytest.approx(hotword_worth(text.split(), boosts))


@pytest.mark.parametrize("phrase", ["a", "new york", "the one and only new york city port"])
def test_a_boost_means_the_same_for_long_and_short_phrases(phrase):
    letters = dict.fromkeys("_ " + phrase)
    alphabet = Alphabet(tuple(letters))

    assert sum(worths(phrase, {phrase: 3.0}, alphabet)) == pytest.approx(3.0)


def test_a_boost_is_spread_evenly_over_the_letters():
    earned = worths("ab", {"ab": 3.0})

    assert earned == pytest.approx([1.5, 1.5, 0.0])
    assert worths("ab new", {"ab new": 5.0}) == pytest.approx([1, 1, 0, 1, 1, 1, 0])


@pytest.mark.parametrize(
    "text", ["n", "ne", "new", "new ", "new yo", "new yorker", "new cat", "newt"]
)
def test_a_beginning_that_breaks_off_earns_nothing(text):
    assert sum(worths(text, {"new york": 4.0})) == pytest.approx(0.0)


@pytest.mark.parametrize("text", ["party", "art y", "y art", "par t", "arty", "tart"])
def test_a_word_does_not_match_inside_another(text):
    expected = 2.0 if "art" in text.split() else 0.0

    assert sum(worths(text, {"art": 2.0})) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new york city", 3.0 + 5.0),  # overlapping: york counts for both
        ("new york", 3.0),
        ("york city", 5.0),
        ("new york new york", 6.0),
        ("new new york", 3.0),
        ("york new york city york", 3.0 + 5.0),
        (" new york ", 3.0),
        ("new  york", 3.0),
    ],
)
def test_phrases_that_overlap_or_repeat_are_all_counted(text, expected):
    earned = worths(text, {"new york": 3.0, "york city": 5.0})

    assert sum(earned) == pytest.approx(expected)


def test_a_phrase_inside_another_is_counted_with_it():
    boosts = {"new york city": 8.0, "york": 2.0, "york city": 1.0}

    assert sum(worths("new york city", boosts)) == pytest.approx(11.0)
    assert sum(worths("new york cat", boosts)) == pytest.approx(2.0)


def test_the_same_word_twice_in_a_phrase_is_found_at_any_place():
    assert sum(worths("a a a b", {"a a b": 4.0})) == pytest.approx(4.0)
    assert sum(worths("a a a a", {"a a": 1.0})) == pytest.approx(3.0)


def test_one_piece_may_complete_a_phrase_and_begin_the_next():
    boosts = {"a": 5.0, "b": 5.0}
    for seed in range(10):
        log_probs = random_log_probs(num_frames=8, num_symbols=4, seed=seed)
        found = [
            PrefixBeamDecoder(PIECES, beam=3, hotwords=boosts, use_core=use_core)(log_probs)
            for use_core in (None, False)
        ]

        assert [h.labels for h in found[0]] == [h.labels for h in found[1]]


def test_a_hotword_wins_where_it_is_nearly_said():
    said = ["b", "a", "t"]
    alphabet = Alphabet(("_", "a", "b", "t", "p"))
    frames = np.full((6, 5), 1e-3)
    for at, letter in enumerate(said):
        frames[2 * at, alphabet.labels.index(letter)] = frames[2 * at + 1, 0] = 1.0
    frames[0, 4] = 0.3
    log_probs = np.log(frames / frames.sum(axis=1, keepdims=True))

    assert PrefixBeamDecoder(alphabet)(log_probs)[0].text == "bat"
    assert PrefixBeamDecoder(alphabet, hotwords={"pat": 3.0})(log_probs)[0].text == "pat"
    assert PrefixBeamDecoder(alphabet, hotwords={"pa": 4.0})(log_probs)[0].text == "bat"


def test_whole_words_make_phrases_too():
    alphabet = Alphabet(("_", "new", "york"), unit=Unit.WORD)

    assert worths("new york", {"new york": 3.0}, alphabet) == pytest.approx([1.5, 1.5, 0.0])
    assert sum(worths("york new", {"new york": 3.0}, alphabet)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("boosts", "message"),
    [
        ({"": 1.0}, "a hotword is empty; give a word or a phrase"),
        ({"  ": 1.0}, "a hotword is empty; give a word or a phrase"),
        (
            {"a": 0.0},
            "hotword 'a': boost 0.0; give nats above 0 and up to 100, as in 5",
        ),
        (
            {"a": -3.0},
            "hotword 'a': boost -3.0; give nats above 0 and up to 100, as in 5",
        ),
        (
            {"a": np.nan},
            "hotword 'a': boost nan; give nats above 0 and up to 100, as in 5",
        ),
        (
            {"a": np.inf},
            "hotword 'a': boost inf; give nats above 0 and up to 100, as in 5",
        ),
        (
            {"a": 101.0},
            "hotword 'a': boost 101.0; give nats above 0 and up to 100, as in 5",
        ),
        (
            {"new zoo": 1.0},
            (
                "hotword 'new zoo' cannot be spelt; no label for 'z' "
                "(U+007A LATIN SMALL LETTER Z); the model can only write the labels it has learned"
            ),
        ),
        (
            dict.fromkeys(("a", "b a", "a b a", "b a b a", "a b a b a"), 90.0),
            (
                "hotwords that end in the same place add up to a boost of 450; give smaller ones, "
                "400 together at most"
            ),
        ),
    ],
)
def test_hotwords_that_cannot_be_are_named(boosts, message):
    with pytest.raises(HotwordError) as caught:
        PrefixBeamDecoder(SPELLER, hotwords=boosts)
    assert str(caught.value) == message


def test_a_phrase_of_pieces_that_are_not_there_is_named():
    with pytest.raises(HotwordError, match="no label for '▁c'"):
        PrefixBeamDecoder(PIECES, hotwords={"c": 1.0})


def test_a_phrase_needs_a_label_that_parts_words():
    with pytest.raises(HotwordError) as caught:
        PrefixBeamDecoder("_ab", hotwords={"a b": 1.0})
    assert str(caught.value) == (
        "hotword 'a b' has 2 words, but no label of the model parts words; give single words"
    )


def test_no_hotwords_are_no_context():
    assert make_context(SPELLER, hotwords={}) is None
