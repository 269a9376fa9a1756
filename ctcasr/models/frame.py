"""One label per frame: a linear map of each frame of the encoder's output.

The labels come from an alignment, so that each frame has its own and the loss is a plain
cross-entropy; no blank, no sum over paths. The first class stands for frames that nothing is said
about. tests/test_models_frame.py holds the loss against a loop in float64.

Source: Graves 2012, "Supervised Sequence Labelling", section 2.3 (segment and temporal labelling).
"""

from pydantic import Field
from torch import Tensor, nn

from ctcasr.models.classes import class_loss
from ctcasr.settings import Section


class FrameHeadConfig(Section):
    """What is heard when. Section `heads.frame`."""

    field: str | None = None
    """The manifest field that says it: a list of {"text", "start", "end"}, in seconds from the
    file's beginning, as `ctcasr align --timed` writes it into `words`. Without it the model has no
    such output layer."""

    weight: float = Field(1.0, gt=0)
    """Of its loss, in nats per frame, in what is minimised."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each frame's label that is spread over all of them (Szegedy et al. 2016)."""

    @property
    def is_present(self) -> bool:
        """Whether the model has this head."""
        return self.field is not None


class FrameHead(nn.Module):
    """A linear map from hidden vectors to one logit per class: (B, T, F) to (B, T, C)."""

    def __init__(self, input_size: int, num_classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(input_size, num_classes)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map; see the class for shapes."""
        logits: Tensor = self.output(hidden)
        return logits


def frame_loss(logits: Tensor, classes: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return each utterance's cross-entropy, in nats, summed over its frames.

    Args:
        logits: (B, T, C), any float type; computed in float32 (float64 stays float64).
        classes: (B, T) int64; negative where there is no frame.
        label_smoothing: share of each target that is spread over all classes.

    Returns:
        (B,).
    """
    losses = class_loss(logits, classes.clamp(min=0), label_smoothing=label_smoothing)
    return losses.where(classes >= 0, 0.0).sum(-1)
