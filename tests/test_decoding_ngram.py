import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding.ngram import NgramModel, NgramTable, NgramTableError
from tests.oracles import log_prob_by_dictionary

WORDS = ("<unk>", "<s>", "</s>", "a", "b", "c")


@st.composite
def ngram_sets(draw, *, max_order=4):
    """Any n-grams that hold their histories; an n-gram's last words need not be among them."""
    order = draw(st.integers(1, max_order))
    weight = st.floats(-5, 0, width=32)
    backoff = st.one_of(st.just(0.0), st.floats(-3, 0.5, width=32))
    last = st.just(0.0)  # nothing follows the longest
    ngrams = {(word,): (draw(weight), draw(backoff if order > 1 else last)) for word in WORDS}
    for size in range(2, order + 1):
        histories = [ngram for ngram in ngrams if len(ngram) == size - 1]
        chosen = draw(
            st.lists(st.tuples(st.sampled_from(histories), st.sampled_from(WORDS)), max_size=8)
            if histories
            else st.just([])
        )
        for history, word in chosen:
            ngrams[(*history, word)] = (draw(weight), draw(backoff if size < order else last))
    return order, ngrams


sentences = st.lists(st.sampled_from((*WORDS[3:], "<unk>", "unheard")), max_size=8)


@given(model=ngram_sets(), words=st.lists(st.sampled_from(WORDS), max_size=8))
def test_steps_agree_with_a_search_of_the_definition(model, words):
    order, ngrams = model
    automaton = NgramModel.from_ngrams(order, ngrams)

    state = 0
    for at, word in enumerate(words):
        state, log_prob = automaton.step(state, automaton.word_id(word))
        expected = log_prob_by_dictionary(ngrams, words[:at], word, order=order)
        assert log_prob == pytest.approx(expected, abs=1e-5)


def test_a_history_may_lose_several_words_at_once():
    """After a b c d, of which b c d is no n-gram, c d must still be remembered."""
    listed = [*"abcde", "ab", "bc", "cd", "abc", "cde", "abcd", "bce"]
    ngrams = {tuple(ngram): (-1.0 - at, -0.125 * at) for at, ngram in enumerate(listed)}
    model = NgramModel.from_ngrams(4, ngrams)

    state = 0
    for word in "abcd":
        state, _ = model.step(state, model.word_id(word))

    assert model.step(state, model.word_id("e"))[1] == ngrams[tuple("cde")][0]


@given(model=ngram_sets(), words=sentences)
def test_a_sentence_is_the_sum_of_its_words(model, words):
    order, ngrams = model

    score = NgramModel.from_ngrams(order, ngrams).log_prob(words)

    known = [word if word in WORDS else "<unk>" for word in words]
    history = ["<s>", *known]
    each = [
        log_prob_by_dictionary(ngrams, history[: at + 1], word, order=order)
        for at, word in enumerate([*known, "</s>"])
    ]
    unknown = [value for value, word in zip(each, known, strict=False) if word == "<unk>"]
    assert score.log_prob == pytest.approx(math.fsum(each), abs=1e-4)
    assert score.unknown_log_prob == pytest.approx(math.fsum(unknown), abs=1e-4)
    assert score.log_prob == pytest.approx(score.known_log_prob + score.unknown_log_prob)
    assert score.num_words == len(words)
    assert score.num_unknown == known.count("<unk>")


@given(model=ngram_sets())
def test_the_arrays_are_what_they_promise(model):
    order, ngrams = model
    automaton = NgramModel.from_ngrams(order, ngrams)
    num_states, num_arcs = len(automaton.backoff), len(automaton.arc_word)

    assert automaton.first_arc[0] == 0
    assert automaton.first_arc[-1] == num_arcs == len(ngrams)
    assert automaton.arc_word[: automaton.first_arc[1]].tolist() == list(range(len(WORDS)))
    assert automaton.backoff[0] == automaton.backoff_state[0] == 0
    for begin, stop in itertools.pairwise(automaton.first_arc.tolist()):
        assert (np.diff(automaton.arc_word[begin:stop]) > 0).all()
    assert (automaton.backoff_state[1:] < np.arange(1, num_states)).all()
    assert ((automaton.arc_state >= 0) & (automaton.arc_state < num_states)).all()
    types = {field: getattr(automaton, field).dtype.name for field in ARRAYS}
    assert types == ARRAYS


ARRAYS = {
    "first_arc": "int64",
    "arc_word": "int32",
    "arc_log_prob": "float32",
    "arc_state": "int32",
    "backoff": "float32",
    "backoff_state": "int32",
}


@given(model=ngram_sets())
def test_a_state_is_the_longest_history_that_matters(model):
    """A history matters where an n-gram continues it, or where giving it up costs something."""
    order, ngrams = model
    automaton = NgramModel.from_ngrams(order, ngrams)
    mattering = {ngram[:-1] for ngram in ngrams} | {
        ngram for ngram, (_, backoff) in ngrams.items() if backoff != 0 and len(ngram) < order
    }

    state_of: dict[tuple[str, ...], int] = {}
    for words in itertools.product(WORDS, repeat=3):
        state = 0
        for word in words:
            state, _ = automaton.step(state, automaton.word_id(word))
        suffixes = (words[at:] for at in range(4))
        longest = next(suffix for suffix in suffixes if suffix in mattering)
        if len(longest) < 3:  # otherwise words before these three may decide
            assert state_of.setdefault(longest, state) == state
    assert len(set(state_of.values())) == len(state_of)


@given(model=ngram_sets())
def test_tables_bring_back_every_ngram(model):
    order, ngrams = model
    automaton = NgramModel.from_ngrams(order, ngrams)

    found = {
        tuple(automaton.words[i] for i in row): (log_prob, backoff)
        for table in automaton.tables()
        for row, log_prob, backoff in zip(
            table.ngrams.tolist(), table.log_prob.tolist(), table.backoff.tolist(), strict=True
        )
    }

    assert found == ngrams


@given(model=ngram_sets(), seed=st.integers(0, 99))
def test_the_order_of_the_lines_does_not_matter(model, seed):
    order, ngrams = model
    automaton = NgramModel.from_ngrams(order, ngrams)
    random = np.random.default_rng(seed)
    shuffled = []
    for table in automaton.tables():
        rows = random.permutation(len(table.ngrams))
        shuffled.append(NgramTable(table.ngrams[rows], table.log_prob[rows], table.backoff[rows]))

    again = NgramModel.from_tables(automaton.words, shuffled)

    for field in dataclasses.fields(NgramModel):
        assert np.array_equal(getattr(again, field.name), getattr(automaton, field.name))


def test_a_model_without_marks_starts_empty_and_gives_unknown_words_nothing():
    model = NgramModel.from_ngrams(2, {("a",): (-1.0, -0.5), ("a", "a"): (-0.25, 0.0)})

    assert (model.start, model.begin, model.end, model.unknown) == (0, -1, -1, -1)
    assert model.step(1, -1) == (0, -math.inf)
    assert model.log_prob(["a", "a"]).log_prob == -1.25
    score = model.log_prob(["a", "b", "a"])
    assert score.log_prob == -math.inf
    assert score.known_log_prob == -2.0
    assert (score.num_words, score.num_unknown) == (3, 1)


def test_begin_and_end_are_scored_only_where_asked():
    ngrams = {
        ("<s>",): (-1.0, 0.0),
        ("</s>",): (-1.0, 0.0),
        ("a",): (-1.0, 0.0),
        ("<s>", "a"): (-0.5, 0.0),
        ("a", "</s>"): (-0.25, 0.0),
    }
    model = NgramModel.from_ngrams(2, ngrams)

    assert model.log_prob(["a"]).log_prob == -0.75
    assert model.log_prob(["a"], begin=False).log_prob == -1.25
    assert model.log_prob(["a"], end=False).log_prob == -0.5
    assert model.log_prob([]).log_prob == -1.0


def test_unknown_words_may_be_called_unk_in_capitals():
    model = NgramModel.from_ngrams(1, {("<UNK>",): (-2.0, 0.0), ("a",): (-0.5, 0.0)})
    assert model.unknown == 0
    assert model.log_prob(["b", "a"]).unknown_log_prob == -2.0


@pytest.mark.parametrize(
    ("order", "ngrams", "message"),
    [
        (1, {}, "0 words; give at least one, and a 1-gram for each"),
        (1, {("a",): (-1, 0), ("a", "a"): (-1, 0)}, "('a', 'a') has 2 words; give 1 to 1"),
        (2, {("a",): (-1, 0), ("a", "b"): (-1, 0)}, "holds 'b', which has no 1-gram; add one"),
    ],
)
def test_ngrams_that_make_no_model_are_refused(order, ngrams, message):
    with pytest.raises(ValueError, match=r"give|add") as raised:
        NgramModel.from_ngrams(order, ngrams)
    assert message in str(raised.value)


def test_a_missing_history_is_named():
    ngrams = {("a",): (-1.0, 0.0), ("b",): (-1.0, 0.0), ("a", "b", "a"): (-1.0, 0.0)}
    with pytest.raises(NgramTableError) as raised:
        NgramModel.from_ngrams(3, ngrams)
    assert str(raised.value) == "the 3-gram 'a b a' has no 2-gram 'a b' to follow"
    assert (raised.value.order, raised.value.row, raised.value.first) == (3, 0, None)


def test_an_ngram_given_twice_is_named_with_both_places():
    single = NgramTable(*_columns([[0], [1]]))
    double = NgramTable(*_columns([[1, 0], [0, 0], [0, 1], [1, 0], [0, 0]]))
    with pytest.raises(NgramTableError) as raised:
        NgramModel.from_tables(("a", "b"), [single, double])
    assert str(raised.value) == "the 2-gram 'b a' is given twice"
    assert (raised.value.row, raised.value.first) == (3, 0)


def _columns(rows):
    return np.array(rows, dtype=np.int32), *np.full((2, len(rows)), -1, dtype=np.float32)
