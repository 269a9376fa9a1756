"""One recurrent layer over a right-padded batch: forwards in time, or in both directions.

Dense, not packed: packed input misses oneDNN's fast path on a CPU and cuDNN's persistent kernels
(benchmarks/RESULTS.md has the ratio). On a CPU only the LSTM has that path; the other cells are
torch's loops over time, and nothing is promised about their speed, few gates or not.

Sources: Elman 1990 (tanh RNN); Le et al. 2015, arXiv:1504.00941 (ReLU RNN); Hochreiter and
Schmidhuber 1997, with the forget gate of Gers et al. 2000 (LSTM); Cho et al. 2014, arXiv:1406.1078
(GRU); Graves and Schmidhuber 2005 (bidirectional); Williams and Peng 1990 (truncated gradients).
"""

from enum import StrEnum

import torch
from torch import Tensor, nn

from ctcasr.models.initialisation import InitConfig, initialise
from ctcasr.models.lengths import reverse_within
from ctcasr.models.long_sequences import is_long, pieces_of


class CellKind(StrEnum):
    """What one recurrent unit computes; tests/test_recurrent.py has the equations."""

    LSTM = "lstm"
    GRU = "gru"
    RNN_TANH = "rnn_tanh"
    RNN_RELU = "rnn_relu"


class Directions(StrEnum):
    """Which way a layer reads."""

    BOTH = "both"
    FORWARDS = "forwards"


class StartKind(StrEnum):
    """What a layer remembers before its first frame."""

    ZERO = "zero"
    LEARNED = "learned"


State = Tensor | tuple[Tensor, Tensor]
"""What a cell carries from frame to frame: (1, B, H); the LSTM has two, output and cell."""


class RecurrentLayer(nn.Module):
    """One cell forwards and, if asked for, one backwards.

    Each utterance is reversed inside its own length, so the backward cell starts at its last frame
    and an utterance's output does not depend on its neighbours (tests/test_recurrent.py holds it
    against torch's packed input).

    Args:
        input_size: F, features per frame.
        hidden_size: H, units per direction.
        cell: what a unit computes. The GRU's reset gate acts on the recurrent product, as in cuDNN.
        directions: which way it reads.
        init: its first weights.
        start: what it remembers before the first frame, the same for every utterance.

    Shape:
        features: (B, T, F), right-padded.
        lengths: (B,) int64, each in 0..T.
        returns: (B, T, 2H), or (B, T, H) forwards only; undefined where t >= lengths[b].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: CellKind = CellKind.LSTM,
        directions: Directions = Directions.BOTH,
        init: InitConfig | None = None,
        start: StartKind = StartKind.ZERO,
    ) -> None:
        super().__init__()
        self.forwards = _make_cell(cell, input_size, hidden_size)
        self.backwards: nn.RNNBase | None = None
        if directions is Directions.BOTH:
            self.backwards = _make_cell(cell, input_size, hidden_size)
        self.output_size = hidden_size * (1 if self.backwards is None else 2)
        for recurrence in (self.forwards, self.backwards):
            if recurrence is not None:
                initialise(recurrence, init or InitConfig())
        self.start_forwards: StartState | None = None
        self.start_backwards: StartState | None = None
        if start is StartKind.LEARNED:
            self.start_forwards = StartState(cell, hidden_size)
            if self.backwards is not None:
                self.start_backwards = StartState(cell, hidden_size)

    def forward(
        self, features: Tensor, lengths: Tensor, *, gradient_frames: int | None = None
    ) -> Tensor:
        """Run the layer; see the class for shapes.

        Args:
            features: see the class.
            lengths: see the class.
            gradient_frames: cut the gradient between segments of so many frames, forwards only. The
                state is carried over, so the output is the same.
        """
        if is_long(features, lengths):
            return self._run_pieces(features)
        state = None if self.start_forwards is None else self.start_forwards(len(features))
        if self.backwards is None:
            return self._run_segments(features, state, gradient_frames or features.shape[1])
        assert gradient_frames is None, "a backward direction starts at the last frame"
        ahead, _ = self.forwards(features, state)
        state = None if self.start_backwards is None else self.start_backwards(len(features))
        behind, _ = self.backwards(reverse_within(features, lengths), state)
        both = [ahead, reverse_within(behind, lengths)]
        # Frame by frame in memory, as the layers give and take it: no copy from one to the next.
        return torch.cat([one.transpose(0, 1) for one in both], dim=-1).transpose(0, 1)

    def advance(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Go on from where another call ended, forwards only.

        Args:
            features: (B, t, F) frames that follow those of the call before.
            state: what that call returned; None at the first frame.

        Returns:
            (B, t, H), and the state after the last frame.
        """
        assert self.backwards is None, "a backward direction starts at the last frame"
        if state is None and self.start_forwards is not None:
            state = self.start_forwards(len(features))
        output, state = self.forwards(features, state)
        return output, state

    def _run_pieces(self, features: Tensor) -> Tensor:
        """Run over one long utterance: forwards piece by piece, then backwards over them."""
        num_frames, units = features.shape[1], self.forwards.hidden_size
        output = features.new_empty(1, num_frames, self.output_size)
        state = None if self.start_forwards is None else self.start_forwards(1)
        pieces = list(pieces_of(num_frames))
        for start, end in pieces:
            output[:, start:end, :units], state = self.forwards(features[:, start:end], state)
        if self.backwards is not None:
            state = None if self.start_backwards is None else self.start_backwards(1)
            for start, end in reversed(pieces):
                behind, state = self.backwards(features[:, start:end].flip(1), state)
                output[:, start:end, units:] = behind.flip(1)
        return output

    def _run_segments(self, features: Tensor, state: State | None, segment_frames: int) -> Tensor:
        outputs = []
        for segment in torch.split(features, segment_frames, dim=1):
            output, state = self.forwards(segment, state)
            state = _detach(state)
            outputs.append(output)
        return torch.cat(outputs, dim=1)


class StartState(nn.Module):
    """The state before the first frame, learned, one for all utterances; zero at first."""

    def __init__(self, cell: CellKind, hidden_size: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.zeros(hidden_size))
        self.cell = nn.Parameter(torch.zeros(hidden_size)) if cell is CellKind.LSTM else None

    def forward(self, batch_size: int) -> State:
        """Return the state for each of B utterances."""
        hidden = self.hidden.expand(1, batch_size, -1).contiguous()
        if self.cell is None:
            return hidden
        return hidden, self.cell.expand(1, batch_size, -1).contiguous()


def _make_cell(cell: CellKind, input_size: int, hidden_size: int) -> nn.RNNBase:
    match cell:
        case CellKind.LSTM:
            return nn.LSTM(input_size, hidden_size, batch_first=True)
        case CellKind.GRU:
            return nn.GRU(input_size, hidden_size, batch_first=True)
        case CellKind.RNN_TANH:
            return nn.RNN(input_size, hidden_size, batch_first=True)
        case CellKind.RNN_RELU:
            return nn.RNN(input_size, hidden_size, nonlinearity="relu", batch_first=True)


def _detach(state: State) -> State:
    if isinstance(state, Tensor):
        return state.detach()
    hidden, cell = state
    return hidden.detach(), cell.detach()
