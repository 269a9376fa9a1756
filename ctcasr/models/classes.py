"""The loss of labels that exclude each other: the cross-entropy.

Source: Szegedy et al. 2016, arXiv:1512.00567, section 7 (label smoothing).
"""

import torch
from torch import Tensor, nn


def class_loss(logits: Tensor, classes: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return each item's cross-entropy, in nats.

    Args:
        logits: (..., C), any float type; computed in float32 (float64 stays float64).
        classes: (...) int64.
        label_smoothing: share of each target that is spread over all classes.

    Returns:
        (...).
    """
    if logits.dtype is not torch.float64:
        logits = logits.float()
    flat = nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        classes.reshape(-1),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return flat.reshape(classes.shape)
