"""The whole way from a batch of waveforms to what the encoder reads."""

from torch import Tensor, nn

from ctcasr.frontends.augmentation import FeatureDistortion, distort_spectrum, mask_features
from ctcasr.frontends.feature_stats import (
    FeatureStats,
    normalise_per_utterance,
    valid_frames,
)
from ctcasr.frontends.spectral import FrontendConfig, Normalisation, SpectralFrontend


class FeatureExtractor(nn.Module):
    """Spectral features, distorted while training, normalised, masked while training.

    Shape:
        waveforms: (B, N), zero beyond each length; lengths: (B,) samples.
        returns: (B, T, F), zero beyond each length; (B,) frames.
    """

    def __init__(self, config: FrontendConfig, stats: FeatureStats | None = None) -> None:
        super().__init__()
        if (config.normalise is Normalisation.TRAINING) != (stats is not None):
            raise ValueError("training statistics are needed if, and only if, they normalise")
        self.config = config
        self.stats = stats
        self.spectral = SpectralFrontend(config)

    def forward(
        self, waveforms: Tensor, lengths: Tensor, distortion: FeatureDistortion | None = None
    ) -> tuple[Tensor, Tensor]:
        """Extract features; see the class for shapes."""
        features, lengths = self.spectral(waveforms, lengths)
        if distortion is not None:
            features = distort_spectrum(features, distortion) * valid_frames(features, lengths)
        if self.stats is not None:
            features = self.stats.normalise(features, lengths)
        elif self.config.normalise is Normalisation.UTTERANCE:
            features = normalise_per_utterance(features, lengths)
        if distortion is not None:
            features = mask_features(features, distortion)
        return features, lengths
