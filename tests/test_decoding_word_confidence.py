import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.confidence import posteriors, word_confidences
from ctcasr.decoding.search import Found
from ctcasr.scoring import count_errors

ALPHABET = Alphabet(("<blank>", " ", "a", "b"))
TEXTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=5).map(" ".join)


def found(*texts_and_shares):
    return [
        Found(ALPHABET.encode(text), math.log(share), math.log(share))
        for text, share in texts_and_shares
    ]


def test_a_word_has_the_shares_of_all_texts_that_have_it_there():
    several = found(("a b", 0.5), ("b b", 0.3), ("a", 0.2))
    shares = posteriors(several)

    assert shares == pytest.approx([0.5, 0.3, 0.2])
    assert word_confidences(ALPHABET, several[0].labels, several, shares) == pytest.approx(
        [0.7, 0.8]
    )


@given(TEXTS.filter(bool), TEXTS)
def test_words_agree_by_an_alignment_with_the_fewest_edits(text, other):
    several = found((text, 0.5), (other, 0.5)) if text != other else found((text, 1.0))
    ours, theirs = text.split(), other.split()

    confidences = word_confidences(ALPHABET, several[0].labels, several, posteriors(several))

    agreed = [word for word, one in zip(ours, confidences, strict=True) if one == pytest.approx(1)]
    rest = iter(theirs)
    assert all(word in rest for word in agreed)  # in the same order
    edits = count_errors(ours, theirs).errors
    assert len(agreed) >= max(len(ours), len(theirs)) - edits
