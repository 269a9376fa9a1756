import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models.classes import class_loss
from ctcasr.models.utterance import Pooling, UtteranceHead, pool

BY_HAND = {
    Pooling.MEAN: lambda rows: rows.mean(axis=0),
    Pooling.MAX: lambda rows: rows.max(axis=0),
    Pooling.ENDS: lambda rows: np.concatenate([rows[-1], rows[0]]),
}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("pooling", Pooling)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_pooling_is_that_of_the_valid_frames(pooling, lengths, seed):
    hidden = draw(len(lengths), 9, 4, seed=seed)

    pooled = pool(hidden, torch.tensor(lengths), pooling)

    for row, frames, length in zip(pooled, hidden, lengths, strict=True):
        expected = BY_HAND[pooling](frames[:length].numpy())
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("pooling", Pooling)
def test_what_padding_holds_changes_nothing_not_even_the_gradient(pooling):
    hidden, lengths = draw(3, 6, 4), torch.tensor([6, 2, 4])
    spoilt = hidden.clone()
    spoilt[1, 2:] = math.inf
    spoilt[2, 4:] = math.nan
    results = []
    for given_frames in (hidden, spoilt):
        frames = given_frames.requires_grad_()
        pooled = pool(frames, lengths, pooling)
        results.append((pooled, *torch.autograd.grad((pooled**2).sum(), frames)))

    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("num_frames", [0, 3])
def test_an_utterance_without_frames_is_zeros(pooling, num_frames):
    pooled = pool(draw(2, num_frames, 4), torch.zeros(2, dtype=torch.int64), pooling)

    assert torch.equal(pooled, torch.zeros(2, 8 if pooling is Pooling.ENDS else 4).double())


@pytest.mark.parametrize("pooling", Pooling)
def test_a_head_maps_what_is_pooled(pooling):
    head = UtteranceHead(4, 3, pooling).double()
    hidden, lengths = draw(2, 5, 4), torch.tensor([5, 2])

    logits = head(hidden, lengths)

    assert torch.equal(logits, head.output(pool(hidden, lengths, pooling)))
    assert logits.shape == (2, 3)


def cross_entropy_by_hand(logits, classes, smoothing):
    """Sums over classes written out, one number at a time."""
    losses = []
    for row, right in zip(logits.tolist(), classes.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        loss = 0.0
        for index, value in enumerate(row):
            share = smoothing / len(row) + (1 - smoothing) * (index == right)
            loss -= share * (value - math.log(total))
        losses.append(loss)
    return losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_the_loss_is_the_cross_entropy_written_out(smoothing):
    logits, classes = draw(5, 7, seed=3), torch.tensor([0, 6, 2, 2, 5])

    losses = class_loss(logits, classes, label_smoothing=smoothing)

    expected = cross_entropy_by_hand(logits, classes, smoothing)
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-12)


def test_the_gradient_of_the_loss_is_softmax_minus_the_right_class():
    logits, classes = draw(4, 3, seed=1).requires_grad_(), torch.tensor([2, 0, 1, 1])

    (gradient,) = torch.autograd.grad(class_loss(logits, classes).sum(), logits)

    right = torch.eye(3, dtype=torch.float64)[classes]
    torch.testing.assert_close(gradient, logits.softmax(-1) - right, rtol=0, atol=1e-12)


def test_the_loss_of_low_precision_logits_is_computed_in_float32():
    logits, classes = draw(4, 3).bfloat16(), torch.tensor([2, 0, 1, 1])

    assert torch.equal(class_loss(logits, classes), class_loss(logits.float(), classes))
