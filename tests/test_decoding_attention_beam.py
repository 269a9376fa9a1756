import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import build_alphabet
from ctcasr.decoding.align import forced_align
from ctcasr.decoding.attention_beam import AttentionBeamDecoder, Proposer
from ctcasr.decoding.attention_search import score_texts
from ctcasr.decoding.attention_times import monotone_frames
from ctcasr.decoding.hypothesis import Times
from ctcasr.decoding.ngram import NgramModel
from ctcasr.errors import LanguageModelError
from tests.label_models import RandomLabels
from tests.oracles import log_probs_by_enumeration, random_log_probs

ALPHABET = build_alphabet(["a b"])  # blank, space, a, b
NUM_FRAMES = 4
EVERYTHING = 2_000


@pytest.fixture
def item():
    return random_log_probs(num_frames=NUM_FRAMES, num_symbols=4, seed=2).astype(np.float32)


@pytest.fixture
def model():
    return RandomLabels(num_symbols=4, seeds=[7], end=0.5)


def make(proposer, **settings):
    plain = {"beam": EVERYTHING, "threshold": 0.0, "nbest": EVERYTHING, "ctc_weight": 0.4}
    plain["length_power"] = 0.0
    return AttentionBeamDecoder(
        ALPHABET, proposer=proposer, labels_per_frame=1e-9, **plain | settings
    )


@pytest.mark.parametrize("proposer", Proposer)
def test_whoever_proposes_both_have_their_say(proposer, item, model):
    (found,) = make(proposer, beam=30)(model, [NUM_FRAMES], [item])

    ctc = log_probs_by_enumeration(item.astype(np.float64))
    assert len(found) > 5
    assert [one.log_prob for one in found] == sorted((one.log_prob for one in found), reverse=True)
    for one in found:
        attention = model.text_log_prob(0, one.labels)
        assert one.attention_log_prob == pytest.approx(attention, rel=1e-9)
        assert one.ctc_log_prob == pytest.approx(ctc.get(one.labels, -np.inf), rel=1e-6)
        assert one.log_prob == pytest.approx(0.6 * attention + 0.4 * one.ctc_log_prob, rel=1e-6)


def test_with_room_for_everything_all_find_the_same_best(item):
    model = RandomLabels(num_symbols=4, seeds=[7], end=4.0)  # short texts are likely

    best = {
        proposer: make(proposer, beam=300)(model, [NUM_FRAMES], [item])[0][0].labels
        for proposer in Proposer
    }

    assert len(set(best.values())) == 1


def test_known_texts_score_what_the_search_gives_them(item, model):
    for proposer, weight in itertools.product(Proposer, (0.0, 0.4, 1.0)):
        decoder = make(proposer, ctc_weight=weight, beam=20, length_power=0.7, hotwords={"a": 2.0})
        (found,) = decoder(model, [NUM_FRAMES], [item])

        (scores,) = decoder.score(model, [[one.labels for one in found]], [item])

        assert scores == pytest.approx([one.log_prob for one in found], rel=1e-9)


def test_without_ctc_attention_is_alone(item, model):
    (found,) = make(Proposer.ATTENTION, beam=5, ctc_weight=0.0)(model, [NUM_FRAMES])

    for one in found:
        assert one.log_prob == pytest.approx(model.text_log_prob(0, one.labels), rel=1e-9)
        assert one.ctc_log_prob == 0.0


def test_posteriors_of_texts_sum_to_one_and_of_words_to_what_agrees(item, model):
    (found,) = make(Proposer.BOTH, beam=40)(model, [NUM_FRAMES], [item])

    assert sum(one.confidence or 0.0 for one in found) == pytest.approx(1.0)
    assert all(word.confidence is not None for word in found[1].words)


def test_words_are_timed_by_ctc_where_it_has_a_path(item, model):
    (found,) = make(Proposer.BOTH, beam=20)(model, [NUM_FRAMES], [item])

    one = next(one for one in found if len(one.words) == 1 and len(one.labels) == 1)
    ((start, end),) = forced_align(item, one.labels)
    assert one.times is Times.CTC
    assert (one.words[0].start, one.words[0].end) == (start, end)


def test_words_that_ctc_has_no_path_for_are_timed_by_attention(item):
    class Looking(RandomLabels):
        def look(self, labels, *, recording):
            assert recording == 1
            return np.eye(len(labels) + 1, NUM_FRAMES)

    model = Looking(num_symbols=4, seeds=[3, 3], end=-9.0)
    long = AttentionBeamDecoder(
        ALPHABET, proposer=Proposer.ATTENTION, beam=1, ctc_weight=0.0, labels_per_frame=1.0
    )

    _, (found,) = long(model, [NUM_FRAMES] * 2, [item, item])

    assert len(found.labels) == NUM_FRAMES + 10
    assert found.is_cut
    assert found.times is Times.ATTENTION
    assert found.words[0].start == 0


def test_a_language_model_of_another_alphabet_is_refused():
    foreign = NgramModel.from_ngrams(1, {("x",): (-1.0, 0.0), ("y",): (-1.0, 0.0)})

    with pytest.raises(LanguageModelError, match="can write none of its 2 words"):
        AttentionBeamDecoder(ALPHABET, lm=foreign)


@given(
    texts=st.lists(
        st.lists(st.lists(st.integers(1, 3), max_size=5).map(tuple), max_size=4), max_size=3
    )
)
def test_known_texts_have_the_log_probability_of_their_labels_one_by_one(texts):
    model = RandomLabels(num_symbols=4, seeds=list(range(len(texts))))
    if not texts:
        return

    scores = score_texts(model, texts)

    for utterance, (some, found) in enumerate(zip(texts, scores, strict=True)):
        assert found == pytest.approx([model.text_log_prob(utterance, one) for one in some])


@given(seed=st.integers(0, 10_000), num_labels=st.integers(0, 4), num_frames=st.integers(1, 5))
def test_frames_of_labels_are_the_best_that_never_fall(seed, num_labels, num_frames):
    weights = np.random.default_rng(seed).dirichlet(np.ones(num_frames), size=num_labels)
    weights = weights.reshape(num_labels, num_frames)

    frames = monotone_frames(weights)

    def worth(path):
        return math.prod(weights[label, frame] for label, frame in enumerate(path))

    assert frames == sorted(frames)
    best = max(
        worth(path)
        for path in itertools.combinations_with_replacement(range(num_frames), num_labels)
    )
    assert worth(frames) == pytest.approx(best)
