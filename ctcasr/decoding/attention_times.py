"""When a label was said, as far as an attention decoder knows: the frames that it looked at.

For each label the decoder spreads its attention over all frames. The path chosen here gives each
label one frame, none before that of the label before, with the largest product of weights: labels
are written in the order in which they are said, and a glance elsewhere moves nothing. Where that is
not so, as in numbers that are written in another order, times are the best that such a path allows.

Source: Sakoe and Chiba 1978, "Dynamic programming algorithm optimization for spoken word
recognition", with a label's step forbidden to go back.
"""

import numpy as np
from numpy.typing import NDArray

_LEAST_WEIGHT = 1e-10


def monotone_frames(weights: NDArray[np.float64]) -> list[int]:
    """Return the frame of each label, never falling, with the largest product of weights.

    Args:
        weights: (U, T) where the decoder looked for each label; T is at least 1.
    """
    logs = np.log(np.maximum(weights, _LEAST_WEIGHT))
    came_from = np.zeros(weights.shape, dtype=np.int64)
    scores = np.zeros(weights.shape[1])
    places = np.arange(weights.shape[1])
    for label, row in enumerate(logs):
        best = np.maximum.accumulate(scores)
        is_new = scores == best
        came_from[label] = np.maximum.accumulate(np.where(is_new, places, 0))
        scores = best + row
    frames: list[int] = []
    frame = int(scores.argmax()) if len(logs) else 0
    for label in reversed(range(len(logs))):
        frames.append(frame)
        frame = int(came_from[label, frame])
    return frames[::-1]
