"""The encoder: subsampling, then a stack of recurrent layers.

What each layer gives passes, in this order, through an optional projection, an optional layer
normalisation and dropout; then through a skip connection, and where asked for, pairs of frames
become one before the next layer.

Sources: Sak et al. 2014, arXiv:1402.1128 (projection, here not fed back); Ba et al. 2016,
arXiv:1607.06450 (layer normalisation, here of a layer's output); Srivastava et al. 2014 (dropout);
Gal and Ghahramani 2016, arXiv:1512.05287 (one mask per sequence, here not of the state); Wu et al.
2016, arXiv:1609.08144, section 3.1 (residual); Huang et al. 2017, arXiv:1608.06993 (dense); Graves
2013, arXiv:1308.0850, section 2 (to the output); Chan et al. 2016, arXiv:1508.01211, section 3.1
(pyramid). docs/decisions/0004 says why nothing is added inside the recurrence.
"""

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from ctcasr.models.dropout import Dropout, SequenceDropout
from ctcasr.models.initialisation import InitConfig
from ctcasr.models.lengths import padding_mask
from ctcasr.models.recurrent import CellKind, Directions, RecurrentLayer, StartKind, State
from ctcasr.models.subsampling import (
    FrameStacking,
    PoolingConvolution,
    SpectralConvolution,
    StridedConvolution,
    SubsamplingKind,
    stack_frames,
)
from ctcasr.settings import Section

_LEAST_UNITS = 4
_FRAMES_REDUCED = 2


class SkipKind(StrEnum):
    """Ways around a layer."""

    NONE = "none"
    RESIDUAL = "residual"
    DENSE = "dense"
    TO_OUTPUT = "to_output"


class EncoderConfig(Section):
    """The network between features and heads. Section `encoder` of a run's YAML file."""

    subsampling: SubsamplingKind = SubsamplingKind.STACK
    """`stack` neighbouring frames into one; `conv`: two convolutions over time, the second strided;
    `conv2d`: two over time and features that pool features in pairs, then stacking, for voices and
    microphones that nobody has learned from."""

    stride: int = Field(3, ge=1, le=8)
    """Feature frames per encoder frame; at a 10 ms hop and stride 3, a label needs 30 ms."""

    channels: int = Field(256, ge=8)
    """Channels of the `conv` and `conv2d` subsampling."""

    maps: int | tuple[int, ...] = 32
    """Feature maps of the `conv2d` subsampling. A list, as in [16, 32, 48, 64], gives one
    convolution for each number; each pools features in pairs, the first ones frames too, as often
    as `stride` can be halved: for images of lines."""

    cell: CellKind = CellKind.LSTM
    """`lstm`, `gru`, or a plain recurrent network, `rnn_tanh` or `rnn_relu`. On a CPU only the LSTM
    has a fast path (oneDNN's)."""

    directions: Directions = Directions.BOTH
    """Each layer reads in `both` directions, or `forwards` only, so that no output needs what comes
    after it."""

    layers: int = Field(3, ge=1, le=12)
    """Recurrent layers."""

    hidden: int | tuple[int, ...] = 256
    """H, units per direction in each layer: one number, or a list with one for each layer."""

    projection: int | None = Field(None, ge=_LEAST_UNITS)
    """Each layer's output is mapped linearly to so many values; not at all, where not given."""

    layer_norm: bool = False
    """Normalise each layer's output over its values (Ba et al. 2016)."""

    skip: SkipKind = SkipKind.NONE
    """`residual`: a layer's input is added to its output, but for the first layer and those after a
    reduction, whose input has another size. `dense`: each layer and the head see the outputs of all
    layers before, and the features. `to_output`: the head sees the outputs of all layers."""

    reduce_after: tuple[int, ...] = ()
    """Numbers of the layers, from 1, after which pairs of frames become one: [1, 2] leaves a
    quarter of the frames to the third layer (a pyramid, Chan et al. 2016)."""

    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of each layer's outputs set to zero while training (Srivastava et al. 2014)."""

    dropout_per_sequence: bool = False
    """Set the same outputs to zero in all frames of an utterance (Gal and Ghahramani 2016)."""

    init: InitConfig = InitConfig()
    """First weights."""

    start_state: StartKind = StartKind.ZERO
    """What each layer remembers before the first frame: `zero`, or `learned`."""

    @field_validator("hidden", mode="before")
    @classmethod
    def _are_sizes(cls, value: Any) -> Any:
        sizes = value if isinstance(value, list | tuple) else [value]
        if not sizes or not all(_is_size(size) for size in sizes):
            raise ValueError(
                f"give the units of every layer, at least {_LEAST_UNITS}, as in 256, or a list "
                f"with a number for each, as in [256, 128]"
            )
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.maps == () or min(self.maps if isinstance(self.maps, tuple) else [self.maps]) < 1:
            raise ValueError(
                f"maps {self.maps}: give a number above 0, or a list of them, one for each "
                f"convolution, as in [16, 32, 48, 64]"
            )
        if isinstance(self.hidden, tuple) and len(self.hidden) != self.layers:
            raise ValueError(
                f"hidden has {len(self.hidden)} sizes, but layers is {self.layers}; give one size "
                f"for each layer"
            )
        if any(not 1 <= number < self.layers for number in self.reduce_after) or list(
            self.reduce_after
        ) != sorted(set(self.reduce_after)):
            raise ValueError(
                f"reduce_after {list(self.reduce_after)}: give rising numbers of layers, from 1 to "
                f"the last but one of {self.layers}; frames are reduced between two layers"
            )
        if self.skip is SkipKind.RESIDUAL and len(set(self.output_sizes)) > 1:
            raise ValueError(
                f"skip residual adds layers of one size, but hidden is {list(self.hidden_sizes)}; "
                f"give one number, or set projection"
            )
        if self.cell is not CellKind.LSTM and self.init.forget_bias != InitConfig().forget_bias:
            raise ValueError(
                f"init.forget_bias is the LSTM's; cell {self.cell} has no forget gate, leave it out"
            )
        return self

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer."""
        return self.hidden if isinstance(self.hidden, tuple) else (self.hidden,) * self.layers

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Values that each layer gives in a frame, after its projection."""
        if self.projection is not None:
            return (self.projection,) * self.layers
        width = 2 if self.directions is Directions.BOTH else 1
        return tuple(width * hidden for hidden in self.hidden_sizes)

    @property
    def frames_per_output(self) -> int:
        """Feature frames per frame of the encoder's output, all reductions counted."""
        return int(self.stride * _FRAMES_REDUCED ** len(self.reduce_after))

    def num_frames(self, num_features_frames: int) -> int:
        """Return T', the encoder frames that T feature frames become."""
        return -(-num_features_frames // self.frames_per_output)


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and float(value).is_integer() and value >= _LEAST_UNITS


class Encoder(nn.Module):
    """Features to a sequence of hidden vectors.

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,) in 0..T.
        returns: (B, T', output_size), zero beyond each length; (B,) lengths in 0..T'.
    """

    def __init__(self, config: EncoderConfig, num_features: int) -> None:
        super().__init__()
        self.subsampling: (
            FrameStacking | StridedConvolution | SpectralConvolution | PoolingConvolution
        )
        if config.subsampling is SubsamplingKind.STACK:
            self.subsampling = FrameStacking(num_features, config.stride)
        elif config.subsampling is SubsamplingKind.CONV2D and isinstance(config.maps, tuple):
            self.subsampling = PoolingConvolution(
                num_features, config.stride, config.channels, config.maps
            )
        elif config.subsampling is SubsamplingKind.CONV2D:
            assert isinstance(config.maps, int)
            self.subsampling = SpectralConvolution(
                num_features, config.stride, config.channels, config.maps
            )
        else:
            self.subsampling = StridedConvolution(num_features, config.stride, config.channels)
        self.skip = config.skip
        self.reduce_after = frozenset(config.reduce_after)
        self.layers = nn.ModuleList()
        self.projections = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.sizes: list[int] = []  # of what each layer gives; see `layer_outputs`
        size, gathered_size = self.subsampling.output_size, 0
        for number, (hidden, output_size) in enumerate(
            zip(config.hidden_sizes, config.output_sizes, strict=True), start=1
        ):
            layer = RecurrentLayer(
                size,
                hidden,
                cell=config.cell,
                directions=config.directions,
                init=config.init,
                start=config.start_state,
            )
            self.layers.append(layer)
            self.projections.append(
                nn.Identity()
                if config.projection is None
                else nn.Linear(layer.output_size, config.projection)
            )
            self.norms.append(nn.LayerNorm(output_size) if config.layer_norm else nn.Identity())
            size = size + output_size if self.skip is SkipKind.DENSE else output_size
            gathered_size += output_size
            self.sizes.append(size)
            if number in self.reduce_after:
                size, gathered_size = size * _FRAMES_REDUCED, gathered_size * _FRAMES_REDUCED
        if self.skip is SkipKind.TO_OUTPUT:
            self.sizes[-1] = gathered_size
        self.output_size = self.sizes[-1]
        self.dropout: nn.Module = Dropout(config.dropout)
        if config.dropout_per_sequence:
            self.dropout = SequenceDropout(config.dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode; see the class for shapes."""
        return deque(self.layer_outputs(features, lengths), maxlen=1).pop()  # no other is kept

    def layer_outputs(
        self, features: Tensor, lengths: Tensor, *, gradient_frames: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what each layer gives, and its lengths; the last is the encoder's output.

        A layer's frames are given as they are before they are reduced.

        Args:
            features: see the class.
            lengths: see the class.
            gradient_frames: cut the gradient between segments of so many frames of the encoder's
                output, forwards only; what is given stays the same.
        """
        if features.shape[1] == 0:  # an empty recording alone; torch's layers refuse it
            yield from ((features.new_zeros(len(features), 0, n), lengths) for n in self.sizes)
            return

        def run(number: int, hidden: Tensor, lengths: Tensor) -> Tensor:
            cut = gradient_frames
            if cut is not None:
                cut *= _FRAMES_REDUCED ** sum(after >= number for after in self.reduce_after)
            output: Tensor = self._layer(number)(hidden, lengths, gradient_frames=cut)
            return output

        hidden, lengths = self.subsampling(features, lengths)
        yield from self._stack(hidden, lengths, run)

    def advance(self, hidden: Tensor, states: list[State | None]) -> Tensor:
        """Go on by some subsampled frames from where another call ended; forwards only.

        Args:
            hidden: (B, t, F) what `subsampling` gave; t a multiple of `frames_reduced` in all calls
                but the last.
            states: of each layer, None before the first call; replaced by those after the last
                frame.

        Returns:
            (B, ceil(t / frames_reduced), output_size).
        """

        def run(number: int, hidden: Tensor, _: Tensor) -> Tensor:
            output, states[number - 1] = self._layer(number).advance(hidden, states[number - 1])
            return output

        lengths = torch.full((len(hidden),), hidden.shape[1], device=hidden.device)
        output, _ = deque(self._stack(hidden, lengths, run), maxlen=1).pop()
        return output

    @property
    def frames_reduced(self) -> int:
        """Subsampled frames per frame of the output."""
        return int(_FRAMES_REDUCED ** len(self.reduce_after))

    def _layer(self, number: int) -> RecurrentLayer:
        layer = self.layers[number - 1]
        assert isinstance(layer, RecurrentLayer)
        return layer

    def _stack(
        self, hidden: Tensor, lengths: Tensor, run: Callable[[int, Tensor, Tensor], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what each layer makes of subsampled frames; `run` takes them through its cells."""
        valid = padding_mask(lengths, hidden.shape[1])[..., None]
        gathered = hidden[..., :0]
        for number, (projection, norm) in enumerate(
            zip(self.projections, self.norms, strict=True), start=1
        ):
            output = run(number, hidden, lengths)
            output = _silence(self.dropout(norm(projection(output))), valid)
            hidden = self._pass_on(number, hidden, output)
            if self.skip is SkipKind.TO_OUTPUT:
                gathered = torch.cat([gathered, output], dim=-1)
                if number == len(self.layers):
                    hidden = gathered
            yield hidden, lengths
            if number in self.reduce_after:
                gathered, _ = stack_frames(gathered, lengths, _FRAMES_REDUCED)
                hidden, lengths = stack_frames(hidden, lengths, _FRAMES_REDUCED)
                valid = padding_mask(lengths, hidden.shape[1])[..., None]

    def _pass_on(self, number: int, given: Tensor, output: Tensor) -> Tensor:
        """Return what follows layer `number`, which was given one and put out the other."""
        match self.skip:
            case SkipKind.DENSE:
                return torch.cat([given, output], dim=-1)
            case SkipKind.RESIDUAL if number > 1 and number - 1 not in self.reduce_after:
                return given + output
            case _:
                return output


def _silence(output: Tensor, valid: Tensor) -> Tensor:
    """Return (B, T, F) with zeros where (B, T, 1) says so; in place where nobody looks back."""
    return output * valid if torch.is_grad_enabled() else output.mul_(valid)
