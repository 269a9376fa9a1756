import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import build_alphabet
from ctcasr.decoding.attention_search import BeamRules, search_with_attention
from ctcasr.decoding.context import make_context
from ctcasr.decoding.ctc_prefix_score import CtcPrefixScorer
from ctcasr.decoding.worth import make_worth
from tests.label_models import RandomLabels
from tests.oracles import log_probs_by_enumeration, random_log_probs
from tests.search_cases import random_case, random_frames

NUM_SYMBOLS = 4
EVERYTHING = 1_000


def all_texts(model, most):
    written = [label for label in range(model.num_symbols) if label != model.blank]
    return [
        labels for count in range(most + 1) for labels in itertools.product(written, repeat=count)
    ]


def exhaustive(
    model, utterance, *, most, ctc=None, weight=0.0, worth=lambda labels: 0.0, power=0.0
):
    """Every text with its score, best first: the definition, and nothing else."""
    scored = []
    for labels in all_texts(model, most):
        score = worth(labels)
        if weight < 1:
            score += (1 - weight) * model.text_log_prob(utterance, labels)
        if weight > 0:
            score += weight * ctc.get(labels, -np.inf)
        if score > -np.inf:
            scored.append((labels, score / (len(labels) + 1) ** power))
    return sorted(scored, key=lambda one: -one[1])


@given(
    seed=st.integers(0, 10_000),
    sharpness=st.floats(0.3, 4.0),
    most=st.integers(0, 4),
    power=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_beam_with_room_for_everything_finds_the_best_texts_in_order(
    seed, sharpness, most, power
):
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[seed], sharpness=sharpness)
    rules = BeamRules(blank=0, beam=EVERYTHING, length_power=power)

    (found,) = search_with_attention(model, rules, longest=[most])

    expected = exhaustive(model, 0, most=most, power=power)
    assert [one.labels for one in found] == [labels for labels, _ in expected]
    np.testing.assert_allclose(
        [one.log_prob for one in found], [score for _, score in expected], rtol=1e-9
    )


@given(
    seed=st.integers(0, 10_000),
    end=st.floats(-3.0, 3.0),
    most=st.integers(0, 12),
    power=st.floats(0.0, 1.5),
)
def test_it_does_not_end_before_the_best_text_has(seed, end, most, power):
    model = RandomLabels(num_symbols=2, seeds=[seed], end=end)  # so that two places are enough
    rules = BeamRules(blank=0, beam=2, length_power=power)

    (found,) = search_with_attention(model, rules, longest=[most])

    best, score = exhaustive(model, 0, most=most, power=power)[0]
    assert found[0].log_prob == pytest.approx(score, rel=1e-9)
    assert found[0].labels == best


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_joint_search_finds_what_enumeration_of_both_says(weight, seed):
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[seed, seed + 50])
    items = [
        random_log_probs(num_frames=length, num_symbols=NUM_SYMBOLS, seed=seed + length)
        for length in (4, 3)
    ]
    rules = BeamRules(blank=0, beam=EVERYTHING, ctc_weight=weight)

    both = search_with_attention(model, rules, longest=[4, 3], ctc=CtcPrefixScorer(items, blank=0))

    for utterance, (found, item, most) in enumerate(zip(both, items, (4, 3), strict=True)):
        ctc = log_probs_by_enumeration(item)
        expected = exhaustive(model, utterance, most=most, ctc=ctc, weight=weight)
        assert [one.labels for one in found[: len(expected)]] == [one for one, _ in expected]
        for one, (labels, score) in zip(found, expected, strict=False):
            assert one.log_prob == pytest.approx(score, rel=1e-9)
            attention = model.text_log_prob(utterance, labels)
            assert one.attention_log_prob == pytest.approx(attention, rel=1e-9)
            assert one.ctc_log_prob == pytest.approx(ctc.get(labels, -np.inf), rel=1e-9)


@given(seed=st.integers(0, 100_000), beam=st.sampled_from([2, EVERYTHING]))
def test_language_models_lexicons_and_hotwords_add_what_they_are_worth(seed, beam):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    alphabet, context = case.alphabet, make_worth(case.alphabet, **case.settings).context
    symbols = len(alphabet)
    model = RandomLabels(num_symbols=symbols, seeds=[seed], blank=alphabet.blank)
    item = random_frames(rng, num_frames=4, num_symbols=symbols)
    rules = BeamRules(blank=alphabet.blank, beam=beam, ctc_weight=0.4)

    (found,) = search_with_attention(
        model,
        rules,
        longest=[4],
        ctc=CtcPrefixScorer([item], blank=alphabet.blank),
        context=context,
    )

    ctc = log_probs_by_enumeration(item, blank=alphabet.blank)
    expected = exhaustive(model, 0, most=4, ctc=ctc, weight=0.4, worth=case.worth)
    scores = dict(expected)
    for one in found:
        if one.labels in scores:  # or nothing may end, and what stands there was returned
            assert one.log_prob == pytest.approx(scores[one.labels], rel=1e-9, abs=1e-9)
    if beam == EVERYTHING:
        best = [one.log_prob for one in found if one.labels in scores]
        np.testing.assert_allclose(best, [score for _, score in expected], rtol=1e-9, atol=1e-9)


def beam_by_hand(model, *, beam, most, context):
    """The beam without short cuts: every way to go on is weighed, and the best few are kept."""
    active: list[Any] = [((), 0.0, context.start())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    while active:
        ways: list[Any] = []
        for labels, score, state in active:
            log_probs = model.log_probs(0, labels)
            ways.append((score + log_probs[-1] + context.finish(state), labels, None))
            for label in range(model.num_symbols) if len(labels) < most else ():
                if label != model.blank:
                    after, worth = context.extend(state, label)
                    ways.append((score + log_probs[label] + worth, (*labels, label), after))
        best = sorted((way for way in ways if way[0] > -np.inf), key=lambda way: -way[0])[:beam]
        ended += [(score, labels) for score, labels, after in best if after is None]
        active = [(labels, score, after) for score, labels, after in best if after is not None]
    return sorted(ended, key=lambda one: -one[0])[:beam]


@given(seed=st.integers(0, 100_000), beam=st.integers(1, 5))
def test_a_context_that_is_asked_for_the_likely_ways_alone_keeps_the_same_beam(seed, beam):
    case = random_case(np.random.default_rng(seed))
    context = make_worth(case.alphabet, **case.settings).context
    if context is None:
        return
    blank = case.alphabet.blank
    model = RandomLabels(num_symbols=len(case.alphabet), seeds=[seed], blank=blank)

    (found,) = search_with_attention(
        model, BeamRules(blank=blank, beam=beam), longest=[5], context=context
    )

    expected = beam_by_hand(model, beam=beam, most=5, context=context)
    if expected:  # or nothing may end, and what stands there was returned
        scores = [one.log_prob for one in found]
        np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=1e-9, atol=1e-9)


class Scripted:
    """One label and the end, with given log-probabilities of going on."""

    num_symbols = 2

    def __init__(self, going_on):
        self._going_on = np.array(going_on)

    def begin(self):
        return self._answer(0)

    def step(self, state, rows, labels):
        return self._answer(state + 1)

    def look(self, labels, *, recording):
        raise NotImplementedError

    def _answer(self, place):
        on = self._going_on[min(place, len(self._going_on) - 1)]
        return place, np.array([[-np.inf, on, np.log1p(-np.exp(on))]])


def test_a_long_text_whose_mean_is_best_is_waited_for():
    """Each label is as probable as the end at first, then one is rare, and the rest are certain."""
    script = [np.log(0.5), np.log(0.5), np.log(0.03), *[-1e-6] * 9, -30.0]

    (found,) = search_with_attention(
        Scripted(script), BeamRules(blank=0, beam=2, length_power=1.0), longest=[40]
    )

    assert len(found[0].labels) == 12


def test_blank_is_never_written_even_where_a_model_gives_it_a_probability():
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[0, 1, 2], blank=0)

    found = search_with_attention(model, BeamRules(blank=2, beam=50), longest=[3] * 3)

    assert all(2 not in one.labels for some in found for one in some)


@given(seed=st.integers(0, 10_000), beam=st.integers(1, 6), most=st.integers(1, 12))
def test_utterances_side_by_side_are_searched_as_each_alone(seed, beam, most):
    seeds = [seed, seed + 1, seed + 2]
    rules = BeamRules(blank=0, beam=beam, threshold=1e-4)

    together = search_with_attention(
        RandomLabels(num_symbols=NUM_SYMBOLS, seeds=seeds), rules, longest=[most, 2, most]
    )

    for one, found, limit in zip(seeds, together, [most, 2, most], strict=True):
        alone = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[one])
        assert search_with_attention(alone, rules, longest=[limit]) == [found]


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_model_that_never_ends_is_stopped_and_the_text_is_marked(beam, power):
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[1], end=-500.0)
    rules = BeamRules(blank=0, beam=beam, threshold=1e-6, length_power=power)

    (found,) = search_with_attention(model, rules, longest=[20])

    assert model.calls == 21
    assert found[0].is_cut
    assert len(found[0].labels) == 20


def test_a_text_that_ends_by_itself_is_not_marked():
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[1], end=3.0)

    (found,) = search_with_attention(model, BeamRules(blank=0, beam=4), longest=[20])

    assert not found[0].is_cut


def test_the_search_ends_once_nothing_can_rank_above_what_has_ended():
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[1], end=5.0)

    search_with_attention(model, BeamRules(blank=0, beam=2), longest=[1_000])

    assert model.calls < 10


def test_a_beam_of_one_takes_the_most_probable_symbol_each_time():
    model = RandomLabels(num_symbols=NUM_SYMBOLS, seeds=[5], sharpness=3.0)

    (found,) = search_with_attention(model, BeamRules(blank=0, beam=1), longest=[30])

    labels: list[int] = []
    while len(labels) < 30 and (best := int(model.log_probs(0, labels).argmax())) != NUM_SYMBOLS:
        labels.append(best)
    assert found[0].labels == tuple(labels)


def test_where_the_lexicon_lets_nothing_end_what_stands_there_is_returned():
    alphabet = build_alphabet(["ab"])
    context = make_context(alphabet, lexicon=["abababab"], is_open=False)
    model = RandomLabels(num_symbols=len(alphabet), seeds=[0], end=-50.0)

    (found,) = search_with_attention(
        model, BeamRules(blank=0, beam=1), longest=[3], context=context
    )

    assert alphabet.decode(found[0].labels) == "aba"
    assert found[0].is_cut
