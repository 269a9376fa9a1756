"""The encoder: subsampling, then a stack of bidirectional LSTMs with dropout between them."""

from pydantic import Field
from torch import Tensor, nn

from ctcasr.models.lengths import padding_mask
from ctcasr.models.recurrent import BidirectionalLstm
from ctcasr.models.subsampling import (
    FrameStacking,
    SpectralConvolution,
    StridedConvolution,
    SubsamplingKind,
)
from ctcasr.settings import Section


class EncoderConfig(Section):
    """The network between features and heads. Section `encoder` of a run's YAML file."""

    subsampling: SubsamplingKind = SubsamplingKind.STACK
    """`stack` neighbouring frames into one; `conv`: two convolutions over time, the second strided;
    `conv2d`: two over time and features that pool features in pairs, then stacking, for voices and
    microphones that nobody has learned from."""

    stride: int = Field(3, ge=1, le=8)
    """Feature frames per encoder frame; at a 10 ms hop and stride 3, a label needs 30 ms."""

    channels: int = Field(256, ge=8)
    """Channels of the `conv` and `conv2d` subsampling."""

    maps: int = Field(32, ge=1)
    """Feature maps of the `conv2d` subsampling."""

    layers: int = Field(3, ge=1, le=12)
    """Bidirectional LSTM layers."""

    hidden: int = Field(256, ge=4)
    """H, LSTM units per direction in each layer."""

    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of each layer's outputs set to zero while training (Srivastava et al. 2014)."""

    def num_frames(self, num_features_frames: int) -> int:
        """Return T', the encoder frames that T feature frames become."""
        return -(-num_features_frames // self.stride)


class Encoder(nn.Module):
    """Features to a sequence of hidden vectors.

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,) in 0..T.
        returns: (B, T', 2H); (B,) lengths in 0..T'.
    """

    def __init__(self, config: EncoderConfig, num_features: int) -> None:
        super().__init__()
        self.subsampling: FrameStacking | StridedConvolution | SpectralConvolution
        if config.subsampling is SubsamplingKind.STACK:
            self.subsampling = FrameStacking(num_features, config.stride)
        elif config.subsampling is SubsamplingKind.CONV2D:
            self.subsampling = SpectralConvolution(
                num_features, config.stride, config.channels, config.maps
            )
        else:
            self.subsampling = StridedConvolution(num_features, config.stride, config.channels)
        self.layers = nn.ModuleList()
        size = self.subsampling.output_size
        for _ in range(config.layers):
            layer = BidirectionalLstm(size, config.hidden)
            self.layers.append(layer)
            size = layer.output_size
        self.dropout = nn.Dropout(config.dropout)
        self.output_size = size

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; see the class for shapes."""
        if features.shape[1] == 0:  # an empty recording alone; torch's layers refuse it
            return features.new_zeros(len(features), 0, self.output_size), lengths
        hidden, lengths = self.subsampling(features, lengths)
        valid = padding_mask(lengths, hidden.shape[1])[..., None]
        for layer in self.layers:
            hidden = self.dropout(layer(hidden, lengths)) * valid
        return hidden, lengths
