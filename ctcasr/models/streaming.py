"""A network that is given its frames as they come, and ends with what it gives for all at once.

Every part but the recurrence looks at a few frames around each; `SlidingWindow` keeps those that
are still needed. The recurrence carries its state, so only a network that reads forwards can do it.
Nothing is approximated: what is given is that of a whole pass but for the order of sums.

Cost: a whole pass, and the frames around each edge between two chunks once more.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ctcasr.models.network import Network
from ctcasr.models.recurrent import State


class SlidingWindow:
    """A function of frames and their neighbours, applied to frames as they come.

    What is beyond the ends of a call of the function must be to it as what is beyond the ends of
    the stream.

    Args:
        function: (1, t, ...) to (1, ceil(t / stride), G).
        stride: frames per frame that is given.
        look_back: frames before the first of its stride that an output may depend on.
        look_ahead: frames after the first of its stride that an output may depend on.
        multiple_of: outputs are given in so many at a time, but for the last.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        stride: int,
        look_back: int,
        look_ahead: int,
        multiple_of: int = 1,
    ) -> None:
        self._function = function
        self._stride = stride
        self._look_back = look_back
        self._look_ahead = look_ahead
        self._multiple_of = multiple_of
        self._kept: list[Tensor] = []  # frames from number _first on
        self._first = 0
        self._came = 0  # frames so far
        self._given = 0  # outputs so far

    @property
    def latency(self) -> int:
        """Frames from the first that an output stands for to the last that it waits for."""
        return self._look_ahead + self._stride * (self._multiple_of - 1) + 1

    def feed(self, frames: Tensor, *, is_last: bool) -> Tensor | None:
        """Return (1, t', G) what can be told now; None where that is nothing.

        Args:
            frames: (1, t, ...) that follow those before; t may be 0.
            is_last: whether no others will follow.
        """
        self._kept.append(frames)
        self._came += frames.shape[1]
        ready = self._count_ready(is_last)
        if ready <= self._given:
            return None
        window = torch.cat(self._kept, dim=1)
        skipped = self._first // self._stride
        outputs = self._function(window)[:, self._given - skipped : ready - skipped]
        self._given = ready
        first = max(0, ready * self._stride - self._look_back) // self._stride * self._stride
        self._kept = [window[:, first - self._first :].clone()]
        self._first = first
        return outputs

    def _count_ready(self, is_last: bool) -> int:
        if is_last:
            return -(-self._came // self._stride)
        complete = (self._came - 1 - self._look_ahead) // self._stride + 1
        return complete // self._multiple_of * self._multiple_of


class NetworkStream:
    """A forwards-only network under way; what it gives is what `Network` gives for all frames.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: Network) -> None:
        self._encoder = network.encoder
        self._head = network.ctc
        self._states: list[State | None] = [None] * len(self._encoder.layers)
        subsampling = self._encoder.subsampling
        self._subsampled = SlidingWindow(
            self._subsample,
            stride=subsampling.stride,
            look_back=subsampling.look_back,
            look_ahead=subsampling.look_ahead,
            multiple_of=self._encoder.frames_reduced,
        )

    @property
    def latency(self) -> int:
        """Feature frames from the first that an output stands for to the last it waits for."""
        return self._subsampled.latency

    def feed(self, features: Tensor, *, is_last: bool) -> Tensor | None:
        """Return (1, T', V) the logits that can be told now; None where there are none.

        Args:
            features: (1, T, F), normalised; T may be 0.
            is_last: whether no others will follow.
        """
        hidden = self._subsampled.feed(features, is_last=is_last)
        if hidden is None:
            return None
        logits: Tensor = self._head(self._encoder.advance(hidden, self._states))
        return logits

    def _subsample(self, features: Tensor) -> Tensor:
        lengths = torch.full((1,), features.shape[1], device=features.device)
        hidden: Tensor = self._encoder.subsampling(features, lengths)[0]
        return hidden
