"""The network the rest of ctcasr sees: features in, what each head makes of them out."""

from collections.abc import Collection

from torch import Tensor, nn

from ctcasr.models.attention import AttentionDecoder
from ctcasr.models.ctc import CtcHead
from ctcasr.models.encoder import Encoder, EncoderConfig
from ctcasr.models.frame import FrameHead
from ctcasr.models.heads import CTC_ONLY, HeadOutputs, HeadsConfig
from ctcasr.models.utterance import UtteranceHead


class Network(nn.Module):
    """Encoder and heads; a head that `heads` leaves out is no attribute.

    Args:
        encoder: of the frames.
        num_features: F.
        num_labels: V, labels and blank, of the CTC head and the attention decoder.
        blank: column of the blank.
        heads: which there are; CTC alone where not given.
        num_frame_classes: C, of the frame head.
        num_classes: C, of the utterance head.

    Shape:
        features: (B, T, F), normalised, zero beyond each length; lengths: (B,).
        returns: logits (B, T', V) of the CTC head; (B,) valid encoder frames.
    """

    ctc: CtcHead
    attention: AttentionDecoder
    frame: FrameHead
    utterance: UtteranceHead

    def __init__(
        self,
        encoder: EncoderConfig,
        *,
        num_features: int,
        num_labels: int,
        blank: int = 0,
        heads: HeadsConfig = CTC_ONLY,
        num_frame_classes: int = 0,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.encoder = Encoder(encoder, num_features)
        size = self.encoder.output_size
        if heads.ctc.is_present:
            self.ctc = CtcHead(size, num_labels)
        if heads.frame.is_present:
            self.frame = FrameHead(size, num_frame_classes)
        if heads.utterance.is_present:
            self.utterance = UtteranceHead(size, num_classes, heads.utterance.pooling)
        if heads.attention.is_present:
            self.attention = AttentionDecoder(
                heads.attention, input_size=size, num_labels=num_labels, blank=blank
            )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the CTC head's logits; see the class for shapes."""
        return self.outputs(features, lengths).ctc[-1]

    def outputs(
        self,
        features: Tensor,
        lengths: Tensor,
        *,
        layers: Collection[int] = (),
        gradient_frames: int | None = None,
        labels: Tensor | None = None,
        sampling: float = 0.0,
    ) -> HeadOutputs:
        """Return what each head makes of the encoder's output.

        Args:
            features: see the class.
            lengths: see the class.
            layers: numbers, from 1, of layers that the CTC head is applied to as well; they must
                give as many values as the last one.
            gradient_frames: see `Encoder.layer_outputs`.
            labels: (B, U) right-padded, that the attention decoder is to write.
            sampling: see `AttentionDecoder.forward`.
        """
        wanted = {*layers, len(self.encoder.layers)}
        ctc = []
        layer_outputs = self.encoder.layer_outputs(
            features, lengths, gradient_frames=gradient_frames
        )
        for number, (hidden, valid) in enumerate(layer_outputs, start=1):
            if number in wanted and self.heads.ctc.is_present:
                ctc.append((self.ctc(hidden), valid))
        classes = self.utterance(hidden, valid) if self.heads.utterance.is_present else None
        frames = self.frame(hidden) if self.heads.frame.is_present else None
        if not self.heads.attention.is_present:
            return HeadOutputs(valid, ctc, frames, classes)
        written = None
        if labels is not None:
            written = self.attention(hidden, valid, labels, sampling=sampling)
        return HeadOutputs(valid, ctc, frames, classes, written, hidden)
