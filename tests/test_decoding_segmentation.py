import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import Alphabet, Unit, build_alphabet
from ctcasr.decoding import PrefixBeamDecoder
from ctcasr.decoding.segmentation import MOST_SECONDS, cut_at_pauses, join_hypotheses

FRAME_S = 0.03
PAUSE = 0
WORDS = Alphabet(("<blank>", "yes", "no"), blank=0, unit=Unit.WORD)
LETTERS = build_alphabet(["a b"])


def log_probs_of(labels, *, num_symbols=3, certain=0.9999):
    """One frame for each label, as sure as that."""
    probs = np.full((len(labels), num_symbols), (1 - certain) / (num_symbols - 1))
    probs[np.arange(len(labels)), labels] = certain
    return np.log(probs)


def cut(labels, alphabet=WORDS, **how):
    matrix = log_probs_of(labels, num_symbols=len(alphabet), **how)
    return cut_at_pauses(matrix, alphabet, frame_s=FRAME_S)


def test_a_long_pause_is_cut_in_its_middle():
    labels = [1] * 60 + [PAUSE] * 40 + [2] * 60

    assert cut(labels) == [(0, 80), (80, 160)]


def test_a_short_pause_is_not_cut():
    assert cut([1] * 60 + [PAUSE] * 15 + [2] * 60) == [(0, 135)]


def test_where_blank_is_not_certain_nothing_is_cut():
    labels = [1] * 60 + [PAUSE] * 40 + [2] * 60

    assert cut(labels, certain=0.9) == [(0, 160)]


def test_a_word_whose_last_letter_comes_late_is_not_cut():
    a, b, space = (LETTERS.encode(letter)[0] for letter in "ab ")
    late = [a] * 40 + [PAUSE] * 40 + [b] * 40
    apart = [a] * 40 + [space] + [PAUSE] * 40 + [b] * 40

    assert cut(late, LETTERS) == [(0, 120)]
    assert cut(apart, LETTERS) == [(0, 61), (61, 121)]


def test_speech_that_never_pauses_for_long_is_cut_where_it_pauses_longest():
    phrase = [1] * 200 + [PAUSE] * 2 + [2] * 200 + [PAUSE] * 2
    labels = phrase * 2 + [PAUSE] * 4 + phrase * 2

    segments = cut(labels)

    assert segments[0] == (0, 809)  # the pause of six frames: 806 to 812
    assert all((end - start) * FRAME_S <= MOST_SECONDS for start, end in segments)


def test_speech_without_any_pause_stays_whole():
    assert cut([1, 2] * 2_000) == [(0, 4_000)]


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(1, 200)), max_size=12))
def test_segments_cover_every_frame_once(runs):
    labels = [label for label, count in runs for _ in range(count)]

    segments = cut(np.array(labels, dtype=int))

    assert [frame for start, end in segments for frame in range(start, end)] == list(
        range(len(labels))
    )


def search(matrix, *, nbest=4):
    return PrefixBeamDecoder(LETTERS, beam=16, threshold=0.0, nbest=nbest)(matrix)


def joined(matrix, segments):
    found = [search(matrix[start:end]) for start, end in segments]
    return join_hypotheses(LETTERS, segments, found)


@pytest.fixture
def speech():
    """ "a b", a pause, "b": some doubt in every word, none in the pause."""
    a, b = LETTERS.encode("a")[0], LETTERS.encode("b")[0]
    space = LETTERS.encode(" ")[0]
    said = [a, space, b, *[LETTERS.blank] * 40, b, LETTERS.blank]
    probs = np.full((len(said), len(LETTERS)), 1e-9)
    probs[np.arange(len(said)), said] = 1.0
    for frame in (0, 2, 43):
        probs[frame, [a, b]] = [0.7, 0.3] if said[frame] == a else [0.2, 0.8]
    return np.log(probs / probs.sum(1, keepdims=True))


def test_segments_joined_are_what_the_whole_gives(speech):
    whole = search(speech)
    parts = joined(speech, [(0, 23), (23, len(speech))])

    # The whole has no space label where the pause was; its words are written together.
    assert [one.text for one in parts] == ["a b b", "b b b", "a b a", "a a b"]
    assert [one.log_prob for one in parts] == pytest.approx(
        [one.log_prob for one in whole], abs=1e-6
    )
    assert parts[0].confidence == pytest.approx(whole[0].confidence or 0.0, abs=1e-6)


def test_word_times_count_from_the_beginning_of_the_whole(speech):
    best = joined(speech, [(0, 23), (23, len(speech))])[0]

    assert [(word.text, word.start, word.end) for word in best.words] == [
        ("a", 0, 1),
        ("b", 2, 3),
        ("b", 43, 44),
    ]


def test_words_as_labels_need_no_space():
    matrix = log_probs_of([1, 0, 2])
    found = [PrefixBeamDecoder(WORDS, beam=4)(matrix[start:end]) for start, end in [(0, 2), (2, 3)]]

    assert join_hypotheses(WORDS, [(0, 2), (2, 3)], found)[0].text == "yes no"
