"""Attention decoder: writes one label after another, looking at the encoder's frames each time.

    x_u = [embedding of label u - 1; h~_{u-1}]        what was decided is fed back (input feeding)
    s_u = LSTM layers (x_u)
    a_u = weights over the frames, from s_u (attention_scores.py);  c_u = sum_t a_ut frame_t
    h~_u = tanh(W [c_u; s_u]);  p(label u | labels before) = softmax(O h~_u)

Beside the labels it writes one symbol of its own, the end, and reads another, the start; neither is
in the CTC alphabet, and blank is never written. Labels are V columns, as those of the CTC head, the
end is column V. An utterance's output does not depend on its neighbours in the batch.
tests/test_attention.py holds value and gradient of a training step against a loop in plain
operations.

Sources: Bahdanau et al. 2015, arXiv:1409.0473; Luong et al. 2015, arXiv:1508.04025, section 3.3
(input feeding); Chan et al. 2016, "Listen, attend and spell"; Bengio et al. 2015, arXiv:1506.03099
(scheduled sampling); Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech
recognition", section II-C (the share of each in the loss).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from ctcasr.models.attention_scores import (
    AdditiveScore,
    AttentionKind,
    DotScore,
    LocationScore,
    masked_softmax,
)
from ctcasr.models.initialisation import InitConfig, initialise
from ctcasr.models.lengths import padding_mask
from ctcasr.models.step_matrix import StepMatrix
from ctcasr.settings import Section

END_SYMBOL, START_SYMBOL = "</s>", "<s>"
"""What the columns beside the labels stand for."""
_EMBEDDING_RANGE = 0.1


class AttentionHeadConfig(Section):
    """The attention decoder and its loss. Section `heads.attention`."""

    weight: float = Field(0.0, ge=0)
    """Of its loss, in nats per label, in what is minimised. At 0 the model has no such decoder. As
    in Watanabe et al. 2017, give 1 - lambda here and lambda to `heads.ctc.weight`."""

    kind: AttentionKind = AttentionKind.LOCATION
    """How frames are scored: `dot`, `additive`, or `location`, which also sees where it looked for
    the label before."""

    size: int = Field(128, ge=1)
    """Numbers by which a frame and the decoder's state are compared."""

    channels: int = Field(10, ge=1)
    """Filters over where it looked before, of `location`."""

    reach: int = Field(15, ge=0)
    """Frames that these see on either side."""

    embedding: int = Field(64, ge=1)
    """Numbers that stand for the label before."""

    hidden: int = Field(256, ge=1)
    """LSTM units per layer."""

    layers: int = Field(1, ge=1)
    """LSTM layers."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the values set to zero while training: of what each layer reads, and before the
    output."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is spread over all labels and the end (Szegedy et al. 2016)."""

    sampling: float = Field(0.0, ge=0, le=1)
    """Share of the labels read while training that the decoder drew itself, in place of the right
    ones (scheduled sampling); it rises from 0 until `ramp`."""

    first_ctc_share: float | None = Field(None, ge=0, le=1)
    """Share of CTC in the two losses' weight at the beginning, from where it goes to that of the
    weights until `ramp`: 1 lets CTC find the alignment first. Without it the weights stay."""

    ramp: float = Field(0.5, gt=0, le=1)
    """Share of the run after which both have what is asked for."""

    @property
    def is_present(self) -> bool:
        """Whether the model has this head."""
        return self.weight > 0

    def sampling_at(self, progress: float) -> float:
        """Return the share of labels that it reads of its own, at a share of the run."""
        return self.sampling * min(1.0, progress / self.ramp)

    def joint_weights(self, ctc_weight: float, progress: float) -> tuple[float, float]:
        """Return the weights of the CTC loss and of this one, at a share of the run.

        Args:
            ctc_weight: `heads.ctc.weight`.
            progress: share of the run that is done.
        """
        both = ctc_weight + self.weight
        if self.first_ctc_share is None or ctc_weight == 0 or not self.is_present:
            return ctc_weight, self.weight
        settled = ctc_weight / both
        share = settled + (self.first_ctc_share - settled) * max(0.0, 1 - progress / self.ramp)
        return both * share, both * (1 - share)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the decoder looks at, of B utterances, and weights as its steps take them.

    Made once for all steps; hypotheses of one utterance look at the same frames.

    Attributes:
        keys: (B, T, A) of the frames; values: (B, T, H) what each adds to h~ before its tanh.
        valid: (B, T).
        recurrent: (4H, 2H) of the first layer, for h~ and the state before, side by side.
        combine: (H, H) from the decoder's state to h~.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor
    recurrent: StepMatrix
    combine: StepMatrix

    def of(self, utterances: NDArray[np.int64]) -> "Memory":
        """Return that of some utterances."""
        if len(utterances) == len(self.keys):
            return self
        rows = torch.from_numpy(utterances).to(self.keys.device)
        return replace(self, keys=self.keys[rows], values=self.values[rows], valid=self.valid[rows])


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What the decoder remembers of N hypotheses.

    Attributes:
        hidden, cell: (N, H) of each LSTM layer.
        fed: (N, H) h~ of the step before.
        weights: (N, T) where it looked; zeros before the first step.
        utterances: (N,) which row of `memory` each looks at.
        memory: see there.
    """

    hidden: tuple[Tensor, ...]
    cell: tuple[Tensor, ...]
    fed: Tensor
    weights: Tensor
    utterances: NDArray[np.int64]
    memory: Memory

    def pick(self, rows: NDArray[np.int64]) -> "DecoderState":
        """Return the state of some rows, each as often as it is named."""
        looked_at, utterances = np.unique(self.utterances[rows], return_inverse=True)
        index = torch.from_numpy(rows).to(self.fed.device)
        return DecoderState(
            hidden=tuple(one[index] for one in self.hidden),
            cell=tuple(one[index] for one in self.cell),
            fed=self.fed[index],
            weights=self.weights[index],
            utterances=utterances,
            memory=self.memory.of(looked_at),
        )


class _Beams:
    """N hypotheses as the beams of B utterances, with K places each: K is the fullest beam's."""

    def __init__(self, utterances: NDArray[np.int64], num_utterances: int) -> None:
        counts = np.bincount(utterances, minlength=num_utterances)
        self._shape = (num_utterances, int(counts.max(initial=0)))
        order = np.argsort(utterances, kind="stable")
        first = np.repeat(counts.cumsum() - counts, counts)
        places = np.empty_like(order)
        places[order] = utterances[order] * self._shape[1] + np.arange(len(order)) - first
        is_full = len(places) == math.prod(self._shape)
        in_order = is_full and bool((places == np.arange(len(places))).all())
        self._places = None if in_order else torch.from_numpy(places)

    def seat(self, values: Tensor) -> Tensor:
        """Return (B, K, ...) of (N, ...); empty places hold zeros."""
        shape = (*self._shape, *values.shape[1:])
        if self._places is None:
            return values.reshape(shape)
        places = self._places.to(values.device)
        seats = values.new_zeros(math.prod(self._shape), *values.shape[1:])
        return seats.index_copy(0, places, values).reshape(shape)

    def unseat(self, values: Tensor) -> Tensor:
        """Return (N, ...) of (B, K, ...)."""
        flat = values.flatten(0, 1)
        return flat if self._places is None else flat[self._places.to(flat.device)]


class AttentionDecoder(nn.Module):
    """The decoder; see the head of this file.

    Args:
        config: its sizes.
        input_size: F, values per frame of the encoder's output.
        num_labels: V, labels and blank.
        blank: column of the blank.

    Shape:
        encoded: (B, T, F), anything beyond each length; lengths: (B,) in 0..T.
        labels: (B, U) right-padded; the right ones, read one step late.
        returns: logits (B, U + 1, V + 1) of the label, or end, at each place; blank's are minus
            infinity. Undefined beyond each text's end.
    """

    def __init__(
        self, config: AttentionHeadConfig, *, input_size: int, num_labels: int, blank: int
    ) -> None:
        super().__init__()
        self.blank = blank
        self.end = num_labels
        self.start = num_labels + 1
        hidden, size = config.hidden, config.size
        self.embedding = nn.Embedding(num_labels + 2, config.embedding)
        nn.init.uniform_(self.embedding.weight, -_EMBEDDING_RANGE, _EMBEDDING_RANGE)
        cells = [
            nn.LSTMCell(config.embedding + hidden if number == 0 else hidden, hidden)
            for number in range(config.layers)
        ]
        for cell in cells:
            initialise(cell, InitConfig())
        self.cells = nn.ModuleList(cells)
        self.keys = nn.Linear(input_size, size, bias=False)
        self.score = _make_score(config)
        self.combine = nn.Linear(input_size + hidden, hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(hidden, num_labels + 1)

    def forward(
        self, encoded: Tensor, lengths: Tensor, labels: Tensor, *, sampling: float = 0.0
    ) -> Tensor:
        """Write the labels with the right ones before (teacher forcing); see the class for shapes.

        Args:
            encoded: see the class.
            lengths: see the class.
            labels: see the class.
            sampling: share of the labels, drawn with torch's generator, that are replaced by ones
                that the decoder draws itself.
        """
        start = labels.new_full((len(labels), 1), self.start)
        read = torch.cat([start, labels], dim=1)
        is_own = torch.rand(read.shape, device=read.device) < sampling if sampling > 0 else None
        written: list[Tensor] = []
        with torch.autocast(encoded.device.type, enabled=False):  # its steps are small
            state = self.begin(encoded, lengths)
            entering = self.enter(read).unbind(1)
            for place, gates in enumerate(entering):
                if is_own is not None and written:
                    with torch.no_grad():
                        own = torch.multinomial(self.write(written[-1]).softmax(-1), 1)[:, 0]
                    gates = torch.where(is_own[:, place, None], self.enter(own), gates)
                state = self.advance(state, gates)
                written.append(state.fed)
            return self.write(torch.stack(written, dim=1))

    def begin(self, encoded: Tensor, lengths: Tensor) -> DecoderState:
        """Return the state before the first label of B utterances; see the class for shapes."""
        if encoded.shape[1] == 0:  # a frame beyond every length changes nothing
            encoded = nn.functional.pad(encoded, (0, 0, 0, 1))
        valid = padding_mask(lengths, encoded.shape[1])
        frames = encoded.to(self.keys.weight).masked_fill(~valid[..., None], 0.0)
        hidden = self.combine.out_features
        weight = self.combine.weight
        from_frames, from_state = weight[:, : frames.shape[-1]], weight[:, frames.shape[-1] :]
        cell = self._cell(0)
        memory = Memory(
            keys=self.keys(frames),
            values=frames @ from_frames.T,
            valid=valid,
            recurrent=StepMatrix(torch.cat([cell.weight_ih[:, -hidden:], cell.weight_hh], dim=1)),
            combine=StepMatrix(from_state),
        )
        nothing = frames.new_zeros(len(frames), hidden)
        return DecoderState(
            hidden=(nothing,) * len(self.cells),
            cell=(nothing,) * len(self.cells),
            fed=nothing,
            weights=frames.new_zeros(valid.shape),
            utterances=np.arange(len(frames)),
            memory=memory,
        )

    def enter(self, symbols: Tensor) -> Tensor:
        """Return (..., 4H) what symbols (...), labels or the start, add to the first layer."""
        cell = self._cell(0)
        from_symbol = cell.weight_ih[:, : self.embedding.embedding_dim]
        bias = cell.bias_ih + cell.bias_hh
        return nn.functional.linear(self.dropout(self.embedding(symbols)), from_symbol, bias)

    def advance(self, state: DecoderState, entering: Tensor) -> DecoderState:
        """Return the state after a symbol that each of N hypotheses reads.

        Args:
            state: of the hypotheses.
            entering: (N, 4H) what their symbols add, see `enter`.
        """
        memory = state.memory
        before = torch.cat([self.dropout(state.fed), state.hidden[0]], dim=-1)
        value, remembered = _lstm(entering + memory.recurrent(before), state.cell[0])
        hidden, cell = [value], [remembered]
        for number in range(1, len(self.cells)):
            layer = self._cell(number)
            value, remembered = layer(
                self.dropout(value), (state.hidden[number], state.cell[number])
            )
            hidden.append(value)
            cell.append(remembered)
        beams = _Beams(state.utterances, len(memory.keys))
        scores = self.score(beams.seat(value), memory.keys, beams.seat(state.weights))
        weights = masked_softmax(scores, memory.valid[:, None])
        context = beams.unseat(torch.bmm(weights, memory.values))
        fed = context + memory.combine(value) + self.combine.bias
        return DecoderState(
            hidden=tuple(hidden),
            cell=tuple(cell),
            fed=fed.tanh(),
            weights=beams.unseat(weights),
            utterances=state.utterances,
            memory=memory,
        )

    def write(self, fed: Tensor) -> Tensor:
        """Return logits (..., V + 1) of what follows, of h~ (..., H)."""
        logits: Tensor = self.output(self.dropout(fed))
        is_blank = torch.arange(logits.shape[-1], device=logits.device) == self.blank
        return logits.masked_fill(is_blank, -torch.inf)

    def _cell(self, number: int) -> nn.LSTMCell:
        cell = self.cells[number]
        assert isinstance(cell, nn.LSTMCell)
        return cell


def _lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and cell of an LSTM step, (N, H) each, from its (N, 4H) gates."""
    enter, keep, new, leave = gates.chunk(4, dim=-1)
    cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _make_score(config: AttentionHeadConfig) -> nn.Module:
    match config.kind:
        case AttentionKind.DOT:
            return DotScore(config.hidden, config.size)
        case AttentionKind.ADDITIVE:
            return AdditiveScore(config.hidden, config.size)
        case AttentionKind.LOCATION:
            return LocationScore(
                config.hidden, config.size, channels=config.channels, reach=config.reach
            )


def attention_loss(
    logits: Tensor,
    labels: Tensor,
    label_lengths: Tensor,
    *,
    blank: int,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return each utterance's cross-entropy, in nats, summed over its labels and the end.

    Args:
        logits: (B, U + 1, V + 1), any float type; computed in float32 (float64 stays float64).
        labels: (B, U) right-padded.
        label_lengths: (B,).
        blank: the column that is never written.
        label_smoothing: share of each target that is spread over all columns but blank's.

    Returns:
        (B,).
    """
    if logits.dtype is not torch.float64:
        logits = logits.float()
    places = torch.arange(logits.shape[1], device=logits.device)
    targets = nn.functional.pad(labels, (0, 1))
    end = logits.shape[-1] - 1
    targets = targets.masked_fill(places == label_lengths[:, None], end)  # (B, U + 1)
    is_counted = places <= label_lengths[:, None]
    targets = targets.masked_fill(~is_counted, end)
    log_probs = logits.log_softmax(-1)
    losses = -log_probs.gather(-1, targets[..., None])[..., 0]
    if label_smoothing > 0:
        is_blank = torch.arange(end + 1, device=logits.device) == blank
        spread = -log_probs.masked_fill(is_blank, 0.0).sum(-1) / end
        losses = (1 - label_smoothing) * losses + label_smoothing * spread
    return losses.where(is_counted, 0.0).sum(-1)


class AttentionSteps:
    """The decoder over some recordings, asked step by step: NumPy in and out.

    Args:
        decoder: in evaluation mode.
        encoded: (T, F) frames of each recording, without padding.
    """

    def __init__(self, decoder: AttentionDecoder, encoded: Sequence[Tensor]) -> None:
        self._decoder = decoder
        self._lengths = torch.tensor([len(frames) for frames in encoded])
        self._encoded = nn.utils.rnn.pad_sequence(list(encoded), batch_first=True)
        with torch.inference_mode():
            symbols = torch.arange(decoder.start + 1, device=self._encoded.device)
            self._entering = decoder.enter(symbols)

    @torch.inference_mode()
    def begin(self) -> tuple[Any, NDArray[np.float64]]:
        """Return a state with a row for each recording, and (B, V + 1) logs of what comes first."""
        state = self._decoder.begin(self._encoded, self._lengths.to(self._encoded.device))
        return self._read(state, np.full(len(self._lengths), self._decoder.start))

    @torch.inference_mode()
    def step(
        self, state: Any, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> tuple[Any, NDArray[np.float64]]:
        """Read a label after each of N hypotheses.

        Args:
            state: of the step before.
            rows: (N,) the row of it that each goes on from.
            labels: (N,).

        Returns:
            The state of the N rows, and (N, V + 1) natural logs of what follows; of blank, minus
            infinity.
        """
        return self._read(state.pick(rows), labels)

    @torch.inference_mode()
    def look(self, labels: Sequence[int], *, recording: int = 0) -> NDArray[np.float64]:
        """Return (U + 1, T) where the decoder looks for each label of a recording, and its end."""
        frames = self._encoded[recording : recording + 1, : int(self._lengths[recording])]
        state = self._decoder.begin(
            frames, self._lengths[recording : recording + 1].to(frames.device)
        )
        seen = []
        for symbol in (self._decoder.start, *labels):
            state = self._decoder.advance(state, self._entering[symbol][None])
            seen.append(state.weights[0])
        found: NDArray[np.float64] = torch.stack(seen)[:, : frames.shape[1]].double().cpu().numpy()
        return found

    def _read(
        self, state: DecoderState, symbols: NDArray[np.int64]
    ) -> tuple[Any, NDArray[np.float64]]:
        read = torch.from_numpy(symbols).to(self._encoded.device)
        state = self._decoder.advance(state, self._entering[read])
        return state, self._decoder.write(state.fed).double().log_softmax(-1).cpu().numpy()
