"""The two definitions of CTC agree, or neither is an oracle."""

import numpy as np
import pytest

from tests.oracles import ctc_log_prob_by_enumeration, forward_backward, random_log_probs


@pytest.mark.parametrize("labels", [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (2, 2, 2, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_the_recursion_is_the_sum_over_all_paths(labels, seed):
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=seed)

    log_prob, _ = forward_backward(log_probs, labels)

    assert log_prob == pytest.approx(ctc_log_prob_by_enumeration(log_probs, labels), rel=1e-12)


@pytest.mark.parametrize("labels", [(), (1, 2), (1, 1)])
def test_the_posterior_is_the_gradient(labels):
    log_probs = random_log_probs(num_frames=4, num_symbols=3, seed=0)
    _, posterior = forward_backward(log_probs, labels)

    for t, v in np.ndindex(log_probs.shape):
        nudge = np.zeros_like(log_probs)
        nudge[t, v] = 1e-6
        above = ctc_log_prob_by_enumeration(log_probs + nudge, labels)
        below = ctc_log_prob_by_enumeration(log_probs - nudge, labels)
        assert posterior[t, v] == pytest.approx((above - below) / 2e-6, abs=1e-7)
    assert posterior.sum(axis=1) == pytest.approx(1.0)


def test_labels_that_cannot_be_aligned_have_no_probability():
    log_probs = random_log_probs(num_frames=2, num_symbols=3, seed=0)

    log_prob, posterior = forward_backward(log_probs, (1, 1))

    assert log_prob == -np.inf
    assert not posterior.any()


def test_no_frames_hold_no_labels():
    assert forward_backward(np.zeros((0, 3)), ())[0] == 0.0
    assert forward_backward(np.zeros((0, 3)), (1,))[0] == -np.inf
