"""Valid lengths through a network: padding masks, reversal inside each length."""

from typing import Any

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Return (B, T) bool: True where t < lengths[b]."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def reverse_within(sequence: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each utterance inside its own length; padding stays where it is.

    Shape:
        sequence: (B, T, F); lengths: (B,) in 0..T; returns (B, T, F).
    """
    size, num_frames, _ = sequence.shape
    steps = torch.arange(num_frames, device=sequence.device)
    mirrored = lengths[:, None] - 1 - steps
    frames = torch.where(mirrored >= 0, mirrored, steps)  # (B, T): which frame comes here
    # As rows in the order of torch's own layers, frame by frame, which costs no copy.
    rows = frames.T * size + torch.arange(size, device=sequence.device)
    exchanged = _Exchange.apply(sequence.transpose(0, 1), rows.flatten())  # type: ignore[no-untyped-call]
    return exchanged.transpose(0, 1)  # type: ignore[no-any-return]


class _Exchange(torch.autograd.Function):
    """Rows exchanged in pairs: the gradient takes the same way, and needs no sums.

    Torch's own gradient of a gather adds up, which costs three times as much.
    """

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return _take_rows(sequence, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _take_rows(gradient, rows), None


def _take_rows(sequence: Tensor, rows: Tensor) -> Tensor:
    """Return (T, B, F) whose rows, counted over both, are those named of a (T, B, F)."""
    return sequence.flatten(0, 1).index_select(0, rows).view(sequence.shape)
