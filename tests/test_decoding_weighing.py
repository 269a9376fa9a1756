"""What survives a search is weighed over all its paths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.decoding import PrefixBeamDecoder, prefix_search
from ctcasr.decoding.weighing import weigh
from tests.oracles import log_prob_by_torch, log_probs_by_enumeration, random_log_probs
from tests.search_cases import random_frames

both = pytest.mark.parametrize("use_core", [None, False])


def tree_of(labellings):
    """Return the parents and labels of all prefixes, and where each labelling is."""
    places, parents, labels = {(): 0}, [-1], [-1]
    for labelling in labellings:
        for stop in range(1, len(labelling) + 1):
            if labelling[:stop] not in places:
                places[labelling[:stop]] = len(parents)
                parents.append(places[labelling[: stop - 1]])
                labels.append(labelling[stop - 1])
    return np.array(parents), np.array(labels), places


@given(seed=st.integers(0, 10_000), blank=st.integers(0, 2), sharpness=st.floats(0.1, 6))
def test_every_prefix_of_a_tree_has_the_mass_of_all_its_paths(seed, blank, sharpness):
    log_probs = random_log_probs(num_frames=6, num_symbols=3, seed=seed, sharpness=sharpness)
    truth = log_probs_by_enumeration(log_probs, blank=blank)
    some = np.random.default_rng(seed).permutation(len(truth))[:6]
    parents, labels, places = tree_of([sorted(truth)[k] for k in some])

    weighed = weigh(log_probs, parents, labels, blank=blank)

    best = max(truth.values())
    for labelling, place in places.items():
        if truth.get(labelling, -np.inf) > best - 12:  # what is less is negligible, and may be lost
            assert weighed[place] == pytest.approx(truth[labelling], abs=1e-5)


@both
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_what_a_narrow_beam_lost_is_given_back(use_core, seed):
    rng = np.random.default_rng(seed)
    log_probs = random_frames(rng, num_frames=7, num_symbols=3)
    truth = log_probs_by_enumeration(log_probs)

    found = PrefixBeamDecoder("_ab", beam=3, threshold=0, use_core=use_core)(log_probs)

    for one in found:
        assert one.ctc_log_prob <= truth[one.labels] + 1e-9
        if truth[one.labels] > max(truth.values()) - 12:
            assert one.ctc_log_prob == pytest.approx(truth[one.labels], abs=1e-5)


def noisy_spikes(*, num_frames, num_symbols, seed):
    """Spikes with strong rivals, among frames in which blank is not quite sure; blank is 0."""
    generator = np.random.default_rng(seed)
    probs = generator.dirichlet(np.full(num_symbols, 0.2), size=num_frames) * 0.05
    probs[:, 0] += 0.95
    for t in range(2, num_frames, 4):
        probs[t] = generator.dirichlet(np.full(num_symbols, 0.2)) * generator.uniform(0.05, 0.6)
        probs[t, generator.integers(1, num_symbols)] += 1 - probs[t].sum()
    return np.log(np.maximum(probs, 1e-12))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("beam", [8, 32])
def test_survivors_of_long_input_have_the_log_probability_that_torch_gives_them(beam, seed):
    log_probs = noisy_spikes(num_frames=300, num_symbols=9, seed=seed)

    found = PrefixBeamDecoder("_abcdefgh", beam=beam)(log_probs)

    for one in found:
        assert one.ctc_log_prob == pytest.approx(log_prob_by_torch(log_probs, one.labels), abs=1e-6)
    scores = [one.log_prob for one in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beam", [8, 32])
def test_both_weigh_the_survivors_of_long_input_alike(beam, seed):
    log_probs = noisy_spikes(num_frames=300, num_symbols=9, seed=seed)

    ours = PrefixBeamDecoder("_abcdefgh", beam=beam)(log_probs)
    theirs = PrefixBeamDecoder("_abcdefgh", beam=beam, use_core=False)(log_probs)

    assert [one.labels for one in ours] == [one.labels for one in theirs]
    assert [one.ctc_log_prob for one in ours] == pytest.approx(
        [one.ctc_log_prob for one in theirs], abs=1e-11
    )


def test_on_peaky_output_the_first_is_the_best_there_is():
    gaps = []
    for seed in range(12):
        log_probs = noisy_spikes(num_frames=160, num_symbols=9, seed=seed)
        proven = prefix_search(log_probs, "_abcdefgh", max_work=10**6)
        assert proven.is_proven
        first = PrefixBeamDecoder("_abcdefgh", beam=64)(log_probs)[0]
        gaps.append(proven.hypothesis.log_prob - first.log_prob)

    assert np.mean(gaps) < 1e-3
    assert min(gaps) > -1e-9


@both
def test_a_tree_that_dies_out_leaves_what_the_beam_had(use_core):
    # Nothing said has all the mass until the last frame, where it has none.
    log_probs = np.array([[0.0, -100.0], [0.0, -100.0], [-np.inf, 0.0]])

    found = PrefixBeamDecoder("_a", beam=2, threshold=0, use_core=use_core)(log_probs)

    assert found[0].labels == (1,)
    assert found[0].log_prob == pytest.approx(0.0, abs=1e-9)


@both
def test_what_is_left_may_be_as_improbable_as_floats_can_be(use_core):
    # At the end "a" is certain, but the lexicon forbids it.
    log_probs = np.array([[-900.0, -900.0, 0.0], [-735.0, 0.0, -735.0]])
    decoder = PrefixBeamDecoder("_ab", lexicon=["b"], beam=4, use_core=use_core)

    best = decoder(log_probs)[0]

    assert best.labels == (2,)
    assert best.ctc_log_prob == pytest.approx(-735.0 + np.log(2), rel=1e-6)


@both
def test_the_end_is_weighed_alike_however_many_are_asked_for(use_core):
    log_probs = noisy_spikes(num_frames=60, num_symbols=5, seed=3)
    all_of_them = PrefixBeamDecoder("_abcd", beam=12, use_core=use_core)(log_probs)

    for nbest in (1, 5):
        few = PrefixBeamDecoder("_abcd", beam=12, nbest=nbest, confidence=False, use_core=use_core)(
            log_probs
        )
        assert [(one.labels, one.log_prob) for one in few] == [
            (one.labels, one.log_prob) for one in all_of_them[:nbest]
        ]
