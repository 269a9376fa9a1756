"""What every decoder takes: a matrix of log-probabilities, checked once at the door.

Arrays of any library are welcome, torch tensors on any device among them, without importing it.
The search itself runs in float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet

_LARGEST = 1e-2  # a log-softmax in half precision may end this far above 0


def to_array(values: Any) -> NDArray[np.float64]:
    """Return an array, list or torch tensor as float64 on this machine's memory."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()  # double: NumPy has no bfloat16
    return np.asarray(values, dtype=np.float64)


def check_log_probs(log_probs: Any, *, num_labels: int) -> NDArray[np.float64]:
    """Return one item's log-probabilities as a (T, V) float64 array.

    Args:
        log_probs: (T, V) natural logs; -inf is a probability of zero.
        num_labels: V, the blank included.

    Raises:
        ValueError: another shape, NaN, values above 0 (logits), or a frame without any probability.
    """
    array = to_array(log_probs)
    if array.ndim != 2 or array.shape[1] != num_labels:
        raise ValueError(
            f"log_probs has shape {array.shape} but there are {num_labels} labels; "
            f"give (time, labels)"
        )
    if np.isnan(array).any():
        frame = int(np.isnan(array).any(axis=1).argmax())
        raise ValueError(f"log_probs is NaN in frame {frame}; give finite numbers or -inf")
    largest = array.max(initial=-np.inf)
    if largest > _LARGEST:
        raise ValueError(
            f"log_probs reaches {largest:.3g}, but the log of a probability is at most 0; "
            f"apply log_softmax to the network's output first"
        )
    if len(array) and np.isneginf(array).all(axis=1).any():
        frame = int(np.isneginf(array).all(axis=1).argmax())
        raise ValueError(
            f"log_probs is -inf for all labels in frame {frame}; give one a probability"
        )
    return array


def to_alphabet(labels: Alphabet | Sequence[str], *, blank: int) -> Alphabet:
    """Return an alphabet as it is, and a plain list of characters as one with that blank."""
    if isinstance(labels, Alphabet):
        return labels
    return Alphabet(tuple(labels), blank=blank)
