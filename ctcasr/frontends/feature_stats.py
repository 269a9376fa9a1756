"""Mean and variance normalisation, over an utterance or over the training set.

Per-utterance normalisation removes what a microphone and a room add to every frame alike (Atal
1974, cepstral mean subtraction); training statistics keep the loudness of an utterance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

_SMALLEST_DEVIATION = 1e-3  # log units; a constant coefficient is left at zero, not blown up


class Normalisation(StrEnum):
    """Where the mean and variance that features are normalised with come from."""

    UTTERANCE = "utterance"
    TRAINING = "training"
    NONE = "none"


@dataclass(frozen=True)
class FeatureStats:
    """Per-coefficient mean and standard deviation over the training set; (F,) each."""

    mean: Tensor
    deviation: Tensor

    def normalise(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, T, F) features with zero mean and unit variance over the training set."""
        mean, deviation = self.mean.to(features), self.deviation.to(features)
        return (features - mean) / deviation * valid_frames(features, lengths)


def measure_feature_stats(batches: Iterable[tuple[Tensor, Tensor]]) -> FeatureStats:
    """Return the statistics of all valid frames of (features, lengths) batches, in float64.

    Raises:
        ValueError: there is no frame.
    """
    count = 0
    total = square = torch.zeros(())
    for features, lengths in batches:
        frames = (features * valid_frames(features, lengths)).double().cpu()
        count += int(lengths.sum())
        total = total + frames.sum((0, 1))
        square = square + frames.square().sum((0, 1))
    if count == 0:
        raise ValueError("there are no frames to measure")
    mean = total / count
    deviation = (square / count - mean.square()).clamp_min(0).sqrt()
    return FeatureStats(mean.float(), deviation.clamp_min(_SMALLEST_DEVIATION).float())


def normalise_per_utterance(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, F) features with zero mean and unit variance over each utterance's frames."""
    valid = valid_frames(features, lengths)
    count = lengths.clamp_min(1)[:, None, None]
    mean = (features * valid).sum(1, keepdim=True) / count
    centred = (features - mean) * valid
    variance = centred.square().sum(1, keepdim=True) / count
    return centred / variance.sqrt().clamp_min(_SMALLEST_DEVIATION)


def valid_frames(features: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T, 1): 1 where t < lengths[b], else 0."""
    steps = torch.arange(features.shape[1], device=features.device)
    return (steps < lengths.to(features.device)[:, None])[..., None].to(features.dtype)
