"""Valid lengths through a network: padding masks, reversal inside each length."""

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
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    mirrored = lengths[:, None] - 1 - steps
    index = torch.where(mirrored >= 0, mirrored, steps)
    return sequence.gather(1, index[..., None].expand_as(sequence))
