import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ctcasr.models.lengths import padding_mask
from ctcasr.models.recurrent import CellKind, Directions, RecurrentLayer, StartKind

LENGTHS = torch.tensor([7, 1, 4, 6])
FRAMES, FEATURES, HIDDEN = 7, 5, 3


def make(cell=CellKind.LSTM, directions=Directions.BOTH, *, start=StartKind.ZERO):
    """A layer in float64 whose weights, biases and start states are all different."""
    torch.manual_seed(0)
    layer = RecurrentLayer(FEATURES, HIDDEN, cell=cell, directions=directions, start=start)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def make_features():
    torch.manual_seed(1)
    return torch.randn(4, FRAMES, FEATURES, dtype=torch.float64)


def weighting(layer):
    """Something to sum an output with, so that every value counts differently; no padding."""
    torch.manual_seed(2)
    weight = torch.randn(4, FRAMES, layer.output_size, dtype=torch.float64)
    return weight * padding_mask(LENGTHS, FRAMES)[..., None]


def gradients_of(layer, output):
    layer.zero_grad()
    (output * weighting(layer)).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}


# The equations of each cell, one frame after the other


def step_by_step(cell, weights, frames, start, *, cut_every=None):
    """Outputs (T, H) for frames (T, F) by the textbook, one vector product at a time.

    `cut_every` frames, the state that is carried on is taken for a constant.
    """
    input_gates = weights["weight_ih_l0"].split(HIDDEN)
    state_gates = weights["weight_hh_l0"].split(HIDDEN)
    input_biases = weights["bias_ih_l0"].split(HIDDEN)
    state_biases = weights["bias_hh_l0"].split(HIDDEN)
    sigmoid, tanh = torch.sigmoid, torch.tanh
    h, c = start
    outputs = []
    for t, x in enumerate(frames):
        if cut_every is not None and t % cut_every == 0 and t > 0:
            h, c = h.detach(), c.detach()
        from_input = [w @ x + b for w, b in zip(input_gates, input_biases, strict=True)]
        from_state = [w @ h + b for w, b in zip(state_gates, state_biases, strict=True)]
        match cell:
            case CellKind.RNN_TANH:
                h = tanh(from_input[0] + from_state[0])
            case CellKind.RNN_RELU:
                h = (from_input[0] + from_state[0]).clamp(min=0)
            case CellKind.GRU:
                reset = sigmoid(from_input[0] + from_state[0])
                update = sigmoid(from_input[1] + from_state[1])
                new = tanh(from_input[2] + reset * from_state[2])
                h = (1 - update) * new + update * h
            case CellKind.LSTM:
                let_in = sigmoid(from_input[0] + from_state[0])
                keep = sigmoid(from_input[1] + from_state[1])
                new = tanh(from_input[2] + from_state[2])
                let_out = sigmoid(from_input[3] + from_state[3])
                c = keep * c + let_in * new
                h = let_out * tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


def start_of(layer, name):
    learned = getattr(layer, f"start_{name}")
    zero = torch.zeros(HIDDEN, dtype=torch.float64)
    if learned is None:
        return zero, zero
    return learned.hidden, zero if learned.cell is None else learned.cell


def run_step_by_step(cell, layer, features, *, cut_every=None):
    """The layer's output (B, T, output size), zero beyond each length, by the textbook."""
    rows = []
    for utterance, length in zip(features, LENGTHS.tolist(), strict=True):
        frames = utterance[:length]
        weights = dict(layer.forwards.named_parameters())
        start = start_of(layer, "forwards")
        output = step_by_step(cell, weights, frames, start, cut_every=cut_every)
        if layer.backwards is not None:
            weights = dict(layer.backwards.named_parameters())
            start = start_of(layer, "backwards")
            behind = step_by_step(cell, weights, frames.flip(0), start).flip(0)
            output = torch.cat([output, behind], dim=-1)
        rows.append(nn.functional.pad(output, (0, 0, 0, FRAMES - length)))
    return torch.stack(rows)


@pytest.mark.parametrize("start", StartKind)
@pytest.mark.parametrize("directions", Directions)
@pytest.mark.parametrize("cell", CellKind)
def test_each_cell_agrees_with_its_textbook_equations(cell, directions, start):
    layer = make(cell, directions, start=start)
    own_input = make_features().requires_grad_()
    textbook_input = make_features().requires_grad_()
    valid = padding_mask(LENGTHS, FRAMES)[..., None]

    own = layer(own_input, LENGTHS) * valid
    textbook = run_step_by_step(cell, layer, textbook_input)
    own_gradients = gradients_of(layer, own)
    textbook_gradients = gradients_of(layer, textbook)

    torch.testing.assert_close(own, textbook, rtol=0, atol=1e-14)
    torch.testing.assert_close(own_input.grad, textbook_input.grad, rtol=0, atol=1e-13)
    assert own_gradients.keys() == textbook_gradients.keys()
    for name, gradient in own_gradients.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradient, textbook_gradients[name], rtol=0, atol=1e-12)


# torch on packed input


def packed_twin(layer: RecurrentLayer) -> nn.LSTM:
    """nn.LSTM of both directions with the same weights."""
    twin = nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True, dtype=torch.float64)
    assert layer.backwards is not None
    with torch.no_grad():
        for name, parameter in layer.forwards.named_parameters():
            getattr(twin, name).copy_(parameter)
        for name, parameter in layer.backwards.named_parameters():
            getattr(twin, f"{name}_reverse").copy_(parameter)
    return twin


def run_packed(twin: nn.LSTM, features):
    packed = pack_padded_sequence(features, LENGTHS, batch_first=True, enforce_sorted=False)
    output, _ = pad_packed_sequence(twin(packed)[0], batch_first=True)
    return output


def test_layer_equals_torch_on_packed_input():
    layer, features = make(), make_features()
    valid = padding_mask(LENGTHS, FRAMES)[..., None]

    own = layer(features, LENGTHS) * valid

    torch.testing.assert_close(own, run_packed(packed_twin(layer), features), rtol=0, atol=1e-14)


def test_gradients_equal_torch_on_packed_input():
    layer = make()
    twin = packed_twin(layer)
    own_input, twin_input = make_features().requires_grad_(), make_features().requires_grad_()

    (layer(own_input, LENGTHS) * weighting(layer)).sum().backward()
    (run_packed(twin, twin_input) * weighting(layer)).sum().backward()

    torch.testing.assert_close(own_input.grad, twin_input.grad, rtol=0, atol=1e-13)
    for direction, suffix in ((layer.forwards, ""), (layer.backwards, "_reverse")):
        for name, parameter in direction.named_parameters():
            other = getattr(twin, f"{name}{suffix}")
            torch.testing.assert_close(parameter.grad, other.grad, rtol=0, atol=1e-12)


# Batches


@pytest.mark.parametrize("cell", CellKind)
@pytest.mark.parametrize("directions", Directions)
def test_what_lies_beyond_a_length_never_matters(cell, directions):
    layer, features = make(cell, directions), make_features()
    valid = padding_mask(LENGTHS, FRAMES)[..., None]
    soiled = torch.where(valid, features, 1e6)

    assert torch.equal(layer(features, LENGTHS) * valid, layer(soiled, LENGTHS) * valid)


@pytest.mark.parametrize("cell", CellKind)
def test_a_layer_that_reads_forwards_never_looks_ahead(cell):
    layer, features = make(cell, Directions.FORWARDS), make_features()
    other = features.clone()
    other[:, 4:] = 9.0

    assert torch.equal(layer(features, LENGTHS)[:, :4], layer(other, LENGTHS)[:, :4])
    assert not torch.equal(layer(features, LENGTHS)[:, 4:], layer(other, LENGTHS)[:, 4:])


def test_a_start_state_to_be_learned_changes_nothing_at_first():
    torch.manual_seed(0)
    fixed = RecurrentLayer(FEATURES, HIDDEN)
    torch.manual_seed(0)
    learned = RecurrentLayer(FEATURES, HIDDEN, start=StartKind.LEARNED)
    features = make_features().float()

    assert torch.equal(fixed(features, LENGTHS), learned(features, LENGTHS))


# Truncated gradients


@pytest.mark.parametrize("cell", CellKind)
@pytest.mark.parametrize("gradient_frames", [1, 2, 3, 6])
def test_only_the_gradient_is_cut_and_where_it_is_said(cell, gradient_frames):
    layer = make(cell, Directions.FORWARDS, start=StartKind.LEARNED)
    features = make_features()
    valid = padding_mask(LENGTHS, FRAMES)[..., None]

    whole = layer(features, LENGTHS) * valid
    cut = layer(features, LENGTHS, gradient_frames=gradient_frames) * valid
    textbook = run_step_by_step(cell, layer, features, cut_every=gradient_frames)
    uncut_gradients = gradients_of(layer, whole)
    cut_gradients = gradients_of(layer, cut)
    textbook_gradients = gradients_of(layer, textbook)

    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-14)
    recurrent = "forwards.weight_hh_l0"
    assert not torch.allclose(cut_gradients[recurrent], uncut_gradients[recurrent], rtol=1e-3)
    for name, gradient in cut_gradients.items():
        torch.testing.assert_close(gradient, textbook_gradients[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CellKind)
@pytest.mark.parametrize("gradient_frames", [FRAMES, FRAMES + 1, 100])
def test_a_cut_as_long_as_the_sequence_is_none(cell, gradient_frames):
    layer, features = make(cell, Directions.FORWARDS), make_features()

    whole = gradients_of(layer, layer(features, LENGTHS))
    cut = gradients_of(layer, layer(features, LENGTHS, gradient_frames=gradient_frames))

    assert all(torch.equal(gradient, cut[name]) for name, gradient in whole.items())


# Number formats


@pytest.mark.parametrize("start", StartKind)
@pytest.mark.parametrize("cell", CellKind)
def test_every_cell_runs_in_bf16(cell, start):
    layer = make(cell, start=start).float()
    features = make_features().float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(features, LENGTHS)
    output.float().sum().backward()

    valid = padding_mask(LENGTHS, FRAMES)[..., None]
    torch.testing.assert_close(
        output.float() * valid, layer(features, LENGTHS) * valid, rtol=0.05, atol=0.05
    )
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
