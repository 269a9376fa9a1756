"""An exponential moving average of the weights, kept beside the network while it trains.

The average moves a little towards the weights after every step, so it changes more quietly than
they do and mostly scores better. Early steps count for more, or the first weights would be felt
for too long: the share kept at step n is at most (1 + n) / (10 + n), as in TensorFlow's
ExponentialMovingAverage.

Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """The average of one network's weights.

    Args:
        network: it starts from these weights.
        decay: share of the average that each step leaves, at most.

    Attributes:
        weights: the average, by the names of the network's state.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.weights = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int) -> None:
        """Move towards the network's weights after step 1, 2, ..."""
        kept = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            self.weights[name].lerp_(tensor, 1 - kept)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from an average that was saved."""
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """Let the network have these weights for a while, and then its own again, bit for bit."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)
