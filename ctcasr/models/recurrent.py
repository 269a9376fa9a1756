"""One recurrent layer over a right-padded batch: an LSTM in each direction.

Dense, not packed: packed input misses oneDNN's fast path on a CPU and cuDNN's persistent kernels
(benchmarks/RESULTS.md has the ratio). LSTM: Hochreiter and Schmidhuber 1997, with the forget gate
of Gers et al. 2000; bidirectional: Graves and Schmidhuber 2005.
"""

import torch
from torch import Tensor, nn

from ctcasr.models.lengths import reverse_within


class BidirectionalLstm(nn.Module):
    """One LSTM forwards and one backwards.

    Each utterance is reversed inside its own length, so the backward LSTM starts at its last
    frame and an utterance's output does not depend on its neighbours (tests/test_recurrent.py
    holds it against nn.LSTM on packed input).

    Args:
        input_size: F, features per frame.
        hidden_size: H, units per direction.

    Shape:
        features: (B, T, F), right-padded.
        lengths: (B,) int64, each in 0..T.
        returns: (B, T, 2H), undefined where t >= lengths[b].
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = 2 * hidden_size
        self.forwards = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(input_size, hidden_size, batch_first=True)
        for direction in (self.forwards, self.backwards):
            _initialise(direction)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Run both directions; see the class for shapes."""
        ahead, _ = self.forwards(features)
        behind, _ = self.backwards(reverse_within(features, lengths))
        return torch.cat([ahead, reverse_within(behind, lengths)], dim=-1)  # (B, T, 2H)


def _initialise(lstm: nn.LSTM) -> None:
    """Xavier input weights, orthogonal recurrent weights, zero biases but 1 for the forget gate.

    A forget gate that starts open lets gradients through from the first step (Jozefowicz et al.
    2015, section 5).
    """
    hidden = lstm.hidden_size
    for name, parameter in lstm.named_parameters():
        with torch.no_grad():
            if name.startswith("bias"):
                parameter.zero_()
                if name.startswith("bias_ih"):
                    parameter[hidden : 2 * hidden] = 1.0  # gates in order: in, forget, cell, out
                continue
            for gate in torch.split(parameter, hidden):
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(gate)
                else:
                    nn.init.orthogonal_(gate)
