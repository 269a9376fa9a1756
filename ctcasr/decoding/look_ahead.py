"""What any labelling's future can be worth: bounds that make a search provable.

From the last frame to the first. For a labelling that goes on with label j and then k, or with
label j after a label i, the bounds

    after_blank(j, k)    on what its future can be worth after a blank
    after_label(i, j)    on what its future can be worth after a label i

follow from the symbols that such a labelling can emit in one frame, blank, j, or i again:

    after_blank(j, k) = y(blank) * after_blank'(j, k) + y(j) * after_label'(j, k)
    after_label(i, j) = y(i) * after_label'(i, j) + the largest after_blank(j, k) over k

with ' for the frame after, and in the last line without the direct step to j where j = i, since a
repeat needs a blank; the end of the text counts as a label. Asking for the next two labels is what
makes the bounds tight: a labelling that goes on with j cannot also gain from not taking it.

Cost is O(T * V^2) with the V labels, 256 at most, that reach one in a thousand in any frame; the
others share one row. csrc/certificate.hpp has the same in C++.
"""

import numpy as np
from numpy.typing import NDArray

_RARE = 1e-3
_MOST_ROWS = 256


class Futures:
    """What any labelling's future can be worth from each frame on, relative to a scale.

    Args:
        log_probs: (T, V) natural logs.
        blank: column of the CTC blank.

    Attributes:
        log_scale: (T + 1,) of what `after_label` returns.
    """

    def __init__(self, log_probs: NDArray[np.float64], *, blank: int) -> None:
        self._rows, num_rows = _assign_rows(log_probs, blank=blank)
        self._after_label = np.ones((len(log_probs) + 1, num_rows))
        self.log_scale = np.zeros(len(log_probs) + 1)
        end, shared = 0, num_rows - 1
        own = np.arange(shared)  # two labels of the shared row may differ: they need no blank
        after_blank = np.zeros((num_rows, num_rows))
        after_blank[end, end] = 1.0
        after_label = np.zeros((num_rows, num_rows))
        after_label[:, end] = 1.0
        for t in reversed(range(len(log_probs))):
            peak = log_probs[t].max()
            probs = np.zeros(num_rows)
            np.maximum.at(probs, self._rows, np.exp(log_probs[t] - peak))
            waiting = probs[end] * after_blank
            of_next = np.where(np.arange(num_rows) == end, 0.0, probs)
            after_blank = waiting + of_next[:, None] * after_label
            direct = np.tile(after_blank.max(axis=1), (num_rows, 1))
            direct[own, own] = waiting.max(axis=1)[own]
            after_label = probs[:, None] * after_label + direct
            scale = max(after_blank.max(), after_label.max())
            after_blank /= scale
            after_label /= scale
            self._after_label[t] = after_label.max(axis=1)
            self.log_scale[t] = self.log_scale[t + 1] + peak + np.log(scale)

    def after_label(self, t: int) -> NDArray[np.float64]:
        """Return (V,) bounds on the future from frame t on, after each label in frame t - 1."""
        bounds: NDArray[np.float64] = self._after_label[t, self._rows]
        return bounds


def _assign_rows(log_probs: NDArray[np.float64], *, blank: int) -> tuple[NDArray[np.int64], int]:
    """Return each label's row and how many there are; the blank's is the end of the text."""
    peaks = log_probs.max(axis=0, initial=-np.inf)
    peaks[blank] = -np.inf
    common = np.flatnonzero(peaks >= np.log(_RARE))
    common = common[np.argsort(-peaks[common], kind="stable")][:_MOST_ROWS]
    rows = np.full(len(peaks), len(common) + 1)
    rows[blank] = 0
    rows[common] = np.arange(1, len(common) + 1)
    return rows, len(common) + 2
