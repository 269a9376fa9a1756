"""Where words begin and end: from the spikes of a CTC path and the level of the recording.

A CTC network says a label in one frame or two, somewhere inside the sound, and is silent for the
rest of it: the spike tells neither where a word begins nor where it ends. Subtracting label priors
from a network that was not trained with them moves nothing, since its blanks are certain. What
helps is the recording: between the last spike of a word and the first of the next, the frames are
speech, a pause, speech again. The pause [end, start) is chosen to minimise

    sum of cost[t], end <= t < start;   cost[t] = how far the level is above the threshold, clipped
    + (end - last spike) / scale + (first spike - start) / scale

so that quiet frames pull the boundaries apart, loud ones push them together, and a word without a
pause at its side keeps close to its spikes. Before the first word and after the last, the pause
may be cut off from the recording's edge, at a cost, by a sound that is no word. The threshold lies
a fixed number of decibels under the softer of the two words, but above the noise of the recording.
Terms of `end` and `start` come apart, so one pass with a running minimum finds the best pair: O(T).

Words hold all of their spikes, so their times rise and lie inside the recording, whatever the
levels are. NumPy only; no torch.

Measured on strings of digits whose joints are known: benchmarks/RESULTS.md, "Word times".
Priors: Huang et al. 2024, arXiv:2406.02560, where the network is trained with them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]

_DROP_DB = 30.0  # below its loudest frame, a word is over
_ABOVE_NOISE_DB = 6.0  # a frame as soft as this may be noise
_LOUD_DB = 10.0  # below its loudest frame, a word is never a pause, however noisy the recording
_NOISE_SHARE = 10  # per cent of the frames that are taken for noise
_CLIP_DB = 10.0  # further from the threshold, a frame says no more
_COST_PER_FRAME = 0.4  # of a clipped 10 ms frame, in the unit of `_SCALE_S`
_FRAME_S = 0.01  # the length of frame that cost is given for
_SCALE_S = 0.2  # seconds from spike to boundary that cost 1
_OTHER_SOUND = 4.0  # cost of a sound before the first word or after the last that is no word
_REACH_S = 0.2  # seconds around the spikes in which a word is loudest


def find_word_spans(
    spikes: Sequence[Span], levels: NDArray[np.float64], *, frame_s: float
) -> list[Span]:
    """Return where each word begins and ends, as frames [start, end) of `levels`.

    Args:
        spikes: of each word, in order: from its first label's first frame to its last label's last
            frame + 1, in frames of `levels`; none is empty, and none overlaps the next.
        levels: (T,) dB.
        frame_s: seconds from one of them to the next.

    Returns:
        Spans that hold the spikes, rise, do not overlap, and lie in 0..T.
    """
    if not spikes:
        return []
    num_frames = len(levels)
    noise = float(np.percentile(levels, _NOISE_SHARE)) + _ABOVE_NOISE_DB
    reach = round(_REACH_S / frame_s)
    peaks = [levels[max(0, a - reach) : b + reach].max(initial=-np.inf) for a, b in spikes]
    starts, ends = [], []
    for k in range(len(spikes) + 1):
        before = spikes[k - 1][1] if k else 0
        after = spikes[k][0] if k < len(spikes) else num_frames
        peak = min(peaks[max(0, k - 1) : k + 1])
        threshold = min(max(peak - _DROP_DB, noise), peak - _LOUD_DB)
        end, start = _find_pause(
            levels[before:after] - threshold,
            scale=_SCALE_S / frame_s,
            loudness=_COST_PER_FRAME * frame_s / _FRAME_S,
            has_left=k > 0,
            has_right=k < len(spikes),
        )
        ends.append(before + end)
        starts.append(before + start)
    return list(zip(starts[:-1], ends[1:], strict=True))


def _find_pause(
    above: NDArray[np.float64],
    *,
    scale: float,
    loudness: float,
    has_left: bool,
    has_right: bool,
) -> tuple[int, int]:
    """Return the pause [end, start) of the frames between two words.

    Args:
        above: (G,) dB above the threshold.
        scale: frames from spike to boundary that cost 1.
        loudness: cost of calling a loud frame a pause.
        has_left: whether a word precedes; where none does, the pause begins with the frames, or at
            a cost after some other sound.
        has_right: whether a word follows; where none does, the pause lasts to their end, or at a
            cost to some other sound.
    """
    cost = np.clip(above / _CLIP_DB, -1.0, 1.0) * loudness
    total = np.concatenate([[0.0], np.cumsum(cost)])  # (G + 1,) of the frames before each edge
    edges = np.arange(len(total))
    to_end = (edges / scale if has_left else _OTHER_SOUND * (edges > 0)) - total
    from_start = (edges[::-1] / scale if has_right else _OTHER_SOUND * (edges[::-1] > 0)) + total
    best_end = np.minimum.accumulate(to_end)
    start = int(np.argmin(best_end + from_start))
    return int(np.argmin(to_end[: start + 1])), start
