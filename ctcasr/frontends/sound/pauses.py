"""Where a long recording may be cut: in its pauses, by its level; NumPy only.

Networks learn from recordings of a few seconds, which begin and end in silence. In the middle of a
long one they meet what they never learned: other sentences on both sides, a level that is not
theirs. They then write the last letter of a word after the pause, close to the next word, so that
pauses are not to be seen in what they write. They are to be heard: a pause is softer than the
loudest just before and just after. What is compared is near, so speakers may be soft or loud; and
where noise fills the pauses nothing is cut.

The drop and the length were chosen on recordings in a row: docs/log.md, "A long recording, heard
from pause to pause".
"""

import numpy as np
from numpy.typing import NDArray

from ctcasr.frontends.sound.level import frame_levels

_FRAME_S = 0.01
_WINDOW_S = 0.025
_PAUSE_S = 0.4  # so long must a pause be; the closure of a stop takes less than half of that
_DROP_DB = 20.0  # so far is it below the loudest on either side
_REACH_S = 2.0  # so far from it on either side
_LEAST_PART_S = 1.0
_EQUAL_DB = 3.0  # places of a pause that differ by less are as quiet as each other
_SOFTEST_DB = -80.0  # full scale 0; nothing softer was said


def cut_in_pauses(
    samples: NDArray[np.float32], *, rate: int, multiple_of: int = 1
) -> list[tuple[int, int]]:
    """Return parts [start, end) that cover all samples, in order; one where there is no pause.

    A part that follows another begins within a pause, after speech; a pause of any length is cut
    once.

    Args:
        samples: (N,) floats, full scale 1.
        rate: samples per second.
        multiple_of: samples that every part but the last is a multiple of.
    """
    hop = max(1, round(_FRAME_S * rate))
    levels = frame_levels(samples, hop=hop, window=max(hop, round(_WINDOW_S * rate)))
    levels = np.maximum(levels, _SOFTEST_DB)
    reach, width = round(_REACH_S / _FRAME_S), round(_PAUSE_S / _FRAME_S)
    before = _loudest(levels, reach) - _DROP_DB
    after = _loudest(levels[::-1], reach)[::-1] - _DROP_DB
    # In a pause longer than the reach, nothing after comes near what was before.
    quiet = (levels < before) & ((levels < after) | (after + _DROP_DB < before))
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    cuts = [0]
    for first, end in edges.reshape(-1, 2).tolist():
        if end - first < width:
            continue
        middle = first + _middle_of_quietest(levels[first:end], width)
        cut = round(middle * hop / multiple_of) * multiple_of
        if min(cut - cuts[-1], len(samples) - cut) >= _LEAST_PART_S * rate:
            cuts.append(cut)
    return list(zip(cuts, [*cuts[1:], len(samples)], strict=True))


def _loudest(levels: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return (T,) maxima of each level and those before it, `count` in all. O(T log count)."""
    loudest, covered = levels, 1
    while covered < count:
        step = min(covered, count - covered)
        wider = loudest.copy()
        np.maximum(loudest[step:], loudest[:-step], out=wider[step:])
        loudest, covered = wider, covered + step
    return loudest


def _middle_of_quietest(levels: NDArray[np.float64], width: int) -> int:
    """Return the middle of the quietest stretch of `width` frames, of several the middle one."""
    loudest = np.lib.stride_tricks.sliding_window_view(levels, width).max(axis=1)
    quietest = np.flatnonzero(loudest <= loudest.min() + _EQUAL_DB)
    return int(quietest[len(quietest) // 2]) + width // 2
