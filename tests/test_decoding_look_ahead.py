import numpy as np
import pytest

from ctcasr.decoding.look_ahead import Futures
from tests.oracles import log_probs_by_enumeration, random_log_probs


def futures_by_enumeration(log_probs, label, *, blank):
    """Return the largest probability of any labelling's future, after a label has been emitted.

    A frame that is sure to be `label` is put before the rest; what the labelling adds after it is
    its future.
    """
    certain = np.full((1, log_probs.shape[1]), -np.inf)
    certain[0, label] = 0.0
    whole = log_probs_by_enumeration(np.concatenate([certain, log_probs]), blank=blank)
    return max(whole.values())


@pytest.mark.parametrize("seed", range(60))
def test_no_future_is_worth_more_than_its_bound(seed):
    generator = np.random.default_rng(seed)
    num_frames, num_symbols = int(generator.integers(1, 7)), int(generator.integers(2, 5))
    blank = int(generator.integers(num_symbols))
    log_probs = random_log_probs(
        num_frames=num_frames,
        num_symbols=num_symbols,
        seed=seed,
        sharpness=float(generator.choice([0.3, 1, 4])),
    )
    futures = Futures(log_probs, blank=blank)

    for t in range(num_frames + 1):
        bounds = np.log(futures.after_label(t)) + futures.log_scale[t]
        for label in set(range(num_symbols)) - {blank}:
            worth = futures_by_enumeration(log_probs[t:], label, blank=blank)
            assert bounds[label] >= worth - 1e-9


def test_bounds_are_tight_where_frames_are_certain():
    log_probs = np.log(np.array([[0.9, 0.1, 1e-9], [0.1, 1e-9, 0.9], [0.9, 1e-9, 0.1]]))

    bounds = Futures(log_probs, blank=0)
    best = max(log_probs_by_enumeration(log_probs).values())

    assert np.log(bounds.after_label(0)[1]) + bounds.log_scale[0] == pytest.approx(
        futures_by_enumeration(log_probs, 1, blank=0), abs=0.05
    )
    assert np.log(bounds.after_label(0)).max() + bounds.log_scale[0] >= best


def test_labels_that_share_a_row_are_bounded_too():
    generator = np.random.default_rng(0)
    probs = generator.random((4, 6)) * 5e-4  # all but blank and label 1 are rare
    probs[:, 0] = 0.5
    probs[:, 1] = 1 - probs[:, 0] - probs[:, 2:].sum(axis=1)
    log_probs = np.log(probs)
    futures = Futures(log_probs, blank=0)

    for t in range(5):
        for label in range(1, 6):
            worth = futures_by_enumeration(log_probs[t:], label, blank=0)
            bound = np.log(futures.after_label(t)[label]) + futures.log_scale[t]
            assert bound >= worth - 1e-9


def test_a_long_input_does_not_underflow():
    log_probs = random_log_probs(num_frames=3000, num_symbols=4, seed=0)

    futures = Futures(log_probs, blank=0)

    assert np.isfinite(futures.log_scale).all()
    assert futures.log_scale[0] < -745  # exp of it is 0
