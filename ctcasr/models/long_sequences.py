"""One long utterance piece by piece, so that what is held beside its output does not grow.

Nothing is approximated: a layer that looks a few frames around itself is given them at the edges of
each piece, and a recurrent layer carries its state from piece to piece (recurrent.py), so the
output is that of a whole pass but for the order of sums. Only without gradients, which need all.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LONG_FRAMES = 6_000
"""Feature or hidden frames; longer utterances, by themselves in a batch, go piece by piece."""


def is_long(frames: Tensor, lengths: Tensor) -> bool:
    """Return whether (B, T, F) frames are one long utterance, and no gradient is wanted."""
    batch, num_frames = frames.shape[:2]
    return (
        batch == 1
        and num_frames > LONG_FRAMES
        and not torch.is_grad_enabled()
        and int(lengths[0]) == num_frames
    )


def pieces_of(num_frames: int, *, multiple_of: int = 1) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each piece; all but the last are as long as a multiple of something."""
    size = LONG_FRAMES // 2 // multiple_of * multiple_of
    for start in range(0, num_frames, size):
        yield start, min(start + size, num_frames)


def map_pieces(
    function: Callable[[Tensor], Tensor], frames: Tensor, *, stride: int, halo: int
) -> Tensor:
    """Return what a function of frames and their neighbours makes of a long utterance.

    Args:
        function: (1, t, F) to (1, ceil(t / stride), G); zeros stand for what is beyond the edges.
        frames: (1, T, F).
        stride: frames per frame that is given.
        halo: frames on either side that an output may depend on; a multiple of `stride`.
    """
    num_frames = frames.shape[1]
    outputs = []
    for start, end in pieces_of(num_frames, multiple_of=stride):
        first = max(0, start - halo)
        output = function(frames[:, first : min(num_frames, end + halo)])
        skipped = (start - first) // stride
        outputs.append(output[:, skipped : skipped - (start - end) // stride].clone())
    return torch.cat(outputs, dim=1)
