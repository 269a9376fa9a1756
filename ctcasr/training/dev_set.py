"""The dev set as training sees it: loss and errors of each head, after every epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcasr.alphabet import Alphabet
from ctcasr.batching import classify_frames, pad_labels, pad_signals, plan_batches, stack_classes
from ctcasr.decoding.attention_search import BeamRules, most_labels, search_with_attention
from ctcasr.decoding.greedy import best_path
from ctcasr.errors import TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.medium import Medium, Signal
from ctcasr.models.attention import AttentionDecoder, AttentionSteps, attention_loss
from ctcasr.models.classes import class_loss
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.heads import HeadOutputs
from ctcasr.models.lengths import padding_mask
from ctcasr.models.network import Network
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.training.loading import Labelled


@dataclass(frozen=True, slots=True)
class DevScores:
    """What the dev set says; None where there is none.

    Attributes:
        dev_loss: of the first head, in nats per label or utterance; None also where it is not
            finite.
        dev_cer, dev_wer: fractions, by best path; without a CTC head, by the attention decoder's
            most probable labels; None of a model that writes no text.
        blank_share: frames whose most probable symbol is blank.
        dev_class_error: share of wrong labels of utterances; None without such a head.
        dev_frame_error: the same of frames.
        dev_attention_cer: by the attention decoder's most probable labels, where there is CTC too.
    """

    dev_loss: float | None = None
    dev_cer: float | None = None
    dev_wer: float | None = None
    blank_share: float | None = None
    dev_class_error: float | None = None
    dev_frame_error: float | None = None
    dev_attention_cer: float | None = None

    @property
    def error(self) -> float | None:
        """What epochs are chosen by: the CER, or else the frame error, or the class error."""
        errors = (self.dev_cer, self.dev_frame_error, self.dev_class_error)
        return next((error for error in errors if error is not None), None)


class DevSet:
    """Items and what each head is to give for them, held in memory, in batches of like length.

    Args:
        items: what is to be recognized.
        frontend: what they will become.
        medium: that reads them.
        batch_frames: most feature frames in a batch, padding included.
        frame_s: seconds from one frame of the encoder's output to the next, for a frame head.
    """

    def __init__(
        self,
        items: Sequence[Labelled],
        *,
        frontend: Frontend,
        medium: Medium[Any, Any],
        batch_frames: int,
        frame_s: float = 0.0,
    ) -> None:
        self._frame_s = frame_s
        sizes = [round(item.amount * medium.rate) for item in items]
        lengths = [max(1, frontend.num_frames(size)) for size in sizes]
        self._batches: list[tuple[list[Labelled], list[Signal]]] = []
        for batch in plan_batches(lengths, max_frames=batch_frames):
            chosen = [items[index] for index in batch]
            signals = [medium.signal(medium.load(item.utterance)) for item in chosen]
            self._batches.append((chosen, signals))

    def score(
        self, network: Network, features: FeatureExtractor, alphabet: Alphabet, device: torch.device
    ) -> DevScores:
        """Count each head's errors; the network must be in evaluation mode.

        Raises:
            TrainingError: the network's output is NaN.
        """
        text, frames, classes = _TextErrors(alphabet), _ClassErrors(), _ClassErrors()
        attention = _TextErrors(alphabet)
        for items, signals in self._batches:
            padded, lengths = pad_signals(signals)
            labels, _ = pad_labels([item.labels for item in items])
            outputs = network.outputs(
                *features(padded.to(device), lengths.to(device)), labels=labels.to(device)
            )
            if outputs.ctc:
                text.count_heard(items, *outputs.ctc[-1])
            if outputs.attention is not None:
                attention.count_written(items, network.attention, outputs)
            if outputs.frame is not None:
                valid = padding_mask(outputs.lengths, outputs.frame.shape[1])
                _require_numbers(items, outputs.frame, outputs.lengths)
                found = outputs.frame[valid]
                frames.count(found, self._frame_classes(items, outputs.lengths).to(found.device))
            if outputs.utterance is not None:
                every = torch.ones(len(items), dtype=torch.int64)
                _require_numbers(items, outputs.utterance[:, None], every)
                right = stack_classes([item.utterance_class for item in items])
                assert right is not None
                classes.count(outputs.utterance, right.to(device))
        heads = network.heads
        both = heads.ctc.is_present and heads.attention.is_present
        if heads.attention.is_present and not both:
            text = attention
        if heads.write_text:
            loss = text.mean_loss
        else:
            loss = (frames if heads.frame.is_present else classes).mean_loss
        return DevScores(
            dev_loss=loss if math.isfinite(loss) else None,
            dev_cer=text.chars.rate,
            dev_wer=text.words.rate,
            blank_share=text.num_blank / text.num_frames if text.num_frames else None,
            dev_class_error=classes.rate,
            dev_frame_error=frames.rate,
            dev_attention_cer=attention.chars.rate if both else None,
        )

    def _frame_classes(self, items: Sequence[Labelled], lengths: Tensor) -> Tensor:
        """Return the classes of all frames that are no padding, one utterance after another."""
        rows = [
            classify_frames(item.stretches, length, frame_s=self._frame_s)
            for item, length in zip(items, lengths.tolist(), strict=True)
        ]
        return torch.from_numpy(np.concatenate(rows))


class _TextErrors:
    """What a head that writes text gets wrong."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.chars = self.words = ErrorCounts()
        self.num_frames = self.num_blank = 0
        self._alphabet = alphabet
        self._loss = 0.0
        self._num_labels = 0

    @property
    def mean_loss(self) -> float:
        """Nats per label, or per label and end."""
        return self._loss / max(1, self._num_labels)

    def count_heard(self, items: Sequence[Labelled], logits: Tensor, frames: Tensor) -> None:
        """Count the errors of the CTC head's best paths."""
        alphabet, device = self._alphabet, logits.device
        log_probs = logits.float().log_softmax(-1)
        _require_numbers(items, log_probs, frames)
        labels, label_lengths = pad_labels([item.labels for item in items])
        losses = ctc_loss(
            log_probs, frames, labels.to(device), label_lengths.to(device), blank=alphabet.blank
        )
        self._loss += float(losses.sum())
        self._num_labels += int(label_lengths.sum())
        for item, rows, length in zip(items, log_probs.cpu().numpy(), frames.tolist(), strict=True):
            self._compare(item, best_path(rows[:length], alphabet).labels)
            self.num_blank += int((rows[:length].argmax(-1) == alphabet.blank).sum())
            self.num_frames += length

    def count_written(
        self, items: Sequence[Labelled], decoder: AttentionDecoder, outputs: HeadOutputs
    ) -> None:
        """Count the errors of what the attention decoder finds most probable, label by label."""
        logits, encoded = outputs.attention, outputs.encoded
        assert logits is not None
        assert encoded is not None
        labels, label_lengths = pad_labels([item.labels for item in items])
        _require_numbers(items, logits, label_lengths + 1)
        losses = attention_loss(
            logits,
            labels.to(logits.device),
            label_lengths.to(logits.device),
            blank=self._alphabet.blank,
        )
        self._loss += float(losses.sum())
        self._num_labels += int((label_lengths + 1).sum())  # and the ends
        lengths = outputs.lengths.tolist()
        steps = AttentionSteps(
            decoder, [row[:length] for row, length in zip(encoded, lengths, strict=True)]
        )
        rules = BeamRules(blank=self._alphabet.blank, beam=1)
        longest = [most_labels(length) for length in lengths]
        for item, found in zip(
            items, search_with_attention(steps, rules, longest=longest), strict=True
        ):
            self._compare(item, found[0].labels)

    def _compare(self, item: Labelled, labels: Sequence[int]) -> None:
        text, reference = self._alphabet.decode(labels), self._alphabet.decode(item.labels)
        self.chars += count_errors(list(reference), list(text))
        self.words += count_errors(reference.split(), text.split())


class _ClassErrors:
    """What a head gets wrong that gives one class to each item: utterance or frame."""

    def __init__(self) -> None:
        self.num_items = self.num_wrong = 0
        self._loss = 0.0

    @property
    def mean_loss(self) -> float:
        """Nats per item."""
        return self._loss / max(1, self.num_items)

    @property
    def rate(self) -> float | None:
        """Share of the items whose class is wrong; None of none."""
        return self.num_wrong / self.num_items if self.num_items else None

    def count(self, logits: Tensor, classes: Tensor) -> None:
        self._loss += float(class_loss(logits, classes).sum())
        self.num_wrong += int((logits.argmax(-1) != classes).sum())
        self.num_items += len(classes)


def _require_numbers(items: Sequence[Labelled], log_probs: Tensor, frames: Tensor) -> None:
    for item, rows, length in zip(items, log_probs, frames.tolist(), strict=True):
        if rows[:length].isnan().any():
            raise TrainingError(
                f"dev set: the network's output for {item.utterance.id} is not a number: its "
                f"weights have grown too large; lower optim.peak_lr and train again"
            )
