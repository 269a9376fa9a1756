import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding.ctc_prefix_score import CtcPrefixScorer
from tests.oracles import log_probs_by_enumeration, random_log_probs

NUM_SYMBOLS = 4


def after(scorer, prefix, *, utterance=0):
    """The masses of one prefix, label by label."""
    masses, row = scorer.begin(), utterance
    for label in prefix:
        masses = scorer.advance(masses, np.array([row]), np.array([label]))
        row = 0
    if not prefix:
        return masses, utterance
    return masses, 0


def prefix_score_by_enumeration(log_probs, prefix, *, blank):
    """ln of the sum of p(text) over the texts that begin with the prefix."""
    fitting = [
        score
        for labels, score in log_probs_by_enumeration(log_probs, blank=blank).items()
        if labels[: len(prefix)] == prefix
    ]
    return np.logaddexp.reduce(fitting) if fitting else -np.inf


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("num_frames", [0, 1, 4, 5])
@pytest.mark.parametrize("seed", range(2))
def test_scores_are_those_of_all_texts_that_begin_so(blank, num_frames, seed):
    log_probs = random_log_probs(
        num_frames=num_frames, num_symbols=NUM_SYMBOLS, seed=seed, sharpness=2.0
    )
    scorer = CtcPrefixScorer([log_probs], blank=blank)
    written = [label for label in range(NUM_SYMBOLS) if label != blank]
    texts = log_probs_by_enumeration(log_probs, blank=blank)

    for count in range(4):
        for prefix in itertools.product(written, repeat=count):
            masses, row = after(scorer, prefix)
            scores = scorer.scores(masses)[row]

            expected = [
                prefix_score_by_enumeration(log_probs, (*prefix, label), blank=blank)
                for label in written
            ]
            np.testing.assert_allclose(scores[written], expected, rtol=1e-10)
            np.testing.assert_allclose(
                scores[-1], texts.get(prefix, -np.inf), rtol=1e-10, atol=1e-12
            )
            assert np.isneginf(scores[blank])


@given(
    num_frames=st.integers(1, 30),
    prefix=st.lists(st.integers(1, NUM_SYMBOLS - 1), max_size=6),
    seed=st.integers(0, 10_000),
    sharpness=st.floats(0.1, 20.0),
)
def test_what_may_follow_a_prefix_and_its_end_sum_to_it(num_frames, prefix, seed, sharpness):
    log_probs = random_log_probs(
        num_frames=num_frames, num_symbols=NUM_SYMBOLS, seed=seed, sharpness=sharpness
    )
    scorer = CtcPrefixScorer([log_probs], blank=0)

    whole = 0.0
    for count in range(len(prefix) + 1):
        masses, row = after(scorer, prefix[:count])
        scores = scorer.scores(masses)[row]
        np.testing.assert_allclose(np.logaddexp.reduce(scores), whole, rtol=1e-9, atol=1e-9)
        if count < len(prefix):
            whole = scores[prefix[count]]


def test_utterances_side_by_side_change_nothing_for_each_other():
    items = [
        random_log_probs(num_frames=length, num_symbols=NUM_SYMBOLS, seed=length)
        for length in (6, 0, 1, 9)
    ]
    together = CtcPrefixScorer(items, blank=0)
    rows, labels = np.array([3, 0, 0, 2, 1]), np.array([1, 2, 3, 1, 1])

    masses = together.advance(together.begin(), rows, labels)
    masses = together.advance(masses, np.array([4, 2, 1, 0, 3]), np.array([2, 3, 2, 1, 1]))
    scores = together.scores(masses)

    prefixes = [(1, (1, 2)), (0, (3, 3)), (0, (2, 2)), (3, (1, 1)), (2, (1, 1))]
    for row, (utterance, prefix) in zip(scores, prefixes, strict=True):
        alone = CtcPrefixScorer([items[utterance]], blank=0)
        np.testing.assert_allclose(row, alone.scores(after(alone, prefix)[0])[0], rtol=1e-12)


def test_a_probability_of_zero_forbids_and_is_no_nan():
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]))
    scorer = CtcPrefixScorer([log_probs], blank=0)

    first = scorer.scores(scorer.begin())[0]
    then = scorer.scores(after(scorer, (1,))[0])[0]

    np.testing.assert_allclose(np.exp(first), [0, 1, 0, 0], atol=1e-200)
    np.testing.assert_allclose(np.exp(then), [0, 0, 0.5, 0.5], atol=1e-200)


def test_long_utterances_lose_no_precision():
    log_probs = random_log_probs(num_frames=3_000, num_symbols=NUM_SYMBOLS, seed=0, sharpness=8.0)
    scorer = CtcPrefixScorer([log_probs], blank=0)
    prefix = [1, 2, 3] * 20

    masses = scorer.begin()
    for label in prefix:
        before = scorer.scores(masses)[0]
        masses = scorer.advance(masses, np.array([0]), np.array([label]))
    scores = scorer.scores(masses)[0]

    assert np.logaddexp.reduce(scores) == pytest.approx(before[prefix[-1]], rel=1e-11)


@pytest.mark.parametrize("seed", range(2))
def test_known_texts_of_several_utterances_have_the_mass_of_all_their_paths(seed):
    items = [
        random_log_probs(num_frames=count, num_symbols=NUM_SYMBOLS, seed=seed + 7 * count)
        for count in (4, 1, 5)
    ]
    texts = [[(1, 1), (), (2, 3, 1, 1)], [], [(3,), (1, 2, 3, 1, 2, 3), (2, 2, 2)]]

    found = CtcPrefixScorer(items, blank=0).text_scores(texts)

    for some, mine, item in zip(texts, found, items, strict=True):
        by_text = log_probs_by_enumeration(item, blank=0)
        expected = [by_text.get(labels, -np.inf) for labels in some]
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-12)
