"""One label per utterance: the encoder's frames pooled into one vector, and a linear map.

Pooling looks at valid frames only, so padding changes nothing (tests/test_models_utterance.py holds
it against NumPy).

Source: Lin et al. 2013, arXiv:1312.4400, section 3.2 (mean).
"""

from enum import StrEnum

import torch
from pydantic import Field
from torch import Tensor, nn

from ctcasr.models.lengths import padding_mask
from ctcasr.settings import Section


class Pooling(StrEnum):
    """How an utterance's frames become one vector."""

    MEAN = "mean"
    MAX = "max"
    ENDS = "ends"


class UtteranceHeadConfig(Section):
    """One label for each recording. Section `heads.utterance`."""

    field: str | None = None
    """The manifest field whose values are the labels: `speaker`, `text`, or any other; the training
    set says which there are. Without it the model has no such output layer."""

    pooling: Pooling = Pooling.MEAN
    """`mean` or `max` over the frames, or `ends`: the last frame and the first, side by side, where
    a forward and a backward layer end."""

    weight: float = Field(1.0, gt=0)
    """Of its loss, in nats per recording, in what is minimised."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each label that is spread over all of them (Szegedy et al. 2016)."""

    @property
    def is_present(self) -> bool:
        """Whether the model has this head."""
        return self.field is not None


class UtteranceHead(nn.Module):
    """Pooling and a linear map from one vector to one logit per class.

    Args:
        input_size: F, values per frame of the encoder's output.
        num_classes: C.
        pooling: how frames become one vector.

    Shape:
        hidden: (B, T, F), anything beyond each length; lengths: (B,) in 0..T.
        returns: (B, C).
    """

    def __init__(self, input_size: int, num_classes: int, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        pooled_size = input_size * 2 if pooling is Pooling.ENDS else input_size
        self.output = nn.Linear(pooled_size, num_classes)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool and map; see the class for shapes."""
        logits: Tensor = self.output(pool(hidden, lengths, self.pooling))
        return logits


def pool(hidden: Tensor, lengths: Tensor, pooling: Pooling) -> Tensor:
    """Return one vector for each utterance's valid frames; zeros where it has none.

    Shape:
        hidden: (B, T, F), anything beyond each length; lengths: (B,) in 0..T.
        returns: (B, F); (B, 2F) for `ends`.
    """
    if hidden.shape[1] == 0:  # a frame beyond every length changes nothing
        hidden = nn.functional.pad(hidden, (0, 0, 0, 1))
    valid = padding_mask(lengths, hidden.shape[1])[..., None]
    hidden = hidden.masked_fill(~valid, 0.0)
    match pooling:
        case Pooling.MEAN:
            return hidden.sum(1) / lengths.clamp(min=1)[:, None]
        case Pooling.MAX:
            best = hidden.masked_fill(~valid, -torch.inf).amax(1)
            return best.masked_fill((lengths == 0)[:, None], 0.0)
        case Pooling.ENDS:
            rows = torch.arange(len(hidden), device=hidden.device)
            last = hidden[rows, (lengths - 1).clamp(min=0)]
            return torch.cat([last, hidden[:, 0]], dim=-1)
