"""How loud a recording is from frame to frame, in decibels; NumPy only."""

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-10  # power, full scale 1: digital silence is -100 dB


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
    powers = np.square(np.pad(samples.astype(np.float64), (ahead, window + hop)))
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    first = np.arange(num_frames) * hop
    power = (sums[first + window] - sums[first]) / window
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, _FLOOR))
    return levels
