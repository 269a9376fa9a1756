"""The network the rest of ctcasr sees: features in, one row of logits per encoder frame out."""

from torch import Tensor, nn

from ctcasr.models.ctc import CtcHead
from ctcasr.models.encoder import Encoder, EncoderConfig


class Network(nn.Module):
    """Encoder and CTC head.

    Shape:
        features: (B, T, F), normalised, zero beyond each length; lengths: (B,).
        returns: logits (B, T', V); (B,) valid encoder frames.
    """

    def __init__(self, encoder: EncoderConfig, *, num_features: int, num_labels: int) -> None:
        super().__init__()
        self.encoder = Encoder(encoder, num_features)
        self.ctc = CtcHead(self.encoder.output_size, num_labels)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits; see the class for shapes."""
        hidden, lengths = self.encoder(features, lengths)
        return self.ctc(hidden), lengths
