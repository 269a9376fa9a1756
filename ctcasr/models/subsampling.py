"""Fewer frames for the recurrent layers: frame stacking, or convolutions in front.

The recurrence is the costly, sequential part of the network, and neighbouring 10 ms frames say
nearly the same; a third of the frames costs a third of the time (Sak et al. 2015,
arXiv:1507.06947, section 4.1).

Output j of each stands for the features from frame j * stride on, and depends on no frame before
j * stride - look_back or after j * stride + look_ahead.
"""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn

from ctcasr.models.lengths import padding_mask
from ctcasr.models.long_sequences import is_long, map_pieces


class SubsamplingKind(StrEnum):
    """How frames become fewer."""

    STACK = "stack"
    CONV = "conv"
    CONV2D = "conv2d"


def stack_frames(features: Tensor, lengths: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Make one wide frame of `stride` neighbouring ones; the last is filled up with zeros.

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,).
        returns: (B, ceil(T / stride), F * stride); (B,) ceil(lengths / stride).
    """
    padded = nn.functional.pad(features, (0, 0, 0, -features.shape[1] % stride))
    batch, num_frames, size = padded.shape
    return padded.reshape(batch, num_frames // stride, size * stride), -(-lengths // stride)


class FrameStacking(nn.Module):
    """`stride` neighbouring frames become one wide frame; see `stack_frames` for shapes."""

    def __init__(self, num_features: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.look_back, self.look_ahead = 0, stride - 1
        self.output_size = num_features * stride

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stack frames."""
        return stack_frames(features, lengths, self.stride)


class StridedConvolution(nn.Module):
    """Two convolutions over time, the second with a stride; frames beyond a length stay zero.

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,).
        returns: (B, ceil(T / stride), channels); (B,) ceil(lengths / stride).
    """

    def __init__(self, num_features: int, stride: int, channels: int) -> None:
        super().__init__()
        self.stride = stride
        # 2 frames of the first, a stride of the second
        self.look_back = self.look_ahead = stride + 2
        self.output_size = channels
        self.context = nn.Conv1d(num_features, channels, kernel_size=5, padding=2)
        # 2 * stride + 1 frames around each kept one: every frame is seen, most of them twice.
        self.reduce = nn.Conv1d(
            channels, channels, kernel_size=2 * stride + 1, stride=stride, padding=stride
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve; see the class for shapes."""
        if is_long(features, lengths):
            halo = 4 * self.stride  # 2 frames of the first, a stride of the second
            reduced = map_pieces(self._convolve, features, stride=self.stride, halo=halo)
            return reduced, -(-lengths // self.stride)
        reduced = self._convolve(features, padding_mask(lengths, features.shape[1]))
        lengths = -(-lengths // self.stride)
        return reduced * padding_mask(lengths, reduced.shape[1])[..., None], lengths

    def _convolve(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (B, T', channels); what is not valid, (B, T), is zero between the two."""
        hidden = nn.functional.gelu(self.context(features.transpose(1, 2)))
        if valid is not None:
            hidden = hidden * valid[:, None]
        return nn.functional.gelu(self.reduce(hidden)).transpose(1, 2)


class SpectralConvolution(nn.Module):
    """Two 3 x 3 convolutions over time and features, each pooling features in pairs; then stacking.

    Neighbouring features share weights and the larger of two is passed on, so that a voice or a
    microphone that moves the spectrum a little moves the output less (Abdel-Hamid et al. 2014,
    "Convolutional Neural Networks for Speech Recognition", section IV).

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,).
        returns: (B, ceil(T / stride), channels); (B,) ceil(lengths / stride).
    """

    def __init__(self, num_features: int, stride: int, channels: int, maps: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, maps, kernel_size=3, padding=1)
        self.second = nn.Conv2d(maps, maps, kernel_size=3, padding=1)
        self.stacking = FrameStacking(-(-num_features // 4) * maps, stride)
        self.stride = stride
        # each convolution sees one frame to either side
        self.look_back, self.look_ahead = 2, stride + 1
        self.reduce = nn.Linear(self.stacking.output_size, channels)
        self.output_size = channels

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve; see the class for shapes."""
        stride = self.stride
        if is_long(features, lengths):
            halo = 2 * stride  # each convolution sees one frame to either side
            reduced = map_pieces(self._convolve, features, stride=stride, halo=halo)
            return reduced, -(-lengths // stride)
        reduced = self._convolve(features, padding_mask(lengths, features.shape[1]))
        lengths = -(-lengths // stride)
        return reduced * padding_mask(lengths, reduced.shape[1])[..., None], lengths

    def _convolve(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (B, T', channels); what is not valid, (B, T), is zero in all maps."""
        maps = features[:, None]
        for convolution in (self.first, self.second):
            maps = nn.functional.gelu(convolution(maps))  # (B, maps, T, F or half of it)
            maps = nn.functional.max_pool2d(maps, (1, 2), ceil_mode=True)
            if valid is not None:
                maps = maps * valid[:, None, :, None]
        lengths = torch.full((len(features),), features.shape[1])
        stacked, _ = self.stacking(maps.transpose(1, 2).flatten(2), lengths)
        return nn.functional.gelu(self.reduce(stacked))


class PoolingConvolution(nn.Module):
    """3 x 3 convolutions over frames and features, one for each of `maps`, pooled as they go.

    Each pools features in pairs, and the first ones pool frames in pairs too, as often as `stride`
    can be halved; what is left of the stride is stacked. So the maps grow as the picture shrinks
    (Puigcerver 2017, "Are multidimensional recurrent layers really necessary for handwritten text
    recognition?", section III).

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,).
        returns: (B, ceil(T / stride), channels); (B,) ceil(lengths / stride).
    """

    def __init__(self, num_features: int, stride: int, channels: int, maps: Sequence[int]) -> None:
        super().__init__()
        self.stride = stride
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=1)
            for before, after in zip((1, *maps), maps, strict=False)
        )
        self.pools: list[int] = []  # frames that become one after each convolution
        seen, left = 0, stride  # frames that a convolution sees to either side, of those given
        for _ in maps:
            seen += stride // left
            self.pools.append(2 if left % 2 == 0 else 1)
            left //= self.pools[-1]
            num_features = -(-num_features // 2)
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            # torch's own draws let a signal fade from one to the next
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        self.look_back, self.look_ahead = seen, seen + stride - 1
        self.stacking = FrameStacking(num_features * maps[-1], left)
        self.reduce = nn.Linear(self.stacking.output_size, channels)
        self.output_size = channels

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve; see the class for shapes."""
        stride = self.stride
        if is_long(features, lengths):
            halo = -(-self.look_back // stride) * stride
            reduced = map_pieces(self._convolve, features, stride=stride, halo=halo)
            return reduced, -(-lengths // stride)
        reduced = self._convolve(features, lengths)
        lengths = -(-lengths // stride)
        return reduced * padding_mask(lengths, reduced.shape[1])[..., None], lengths

    def _convolve(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return (B, T', channels); beyond its length, T where not given, every map is zero."""
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], device=features.device)
        maps = nn.functional.pad(features, (0, 0, 0, -features.shape[1] % self.stride))[:, None]
        for convolution, pool in zip(self.convolutions, self.pools, strict=True):
            maps = convolution(maps)  # (B, maps, T or a part of it, F or a part of it)
            maps = maps.contiguous(memory_format=torch.channels_last)  # the next go twice as fast
            maps = maps * padding_mask(lengths, maps.shape[2])[:, None, :, None]
            maps = nn.functional.max_pool2d(maps, (pool, 2), ceil_mode=True)
            maps = nn.functional.gelu(maps)  # after the pool: a quarter of the work
            lengths = -(-lengths // pool)
        stacked, _ = self.stacking(maps.transpose(1, 2).flatten(2), lengths)
        return nn.functional.gelu(self.reduce(stacked))
