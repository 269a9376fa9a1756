"""The dev set as training sees it: loss, and error rates by best path, after every epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.alphabet import Alphabet
from ctcasr.batching import pad_labels, pad_waveforms, plan_batches
from ctcasr.decoding.greedy import best_path
from ctcasr.errors import TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.utterance_audio import load_utterance
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.network import Network
from ctcasr.scoring.error_rate import ErrorCounts, count_errors
from ctcasr.training.loading import Labelled


@dataclass(frozen=True, slots=True)
class DevScores:
    """What the dev set says; None where there is none.

    Attributes:
        dev_loss: nats per label; None also where it is not finite.
        dev_cer, dev_wer: fractions.
        blank_share: frames whose most probable symbol is blank.
    """

    dev_loss: float | None = None
    dev_cer: float | None = None
    dev_wer: float | None = None
    blank_share: float | None = None


class DevSet:
    """Recordings and transcripts held in memory, in batches of similar length."""

    def __init__(
        self, items: Sequence[Labelled], *, sample_rate: int, hop_ms: float, batch_frames: int
    ) -> None:
        lengths = [max(1, round(item.seconds * 1000 / hop_ms)) for item in items]
        self._batches: list[tuple[list[Labelled], list[NDArray[np.float32]]]] = []
        for batch in plan_batches(lengths, max_frames=batch_frames):
            chosen = [items[index] for index in batch]
            waveforms = [load_utterance(i.utterance, sample_rate=sample_rate) for i in chosen]
            self._batches.append((chosen, waveforms))

    def score(
        self, network: Network, features: FeatureExtractor, alphabet: Alphabet, device: torch.device
    ) -> DevScores:
        """Decode by best path and count errors; the network must be in evaluation mode.

        Raises:
            TrainingError: the network's output is NaN.
        """
        chars = words = ErrorCounts()
        loss = 0.0
        num_labels = num_frames = num_blank = 0
        for items, waveforms in self._batches:
            padded, lengths = pad_waveforms(waveforms)
            logits, frames = network(*features(padded.to(device), lengths.to(device)))
            log_probs = logits.float().log_softmax(-1)
            _require_numbers(items, log_probs, frames)
            labels, label_lengths = pad_labels([item.labels for item in items])
            losses = ctc_loss(
                log_probs, frames, labels.to(device), label_lengths.to(device), blank=alphabet.blank
            )
            loss += float(losses.sum())
            num_labels += int(label_lengths.sum())
            for item, rows, length in zip(
                items, log_probs.cpu().numpy(), frames.tolist(), strict=True
            ):
                text = best_path(rows[:length], alphabet).text
                reference = alphabet.decode(item.labels)
                chars += count_errors(list(reference), list(text))
                words += count_errors(reference.split(), text.split())
                num_blank += int((rows[:length].argmax(-1) == alphabet.blank).sum())
                num_frames += length
        return DevScores(
            dev_loss=loss / max(1, num_labels) if math.isfinite(loss) else None,
            dev_cer=chars.rate,
            dev_wer=words.rate,
            blank_share=num_blank / num_frames if num_frames else None,
        )


def _require_numbers(items: Sequence[Labelled], log_probs: Tensor, frames: Tensor) -> None:
    for item, rows, length in zip(items, log_probs, frames.tolist(), strict=True):
        if rows[:length].isnan().any():
            raise TrainingError(
                f"dev set: the network's output for {item.utterance.id} is not a number: its "
                f"weights have grown too large; lower optim.peak_lr and train again"
            )
