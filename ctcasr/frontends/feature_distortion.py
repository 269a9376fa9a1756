"""What is done to a batch of features while training: spectra coloured and warped, spans hidden."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class FeatureDistortion:
    """What is done to a batch of features; one row per utterance.

    Attributes:
        response: (B, K) weights of K cosines over the feature axis, in natural-log power.
        warp: (B,) stretch of the feature axis.
        time_masks: (B, M, 2) first frame and last + 1.
        freq_masks: (B, M, 2) first feature and last + 1.
    """

    response: Tensor
    warp: Tensor
    time_masks: Tensor
    freq_masks: Tensor

    def to(self, device: torch.device) -> "FeatureDistortion":
        """Return the same on another device."""
        parts = (self.response, self.warp, self.time_masks, self.freq_masks)
        return FeatureDistortion(*(part.to(device, non_blocking=True) for part in parts))

    def __getitem__(self, rows: slice) -> "FeatureDistortion":
        parts = (self.response, self.warp, self.time_masks, self.freq_masks)
        return FeatureDistortion(*(part[rows] for part in parts))


def distort_spectrum(features: Tensor, distortion: FeatureDistortion) -> Tensor:
    """Colour and warp (B, T, F) log features, before normalisation."""
    num_features = features.shape[-1]
    axis = torch.linspace(0, 1, num_features, device=features.device)
    if bool((distortion.response != 0).any()):
        orders = torch.arange(1, distortion.response.shape[1] + 1, device=features.device)
        cosines = torch.cos(math.pi * orders[:, None] * axis)  # (K, F)
        features = features + (distortion.response @ cosines)[:, None]
    if bool((distortion.warp != 1).any()):
        source = (axis * (num_features - 1) * distortion.warp[:, None]).clamp_max(num_features - 1)
        below = source.floor().long().clamp_max(num_features - 2)
        share = (source - below)[:, None]
        index = below[:, None].expand(features.shape)
        features = torch.lerp(features.gather(2, index), features.gather(2, index + 1), share)
    return features


def mask_features(features: Tensor, distortion: FeatureDistortion) -> Tensor:
    """Set the drawn spans of (B, T, F) normalised features to zero, their mean."""
    for spans, dim in ((distortion.time_masks, 1), (distortion.freq_masks, 2)):
        steps = torch.arange(features.shape[dim], device=features.device)
        hidden = (steps >= spans[..., :1]) & (steps < spans[..., 1:])  # (B, M, T or F)
        visible = ~hidden.any(1)
        features = features * (visible[:, :, None] if dim == 1 else visible[:, None, :])
    return features
