import numpy as np
import pytest

from ctcasr.alphabet import Alphabet
from ctcasr.decoding import PrefixBeamDecoder
from ctcasr.decoding.confidence import posteriors, word_confidences
from ctcasr.decoding.search import Found
from tests.oracles import log_probs_by_enumeration, random_log_probs

SPELLER = Alphabet(("_", "a", "b", "c", " "))


def found(*scored):
    return [Found(SPELLER.encode(text), float(np.log(share)), 0.0) for text, share in scored]


def confidences(*scored):
    hypotheses = found(*scored)
    return word_confidences(SPELLER, hypotheses[0].labels, hypotheses, posteriors(hypotheses))


def test_shares_are_those_of_the_mass():
    assert posteriors(found(("a", 0.3), ("b", 0.1))) == pytest.approx([0.75, 0.25])
    assert posteriors(found(("a", 0.3))) == [1.0]
    assert posteriors([]) == []


def test_shares_of_masses_too_small_for_a_float_sum_to_one():
    shares = posteriors([Found((), -3000.0, 0.0), Found((1,), -3001.0, 0.0)])

    assert shares == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


def test_a_word_is_as_sure_as_all_texts_that_have_it():
    assert confidences(("a b", 0.6), ("a c", 0.3), ("b", 0.1)) == pytest.approx([0.9, 0.7])
    assert confidences(("a b", 0.6), ("", 0.4)) == pytest.approx([0.6, 0.6])
    assert confidences(("a b", 0.5), ("c a b", 0.5)) == pytest.approx([1.0, 1.0])
    assert (
        confidences(("a a", 0.5), ("a", 0.5))[0] + confidences(("a a", 0.5), ("a", 0.5))[1] == 1.5
    )


def test_a_text_without_words_has_no_confidences():
    assert confidences(("", 0.6), ("a", 0.4)) == []
    assert confidences(("  ", 0.6), ("a", 0.4)) == []


def test_spaces_make_no_difference_to_a_word():
    assert confidences(("a b", 0.5), (" a  b ", 0.5)) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("seed", range(5))
def test_confidences_of_a_search_are_shares(seed):
    log_probs = random_log_probs(num_frames=12, num_symbols=5, seed=seed, sharpness=3)

    hypotheses = PrefixBeamDecoder(SPELLER)(log_probs)

    shares = [one.confidence or 0.0 for one in hypotheses]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)
    for one, share in zip(hypotheses, shares, strict=True):
        assert len(one.words) == len(one.text.split())
        for word in one.words:
            assert share - 1e-12 <= (word.confidence or 0.0) <= 1.0


def test_a_wide_search_has_the_posterior_itself():
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=0)
    truth = log_probs_by_enumeration(log_probs)

    for one in PrefixBeamDecoder("_ab", beam=999, threshold=0)(log_probs):
        assert one.confidence == pytest.approx(np.exp(truth[one.labels]))


def test_fewer_hypotheses_do_not_make_the_best_surer():
    log_probs = random_log_probs(num_frames=9, num_symbols=5, seed=0)

    many = PrefixBeamDecoder(SPELLER)(log_probs)
    (one,) = PrefixBeamDecoder(SPELLER, nbest=1)(log_probs)

    assert one == many[0]
    assert one.words == many[0].words


def test_a_search_that_is_not_asked_computes_none():
    log_probs = random_log_probs(num_frames=9, num_symbols=5, seed=0, sharpness=4)

    best = PrefixBeamDecoder(SPELLER, confidence=False)(log_probs)[0]

    assert best.confidence is None
    assert [word.confidence for word in best.words] == [None] * len(best.words) != []
