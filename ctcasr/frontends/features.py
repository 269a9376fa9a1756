"""The whole way from a batch of signals to what the encoder reads."""

from torch import Tensor, nn

from ctcasr.frontends.feature_distortion import FeatureDistortion, distort_spectrum, mask_features
from ctcasr.frontends.feature_stats import (
    FeatureStats,
    Normalisation,
    normalise_per_utterance,
    valid_frames,
)
from ctcasr.frontends.media import Frontend
from ctcasr.frontends.sound.spectral import FrontendConfig, SpectralFrontend


class FeatureExtractor(nn.Module):
    """Features, distorted while training, normalised, masked while training.

    Those of recordings are made of samples here; those of ink and images come as they are.

    Shape:
        signals: (B, N) samples or (B, N, F) frames, zero beyond each length; lengths: (B,).
        returns: (B, T, F), zero beyond each length; (B,) frames.
    """

    def __init__(self, config: Frontend, stats: FeatureStats | None = None) -> None:
        super().__init__()
        if (config.normalise is Normalisation.TRAINING) != (stats is not None):
            raise ValueError("training statistics are needed if, and only if, they normalise")
        self.config = config
        self.stats = stats
        self.spectral = SpectralFrontend(config) if isinstance(config, FrontendConfig) else None

    def forward(
        self, signals: Tensor, lengths: Tensor, distortion: FeatureDistortion | None = None
    ) -> tuple[Tensor, Tensor]:
        """Extract features; see the class for shapes."""
        features, lengths = self.raw(signals, lengths)
        if distortion is not None:
            features = distort_spectrum(features, distortion) * valid_frames(features, lengths)
        if self.stats is not None:
            features = self.stats.normalise(features, lengths)
        elif self.config.normalise is Normalisation.UTTERANCE:
            features = normalise_per_utterance(features, lengths)
        if distortion is not None:
            features = mask_features(features, distortion)
        return features, lengths

    def raw(self, signals: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features as they are before anything is done to them."""
        if self.spectral is None:
            return signals, lengths
        features, lengths = self.spectral(signals, lengths)
        return features, lengths
