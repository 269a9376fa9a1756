import numpy as np
import pytest

from ctcasr.decoding import NgramModel, PrefixBeamDecoder, backend
from tests.oracles import log_probs_by_enumeration, random_log_probs
from tests.search_cases import random_frames

both = pytest.mark.parametrize("use_core", [None, False])


def labels_of(log_probs):
    return [f"{k}," for k in range(log_probs.shape[1])]


def certified(log_probs, **settings):
    return PrefixBeamDecoder(labels_of(log_probs), certify=True, **settings)(log_probs)[0]


@both
def test_no_rival_is_above_its_bound(use_core):
    num_proven, num_cases = 0, 400
    for seed in range(num_cases):
        rng = np.random.default_rng(seed)
        num_symbols = int(rng.integers(1, 5))
        num_frames = int(rng.integers(0, 7 if num_symbols < 4 else 6))
        log_probs = random_frames(rng, num_frames=num_frames, num_symbols=num_symbols)
        blank = int(rng.integers(num_symbols))
        truth = log_probs_by_enumeration(log_probs, blank=blank)
        best = certified(
            log_probs,
            blank=blank,
            beam=int(rng.integers(1, 6)),
            threshold=float(rng.choice([0, 1e-6, 0.01, 0.1, 0.5])),
            label_threshold=float(rng.choice([0, 0, 0.05, 0.3])),
            use_core=use_core,
        )
        rivals = [log_prob for labels, log_prob in truth.items() if labels != best.labels]
        second = max(rivals, default=-np.inf)

        assert best.others_at_most >= second - 1e-9, seed
        if best.is_proven:
            num_proven += 1
            assert truth[best.labels] >= second - 1e-9, seed
    assert num_proven > num_cases * 0.95


@both
def test_a_bound_is_tight_where_nothing_was_dropped(use_core):
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=0)
    first, second = sorted(log_probs_by_enumeration(log_probs).values())[:-3:-1]

    best = certified(log_probs, beam=999, threshold=0, use_core=use_core)

    assert best.is_proven
    assert best.log_prob == pytest.approx(first, abs=1e-9)
    assert best.others_at_most == pytest.approx(second, abs=1e-9)


@both
def test_what_the_search_missed_is_found(use_core):
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])  # "" begins better, "a" ends better

    best = certified(log_probs, beam=1, use_core=use_core)

    assert best.labels == (1,)
    assert best.log_prob == pytest.approx(np.log(0.64))
    assert best.is_proven


@both
def test_what_is_not_proven_is_not_claimed(use_core):
    log_probs = random_log_probs(num_frames=60, num_symbols=8, seed=0, sharpness=0.5)
    wide = PrefixBeamDecoder(labels_of(log_probs), beam=500, confidence=False)(log_probs)

    best = certified(log_probs, beam=2, use_core=use_core)

    others = [one.log_prob for one in wide if one.labels != best.labels]
    assert not best.is_proven
    assert best.others_at_most >= max(others) > best.log_prob


@both
def test_rare_labels_share_a_row_and_are_bounded_all_the_same(use_core):
    rng = np.random.default_rng(0)
    for _ in range(8):
        probs = np.full((3, 8), 2e-4)
        probs[:, :2] = rng.dirichlet([1, 1], size=3) * (1 - 6 * 2e-4)
        truth = log_probs_by_enumeration(np.log(probs))
        best = certified(np.log(probs), beam=2, use_core=use_core)
        rivals = [log_prob for labels, log_prob in truth.items() if labels != best.labels]

        assert best.others_at_most >= max(rivals) - 1e-9


@both
def test_more_labels_than_rows_are_bounded_all_the_same(use_core):
    """One frame, where the bound can be checked by eye; then several, where both must agree."""
    log_probs = random_log_probs(num_frames=1, num_symbols=400, seed=1, sharpness=0.1)
    second = np.sort(log_probs[0])[-2]

    assert certified(log_probs, beam=1, use_core=use_core).others_at_most >= second - 1e-9

    log_probs = random_log_probs(num_frames=4, num_symbols=400, seed=1, sharpness=0.1)
    wide = PrefixBeamDecoder(labels_of(log_probs), beam=3000, threshold=0)(log_probs)
    best = certified(log_probs, beam=5, use_core=use_core)
    assert best.others_at_most >= max(h.log_prob for h in wide if h.labels != best.labels) - 1e-9


@both
def test_masses_that_underflow_are_in_the_bound(use_core):
    """Zero to a float beside the best, and the truth after what follows."""
    log_probs = np.array([[-1500.0, 0.0, -800.0], [0.0, -1500.0, -1500.0]])

    best = certified(log_probs, threshold=0, use_core=use_core)

    assert best.labels == (1,)
    assert best.others_at_most >= -800.0
    assert best.is_proven


@pytest.mark.parametrize("sharpness", [0.3, 30.0])
def test_long_input_neither_underflows_nor_claims_what_it_cannot_know(sharpness):
    log_probs = random_log_probs(num_frames=3000, num_symbols=5, seed=0, sharpness=sharpness)
    wide = PrefixBeamDecoder("_abcd", beam=300, threshold=0, confidence=False)(log_probs)

    best = PrefixBeamDecoder("_abcd", beam=16, certify=True)(log_probs)[0]

    others = [one.log_prob for one in wide if one.labels != best.labels]
    assert best.others_at_most is not None
    assert best.others_at_most < 0
    assert best.others_at_most >= max(others) - 1e-9


def test_peaky_input_is_proven():
    rng = np.random.default_rng(0)
    num_proven = 0
    for _ in range(20):
        probs = rng.dirichlet(np.full(10, 0.005), size=100) + 1e-7
        log_probs = np.log(probs / probs.sum(axis=1, keepdims=True))
        num_proven += certified(log_probs, beam=64).is_proven
    assert num_proven >= 15


@pytest.mark.skipif(backend() != "C++", reason="installed without the C++ search")
def test_both_backends_give_the_same_bound_on_longer_input():
    for seed, num_symbols in enumerate([2, 5, 12, 300]):
        log_probs = random_log_probs(num_frames=40, num_symbols=num_symbols, seed=seed, sharpness=3)
        ours, theirs = (certified(log_probs, beam=7, use_core=c) for c in (None, False))

        assert ours.others_at_most == pytest.approx(theirs.others_at_most, abs=1e-9)


@both
def test_nothing_rivals_a_text_without_frames(use_core):
    best = certified(np.zeros((0, 3)), use_core=use_core)

    assert best.others_at_most == -np.inf
    assert best.is_proven


def test_only_the_best_is_certified_and_only_on_request():
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=0)

    first, second, *_ = PrefixBeamDecoder("_ab", certify=True)(log_probs)

    assert first.others_at_most is not None
    assert second.others_at_most is None
    assert not second.is_proven
    assert PrefixBeamDecoder("_ab")(log_probs)[0].others_at_most is None


MODEL = NgramModel.from_ngrams(1, {("a",): (-1.0, 0.0)})


@pytest.mark.parametrize("context", [{"lm": MODEL}, {"lexicon": ["a"]}, {"hotwords": {"a": 1.0}}])
def test_a_search_with_a_context_is_not_certified(context):
    with pytest.raises(ValueError, match="a certificate bounds the CTC probability alone; leave"):
        PrefixBeamDecoder("_ab", certify=True, **context)


def test_a_stream_is_not_certified():
    with pytest.raises(ValueError, match="a certificate needs all frames beforehand"):
        PrefixBeamDecoder("_ab", certify=True).stream()
