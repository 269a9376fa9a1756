"""Connectionist temporal classification: the loss over all alignments of a label sequence.

A path gives each frame one symbol, a label or blank; a label sequence's probability is the sum
over all paths that become it when repeats, then blanks, are dropped. The loss is torch's kernel in
float32; tests/test_ctc.py holds value and gradient against the enumeration of all paths and
against the forward-backward recursion written out.

Two terms may join it while training: the same loss on the outputs of earlier layers, and a pull
towards the uniform distribution.

Sources: Graves et al. 2006, "Connectionist Temporal Classification", sections 3 and 4; Lee and
Watanabe 2021, arXiv:2102.03216, section 3 (intermediate loss); Kim et al. 2018, arXiv:1711.02212
(label smoothing for CTC).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from ctcasr.models.lengths import padding_mask
from ctcasr.settings import Section


class CtcHeadConfig(Section):
    """The CTC output layer, one linear map, and its loss. Section `heads.ctc`."""

    weight: float = Field(1.0, ge=0)
    """Of its loss, in nats per label, in what is minimised. At 0 the model has no such output
    layer, and writes no text."""

    intermediate_layers: tuple[int, ...] = ()
    """Numbers of encoder layers, from 1, that are trained to write the labels too, through the same
    output layer (Lee and Watanabe 2021). The finished model is the same without them."""

    intermediate_weight: float = Field(0.3, gt=0, lt=1)
    """Share of these layers' mean loss in what is minimised."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the divergence of each frame's output from the uniform distribution in what is
    minimised: against too much certainty (Kim et al. 2018)."""

    @property
    def is_present(self) -> bool:
        """Whether the model has this head."""
        return self.weight > 0


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


def uniform_divergence(logits: Tensor, lengths: Tensor) -> Tensor:
    """Return each utterance's KL(uniform || output), in nats, summed over its frames.

    Shape:
        logits: (B, T, V), any float type; computed in float32 (float64 stays float64).
        lengths: (B,) valid frames.
        returns: (B,).
    """
    if logits.dtype is not torch.float64:
        logits = logits.float()
    divergence = -math.log(logits.shape[-1]) - logits.log_softmax(-1).mean(-1)  # (B, T)
    return divergence.where(padding_mask(lengths, logits.shape[1]), 0.0).sum(-1)


@dataclass(frozen=True, slots=True)
class CtcLosses:
    """What a batch is judged by, in nats.

    Attributes:
        ctc: (B,) negative log-probabilities of the labels.
        objective: (B,) what is minimised; the same, unless other terms join it.
    """

    ctc: Tensor
    objective: Tensor


def ctc_losses(
    outputs: Sequence[tuple[Tensor, Tensor]],
    labels: Tensor,
    label_lengths: Tensor,
    *,
    blank: int,
    config: CtcHeadConfig,
) -> CtcLosses:
    """Judge a batch by the output layer, and by what `config` adds.

    Args:
        outputs: logits (B, T', V) and lengths (B,): of the intermediate layers, then of the last.
        labels: (B, U) right-padded.
        label_lengths: (B,).
        blank: index of blank.
        config: which terms, and their shares.
    """
    *earlier, (logits, lengths) = outputs
    ctc = objective = ctc_loss(logits, lengths, labels, label_lengths, blank=blank)
    if config.label_smoothing > 0:
        smooth = uniform_divergence(logits, lengths)
        objective = _mix(objective, smooth, config.label_smoothing)
    if earlier:
        losses = [ctc_loss(*output, labels, label_lengths, blank=blank) for output in earlier]
        mean = torch.stack(losses).mean(0)
        objective = _mix(objective, mean, config.intermediate_weight)
    return CtcLosses(ctc, objective)


def _mix(one: Tensor, other: Tensor, share: float) -> Tensor:
    return (1 - share) * one + share * other
