"""The heads on the encoder's output: which a model has, and what a batch costs each of them.

A head is four things: a section of the configuration that says whether the model has it, a module
on the encoder's output, a loss, and what a recognizer makes of its output. What is minimised is the
weighted sum of the heads' mean losses. Where a model has several, the first in the order of
`HeadsConfig` is the one whose loss is reported and whose dev error chooses epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from ctcasr.batching import Batch
from ctcasr.models.attention import AttentionHeadConfig, attention_loss
from ctcasr.models.classes import class_loss
from ctcasr.models.ctc import CtcHeadConfig, ctc_losses
from ctcasr.models.frame import FrameHeadConfig, frame_loss
from ctcasr.models.utterance import UtteranceHeadConfig
from ctcasr.settings import Section


class HeadsConfig(Section):
    """The output layers on the encoder. Section `heads` of a run's YAML file."""

    ctc: CtcHeadConfig = CtcHeadConfig()
    """Text of any length."""

    attention: AttentionHeadConfig = AttentionHeadConfig()
    """Text of any length, label by label: longer than the recording has frames, or in another
    order."""

    frame: FrameHeadConfig = FrameHeadConfig()
    """One label for each frame of the encoder's output."""

    utterance: UtteranceHeadConfig = UtteranceHeadConfig()
    """One label for each recording."""

    @property
    def write_text(self) -> bool:
        """Whether a head writes text."""
        return self.ctc.is_present or self.attention.is_present


CTC_ONLY = HeadsConfig()
"""The heads of a model that writes text and nothing else."""


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """What the heads make of a batch.

    Attributes:
        lengths: (B,) valid frames of the encoder's output.
        ctc: logits (B, T', V) and lengths (B,): of the intermediate layers, then of the last; a
            layer before a reduction has more frames. Empty without a CTC head.
        frame: logits (B, T', C); None without a frame head.
        utterance: logits (B, C); None without an utterance head.
        attention: logits (B, U + 1, V + 1) of the labels and the end, where labels were given; None
            without an attention head.
        encoded: (B, T', F) the encoder's output, which the attention decoder looks at; None without
            one.
    """

    lengths: Tensor
    ctc: Sequence[tuple[Tensor, Tensor]] = ()
    frame: Tensor | None = None
    utterance: Tensor | None = None
    attention: Tensor | None = None
    encoded: Tensor | None = None


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """What a batch costs one head, in nats.

    Attributes:
        plain: (B,) negative log-probabilities of the targets.
        objective: (B,) what is minimised; the same, unless other terms join it.
        guess: the sum of `plain` for a head that holds everything equally probable.
        weight: of the mean in the sum over heads.
    """

    plain: Tensor
    objective: Tensor
    guess: float
    weight: float


def head_losses(
    outputs: HeadOutputs,
    batch: Batch,
    heads: HeadsConfig,
    *,
    blank: int,
    ctc_device: torch.device | None = None,
    progress: float = 1.0,
) -> list[HeadLoss]:
    """Judge a batch by every head of a model, in the order of `HeadsConfig`.

    Args:
        outputs: of the network, for this batch.
        batch: with targets for each head.
        heads: which terms, and their shares.
        blank: index of the CTC blank.
        ctc_device: where the CTC loss is computed; where the outputs are, if not given.
        progress: share of the run that is done, by which the weights of CTC and attention change.
    """
    losses = []
    ctc_weight, attention_weight = heads.attention.joint_weights(heads.ctc.weight, progress)
    if outputs.ctc:
        place = ctc_device or outputs.lengths.device
        judged = ctc_losses(
            [(logits.to(place), frames.to(place)) for logits, frames in outputs.ctc],
            batch.labels.to(place),
            batch.label_lengths.to(place),
            blank=blank,
            config=heads.ctc,
        )
        guess = int(outputs.lengths.sum()) * math.log(outputs.ctc[-1][0].shape[-1])
        losses.append(HeadLoss(judged.ctc, judged.objective, guess, ctc_weight))
    if outputs.attention is not None:
        logits = outputs.attention
        labels, counts = batch.labels.to(logits.device), batch.label_lengths.to(logits.device)
        plain = objective = attention_loss(logits, labels, counts, blank=blank)
        smoothing = heads.attention.label_smoothing
        if smoothing > 0:
            objective = attention_loss(
                logits, labels, counts, blank=blank, label_smoothing=smoothing
            )
        guess = int((batch.label_lengths + 1).sum()) * math.log(logits.shape[-1] - 1)
        losses.append(HeadLoss(plain, objective, guess, attention_weight))
    if outputs.frame is not None:
        assert batch.frame_classes is not None
        logits, frame = outputs.frame, heads.frame
        frame_classes = batch.frame_classes.to(logits.device)
        plain = objective = frame_loss(logits, frame_classes)
        if frame.label_smoothing > 0:
            objective = frame_loss(logits, frame_classes, label_smoothing=frame.label_smoothing)
        guess = int((frame_classes >= 0).sum()) * math.log(logits.shape[-1])
        losses.append(HeadLoss(plain, objective, guess, frame.weight))
    if outputs.utterance is not None:
        assert batch.classes is not None
        logits, config = outputs.utterance, heads.utterance
        classes = batch.classes.to(logits.device)
        plain = objective = class_loss(logits, classes)
        if config.label_smoothing > 0:
            objective = class_loss(logits, classes, label_smoothing=config.label_smoothing)
        guess = len(classes) * math.log(logits.shape[-1])
        losses.append(HeadLoss(plain, objective, guess, config.weight))
    return losses


def head_counts(batch: Batch, heads: HeadsConfig) -> list[int]:
    """Return what each head's mean is taken over, in order: labels, frames, utterances.

    The attention head writes the end of each text as well.
    """
    counts = []
    if heads.ctc.is_present:
        counts.append(int(batch.label_lengths.sum()))
    if heads.attention.is_present:
        counts.append(int((batch.label_lengths + 1).sum()))
    if heads.frame.is_present:
        classes = batch.frame_classes
        counts.append(0 if classes is None else int((classes >= 0).sum()))
    if heads.utterance.is_present:
        counts.append(len(batch.ids))
    return counts


def weighted_sum(losses: Sequence[HeadLoss], counts: Sequence[int]) -> Tensor:
    """Return the one number that is minimised: the weighted sum of the heads' means.

    Args:
        losses: of a batch or a part of one.
        counts: what each mean is taken over, in the whole batch; at least 1.
    """
    means = (
        loss.weight * (loss.objective.sum() / count)
        for loss, count in zip(losses, counts, strict=True)
    )
    return reduce(add, means)
