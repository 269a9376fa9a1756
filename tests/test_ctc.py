import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import frames_needed
from ctcasr.models.ctc import ctc_loss
from tests.oracles import (
    collapse,
    ctc_log_prob_by_enumeration,
    forward_backward,
    random_log_probs,
)


def loss_of(logits, labels, *, blank=0):
    """The loss of one utterance."""
    targets = torch.tensor([labels], dtype=torch.int64).reshape(1, -1)
    lengths = torch.tensor([logits.shape[0]])
    return ctc_loss(logits[None], lengths, targets, torch.tensor([len(labels)]), blank=blank)[0]


def logits_like(log_probs, *, seed=0):
    """Logits whose softmax is `log_probs`: each frame shifted by something."""
    shift = np.random.default_rng(seed).normal(size=(len(log_probs), 1))
    return torch.from_numpy(log_probs + 3 * shift)


SEQUENCES = [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (2, 2, 1)]


@pytest.mark.parametrize("labels", SEQUENCES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_is_the_sum_over_all_paths(labels, seed):
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=seed)

    loss = loss_of(logits_like(log_probs), labels)

    wanted = -ctc_log_prob_by_enumeration(log_probs, labels)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("blank", [0, 1, 3])
def test_any_column_may_be_the_blank(blank):
    log_probs = random_log_probs(num_frames=4, num_symbols=4, seed=0)
    labels = [symbol for symbol in (2, 2, 0) if symbol != blank]

    loss = loss_of(logits_like(log_probs), labels, blank=blank)

    wanted = -ctc_log_prob_by_enumeration(log_probs, labels, blank=blank)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("labels", [(), (3,), (1, 2, 3, 4), (2, 2, 2, 5, 5), (1, 2) * 9])
def test_loss_and_gradient_are_those_of_forward_backward(labels):
    log_probs = random_log_probs(num_frames=30, num_symbols=6, seed=len(labels), sharpness=2)
    logits = logits_like(log_probs).requires_grad_()

    loss = loss_of(logits, labels)
    loss.backward()

    log_prob, posterior = forward_backward(log_probs, labels)
    assert loss.item() == pytest.approx(-log_prob, rel=1e-12)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), np.exp(log_probs) - posterior, atol=1e-12)


@pytest.mark.parametrize("labels", SEQUENCES)
def test_gradient_is_the_finite_difference(labels):
    logits = logits_like(random_log_probs(num_frames=5, num_symbols=3, seed=4)).requires_grad_()

    assert torch.autograd.gradcheck(lambda x: loss_of(x, labels), logits, atol=1e-7)


def test_shortest_alignable_input_has_one_path():
    log_probs = random_log_probs(num_frames=4, num_symbols=3, seed=0)

    loss = loss_of(logits_like(log_probs), (1, 1, 2))

    assert loss.item() == pytest.approx(-log_probs[range(4), [1, 0, 1, 2]].sum(), rel=1e-12)


def test_labels_that_cannot_be_aligned_have_infinite_loss():
    logits = logits_like(random_log_probs(num_frames=3, num_symbols=3, seed=0))

    assert loss_of(logits, (1, 1, 2)).item() == math.inf
    assert loss_of(logits[:0], (1,)).item() == math.inf
    assert loss_of(logits[:0], ()).item() == 0


def test_loss_does_not_depend_on_batch_neighbours_or_padding():
    log_probs = random_log_probs(num_frames=9, num_symbols=4, seed=0)
    sequences = [(1, 2, 3), (), (2, 2), ()]
    lengths = [9, 4, 5, 0]
    logits = torch.stack([logits_like(log_probs, seed=seed) for seed in range(4)])
    labels = torch.tensor(
        [[1, 2, 3], [3, 3, 3], [2, 2, 3], [1, 1, 1]]
    )  # what pads them says nothing

    losses = ctc_loss(logits, torch.tensor(lengths), labels, torch.tensor([3, 0, 2, 0]), blank=0)

    for loss, row, length, sequence in zip(losses, logits, lengths, sequences, strict=True):
        assert loss.item() == pytest.approx(loss_of(row[:length], sequence).item(), rel=1e-12)


def test_half_precision_logits_are_computed_in_single():
    logits = torch.randn(1, 8, 5).bfloat16()
    arguments = (torch.tensor([8]), torch.tensor([[1, 2]]), torch.tensor([2]))

    loss = ctc_loss(logits, *arguments, blank=0)

    assert loss.dtype is torch.float32
    assert torch.equal(loss, ctc_loss(logits.float(), *arguments, blank=0))


@given(path=st.lists(st.integers(0, 2), max_size=8))
def test_no_path_holds_labels_that_need_more_frames(path):
    assert frames_needed(collapse(path)) <= len(path)


@pytest.mark.parametrize(
    ("labels", "frames"), [((), 0), ((1,), 1), ((1, 2), 2), ((1, 1), 3), ((1, 1, 1, 2), 6)]
)
def test_frames_needed_is_the_least_that_gives_a_finite_loss(labels, frames):
    logits = logits_like(random_log_probs(num_frames=frames, num_symbols=3, seed=0))

    assert frames_needed(labels) == frames
    assert loss_of(logits, labels).isfinite()
    if labels:
        assert loss_of(logits[:-1], labels).item() == math.inf
