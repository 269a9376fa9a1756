"""How loud a recording is from frame to frame, in decibels; NumPy only."""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 30_000  # frames at a time, so that hours need no more memory than minutes
_SILENCE = 1e-4  # peak, full scale 1: -80 dB
_FLOOR = 1e-10  # power, full scale 1: digital silence is -100 dB


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Return whether (N,) samples hold nothing that a microphone has heard, as with none."""
    return not len(samples) or bool(np.abs(samples).max() < _SILENCE)


def frame_levels(samples: NDArray[np.float32], *, hop: int, window: int) -> NDArray[np.float64]:
    """Return the level of every frame in dB below full scale.

    Args:
        samples: (N,) floats, full scale 1.
        hop: samples from one frame to the next; frame t is about t * hop to (t + 1) * hop.
        window: samples whose mean power is taken, in the frame's middle; at least `hop`.

    Returns:
        (T,) with T = ceil(N / hop).
    """
    num_frames = -(-len(samples) // hop)
    ahead = (window - hop) // 2
    blocks = [
        _powers(samples, first * hop - ahead, min(_BLOCK, num_frames - first), hop, window)
        for first in range(0, num_frames, _BLOCK)
    ]
    power = np.concatenate([np.zeros(0), *blocks])
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, _FLOOR))
    return levels


def _powers(
    samples: NDArray[np.float32], begin: int, count: int, hop: int, window: int
) -> NDArray[np.float64]:
    """Return the mean power of `count` windows, the first of which begins at sample `begin`."""
    end = begin + (count - 1) * hop + window
    inside = samples[max(begin, 0) : max(end, 0)].astype(np.float64)
    squares = np.square(np.pad(inside, (max(-begin, 0), max(end - max(len(samples), begin), 0))))
    sums = np.concatenate([[0.0], np.cumsum(squares)])
    first = np.arange(count) * hop
    powers: NDArray[np.float64] = (sums[first + window] - sums[first]) / window
    return powers
