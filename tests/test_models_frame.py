import math

import numpy as np
import pytest
import torch

from ctcasr.models.frame import FrameHead, frame_loss


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss_by_hand(logits, classes, smoothing):
    """Sums over frames and classes written out, one number at a time."""
    losses = []
    for rows, targets in zip(logits.tolist(), classes.tolist(), strict=True):
        loss = 0.0
        for row, right in zip(rows, targets, strict=True):
            if right < 0:
                continue
            total = math.log(sum(math.exp(value) for value in row))
            for index, value in enumerate(row):
                share = smoothing / len(row) + (1 - smoothing) * (index == right)
                loss -= share * (value - total)
        losses.append(loss)
    return losses


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_the_cross_entropy_of_each_frame_written_out(smoothing):
    logits, classes = draw(2, 4, 3), torch.tensor([[0, 2, 1, 1], [2, 2, -1, -1]])

    losses = frame_loss(logits, classes, label_smoothing=smoothing)

    np.testing.assert_allclose(losses, loss_by_hand(logits, classes, smoothing), rtol=1e-12)


def test_frames_of_padding_have_no_loss_and_no_gradient():
    logits, classes = draw(2, 4, 3), torch.tensor([[0, 2, 1, 1], [2, -1, -1, -1]])
    logits[1, 1:] = 1e4
    logits.requires_grad_()

    losses = frame_loss(logits, classes)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)

    alone = frame_loss(logits[1:, :1], classes[1:, :1])
    assert torch.equal(losses[1:], alone)
    assert not gradient[1, 1:].any()
    right = torch.eye(3, dtype=torch.float64)[classes[0]]
    torch.testing.assert_close(gradient[0], logits[0].softmax(-1) - right, rtol=0, atol=1e-12)


def test_a_head_maps_each_frame_by_itself():
    head = FrameHead(4, 3).double()
    hidden = draw(2, 5, 4)

    logits = head(hidden)

    assert logits.shape == (2, 5, 3)
    torch.testing.assert_close(logits[1, 2], head.output(hidden[1, 2]), rtol=1e-12, atol=0)
