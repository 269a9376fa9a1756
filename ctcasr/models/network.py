"""The network the rest of ctcasr sees: features in, one row of logits per encoder frame out."""

from collections.abc import Collection

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
        (logits,) = self.layer_logits(features, lengths)
        return logits

    def layer_logits(
        self,
        features: Tensor,
        lengths: Tensor,
        *,
        layers: Collection[int] = (),
        gradient_frames: int | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """Return what the CTC head makes of some layers, then of the encoder's output.

        Args:
            features: see the class.
            lengths: see the class.
            layers: their numbers, from 1; they must give as many values as the last one.
            gradient_frames: see `Encoder.layer_outputs`.

        Returns:
            Logits (B, T', V) and (B,) lengths for each; a layer before a reduction has more frames.
        """
        wanted = {*layers, len(self.encoder.layers)}
        outputs = self.encoder.layer_outputs(features, lengths, gradient_frames=gradient_frames)
        return [
            (self.ctc(hidden), valid)
            for number, (hidden, valid) in enumerate(outputs, start=1)
            if number in wanted
        ]
