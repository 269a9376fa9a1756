"""Where a decoder looks: a score for each frame of the encoder's output, and their softmax.

    dot         key . query / sqrt(A)
    additive    v . tanh(key + W query)
    location    v . tanh(key + W query + U f), f: what filters see around the frame in the weights
                of the step before, so that the decoder knows where it has looked

Keys and queries are linear maps of frames and of the decoder's state, A values each. Frames beyond
an utterance's length have the weight 0 exactly, so padding changes nothing.

Sources: Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot); Vaswani et al. 2017,
arXiv:1706.03762, section 3.2.1 (its scale); Bahdanau et al. 2015, arXiv:1409.0473, section 3.1
(additive); Chorowski et al. 2015, arXiv:1506.07503, section 2.1 (location).
"""

import math
from enum import StrEnum

import torch
from torch import Tensor, nn


class AttentionKind(StrEnum):
    """How a frame's score comes about."""

    DOT = "dot"
    ADDITIVE = "additive"
    LOCATION = "location"


class DotScore(nn.Module):
    """Scores by the dot product; see the head of this file.

    Args:
        input_size: H, values of the decoder's state.
        size: A.

    Shape:
        query: (B, K, H), of K hypotheses for each utterance; keys: (B, T, A).
        weights: (B, K, T), of the step before, not looked at.
        returns: (B, K, T).
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(input_size, size)

    def forward(self, query: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
        """Score the frames; see the class for shapes."""
        mapped = self.query(query) / math.sqrt(keys.shape[-1])
        return torch.bmm(mapped, keys.transpose(1, 2))


class AdditiveScore(nn.Module):
    """Scores by a layer of tanh units; see the head of this file.

    Args:
        input_size: H, values of the decoder's state.
        size: A.

    Shape:
        query: (B, K, H), of K hypotheses for each utterance; keys: (B, T, A).
        weights: (B, K, T), of the step before, not looked at.
        returns: (B, K, T).
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(input_size, size)
        self.value = nn.Linear(size, 1, bias=False)

    def forward(self, query: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
        """Score the frames; see the class for shapes."""
        return self.judge(keys[:, None] + self.query(query)[:, :, None])

    def judge(self, mixed: Tensor) -> Tensor:
        """Return the score of each frame from what was added up, (..., A); that is overwritten."""
        scores: Tensor = mixed.tanh_() @ self.value.weight[0]
        return scores


class LocationScore(AdditiveScore):
    """The same, which also sees where it looked in the step before.

    Args:
        input_size: H, values of the decoder's state.
        size: A.
        channels: filters over the weights of the step before.
        reach: frames that each sees on either side.

    Shape:
        query: (B, K, H), of K hypotheses for each utterance; keys: (B, T, A).
        weights: (B, K, T), 0 beyond each length.
        returns: (B, K, T).
    """

    def __init__(self, input_size: int, size: int, *, channels: int, reach: int) -> None:
        super().__init__(input_size, size)
        self.filters = nn.Conv1d(1, channels, 2 * reach + 1, padding=reach, bias=False)
        self.place = nn.Linear(channels, size, bias=False)

    def forward(self, query: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
        """Score the frames; see the class for shapes."""
        filters = self.filters.weight[:, 0]
        width = filters.shape[-1]
        around = nn.functional.pad(weights, (width // 2, width // 2)).unfold(-1, width, 1)
        # Filters and U are one linear map of the weights around a frame.
        mixed = nn.functional.linear(around.contiguous(), self.place.weight @ filters)
        mixed += keys[:, None]
        mixed += self.query(query)[:, :, None]
        return self.judge(mixed)


def masked_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """Return weights that sum to 1 over the valid frames of each row; 0 where there are none.

    Shape:
        scores: (..., T), anything where not valid; valid: the same or (..., 1, T), bool.
        returns: that of scores.
    """
    nowhere = ~valid.any(-1, keepdim=True)
    kept = scores.masked_fill(~valid, -torch.inf).masked_fill(nowhere, 0.0)
    return kept.softmax(-1).masked_fill(~valid, 0.0)
