"""Connectionist temporal classification: the loss over all alignments of a label sequence.

A path gives each frame one symbol, a label or blank; a label sequence's probability is the sum
over all paths that become it when repeats, then blanks, are dropped. The loss is torch's kernel in
float32; tests/test_ctc.py holds value and gradient against the enumeration of all paths and
against the forward-backward recursion written out.

Source: Graves et al. 2006, "Connectionist Temporal Classification", sections 3 and 4.
"""

import torch
from torch import Tensor, nn


class CtcHead(nn.Module):
    """A linear map from hidden vectors to one logit per label and blank."""

    def __init__(self, input_size: int, num_labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(input_size, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, T, F) to logits (B, T, V)."""
        logits: Tensor = self.output(hidden)
        return logits


def ctc_loss(
    logits: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor, *, blank: int
) -> Tensor:
    """Return each utterance's negative log-probability of its labels, in nats.

    Infinite where the labels cannot be aligned; nothing is zeroed in silence.

    Shape:
        logits: (B, T, V), any float type; computed in float32 (float64 stays float64).
        lengths: (B,) valid frames; labels: (B, U) right-padded; label_lengths: (B,).
        returns: (B,).
    """
    if logits.dtype is not torch.float64:
        logits = logits.float()
    if logits.shape[1] == 0:  # torch refuses it; a frame beyond every length changes nothing
        logits = nn.functional.pad(logits, (0, 0, 0, 1))
    return nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        labels,
        lengths,
        label_lengths,
        blank=blank,
        reduction="none",
    )
