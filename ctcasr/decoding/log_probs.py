"""What every decoder takes: a matrix of log-probabilities, checked once at the door.

Arrays of any library are welcome, torch tensors on any device among them, without importing it.
float32 stays float32; the search itself adds up in float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcasr.alphabet import Alphabet

LogProbs = NDArray[np.float32] | NDArray[np.float64]

_LARGEST = 1e-2  # a log-softmax in half precision may end this far above 0
_FAR_FROM_ONE = 0.05  # and its probabilities may sum to this much more or less than 1
_MOST_FRAMES_SUMMED = 32


def to_array(values: Any) -> LogProbs:
    """Return an array, list or torch tensor on this machine's memory, as float32 or float64.

    Raises:
        ValueError: it holds something else than numbers.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16
        values = (values if values.dtype.itemsize == 4 else values.double()).numpy()
    try:
        array = np.asarray(values)
        if array.dtype != np.float32:
            array = array.astype(np.float64, casting="same_kind" if array.size else "unsafe")
    except (TypeError, ValueError) as error:
        raise ValueError(f"log_probs is no array of real numbers ({error})") from error
    return array


def check_batch(array: LogProbs, lengths: Any) -> list[LogProbs]:
    """Return the items of a padded batch.

    Args:
        array: (B, T, V).
        lengths: (B,) frames that count.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    given = to_array(lengths)
    if not (given == np.floor(given)).all():  # NaN is not equal to itself
        raise ValueError(f"lengths are {given.tolist()}; give whole numbers of frames")
    valid = np.clip(given, -1, 2**40).astype(np.int64)
    if array.ndim != 3 or valid.shape != array.shape[:1]:
        raise ValueError(
            f"log_probs has shape {array.shape} and lengths {valid.shape}; "
            f"give (batch, time, labels) and (batch,)"
        )
    if len(valid) and not 0 <= valid.min() <= valid.max() <= array.shape[1]:
        raise ValueError(
            f"lengths run from {valid.min()} to {valid.max()} but there are {array.shape[1]} frames"
        )
    return [item[:length] for item, length in zip(array, valid, strict=True)]


def check_log_probs(log_probs: Any, *, num_labels: int) -> LogProbs:
    """Return one item's log-probabilities as a (T, V) array of float32 or float64.

    Args:
        log_probs: (T, V) natural logs; -inf is a probability of zero.
        num_labels: V, the blank included.

    Raises:
        ValueError: another shape, NaN, a frame without any probability, or frames that do not sum
            to one (up to 32 of them are looked at), as with logits.
    """
    array = to_array(log_probs)
    if array.ndim != 2 or array.shape[1] != num_labels:
        raise ValueError(
            f"log_probs has shape {array.shape} but there are {num_labels} labels; "
            f"give (time, labels)"
        )
    if not array.size:
        return array
    largest = array.max()
    if largest != largest:  # NaN, where there is one
        frame = int(np.isnan(array).any(axis=1).argmax())
        raise ValueError(f"log_probs is NaN in frame {frame}; give finite numbers or -inf")
    if largest > _LARGEST:
        raise ValueError(
            f"log_probs reaches {largest:.3g}, but the log of a probability is at most 0; "
            f"apply log_softmax to the network's output first"
        )
    if array[:, 0].min() == -np.inf and (array.max(axis=1) == -np.inf).any():
        frame = int((array.max(axis=1) == -np.inf).argmax())
        raise ValueError(
            f"log_probs is -inf for all labels in frame {frame}; give one a probability"
        )
    step = -(-len(array) // _MOST_FRAMES_SUMMED)
    sums = np.exp(array[::step]).sum(axis=1)
    at = int(np.abs(sums - 1).argmax())
    if abs(sums[at] - 1) > _FAR_FROM_ONE:
        raise ValueError(
            f"the probabilities of frame {at * step} sum to {sums[at]:.3g}, not to 1; apply "
            f"log_softmax to the network's output first"
        )
    return array


def contiguous(array: LogProbs) -> LogProbs:
    """Return the same numbers row by row in memory, as the C++ core reads them."""
    if array.dtype == np.float32:
        return np.ascontiguousarray(array, dtype=np.float32)
    return np.ascontiguousarray(array, dtype=np.float64)


def to_alphabet(labels: Alphabet | Sequence[str], *, blank: int) -> Alphabet:
    """Return an alphabet as it is, and a plain list of characters as one with that blank."""
    if isinstance(labels, Alphabet):
        return labels
    return Alphabet(tuple(labels), blank=blank)
