import pytest
import torch
from torch import nn

from ctcasr.models.initialisation import InitConfig, WeightInit, draw_weights
from ctcasr.models.recurrent import CellKind, RecurrentLayer

UNITS, INPUTS = 300, 200
VARIANCES = {
    WeightInit.XAVIER: 2 / (UNITS + INPUTS),
    WeightInit.HE: 2 / INPUTS,
    WeightInit.LECUN: 1 / INPUTS,
    WeightInit.ORTHOGONAL: 1 / UNITS,  # columns of length 1
}


def weights_of(layer: RecurrentLayer) -> list[dict[str, nn.Parameter]]:
    """The weights of each direction, by name."""
    directions = [r for r in (layer.forwards, layer.backwards) if r is not None]
    return [dict(recurrence.named_parameters()) for recurrence in directions]


def drawn(kind, *, units=UNITS, inputs=INPUTS):
    torch.manual_seed(0)
    matrix = torch.empty(units, inputs)
    draw_weights(matrix, kind)
    return matrix


@pytest.mark.parametrize("kind", VARIANCES)
def test_weights_have_the_variance_their_name_promises(kind):
    matrix = drawn(kind)

    assert matrix.var().item() == pytest.approx(VARIANCES[kind], rel=0.02)
    assert matrix.mean().item() == pytest.approx(0, abs=5e-4)


@pytest.mark.parametrize("kind", [WeightInit.ORTHOGONAL, WeightInit.IDENTITY])
def test_a_state_keeps_its_length_through_orthogonal_weights(kind):
    matrix = drawn(kind, units=40, inputs=40)

    torch.testing.assert_close(matrix @ matrix.T, torch.eye(40), rtol=0, atol=1e-5)
    assert (kind is WeightInit.IDENTITY) == torch.equal(matrix, torch.eye(40))


@pytest.mark.parametrize("cell", CellKind)
@pytest.mark.parametrize("kind", [WeightInit.XAVIER, WeightInit.HE, WeightInit.LECUN])
def test_each_gate_is_drawn_as_a_layer_of_its_own(cell, kind):
    torch.manual_seed(0)
    layer = RecurrentLayer(INPUTS, UNITS, cell=cell, init=InitConfig(input=kind, recurrent=kind))
    from_state = {
        WeightInit.XAVIER: 1 / UNITS,
        WeightInit.HE: 2 / UNITS,
        WeightInit.LECUN: 1 / UNITS,
    }

    for weights in weights_of(layer):
        for gate in weights["weight_ih_l0"].detach().split(UNITS):
            assert gate.var().item() == pytest.approx(VARIANCES[kind], rel=0.02)
        for gate in weights["weight_hh_l0"].detach().split(UNITS):
            assert gate.var().item() == pytest.approx(from_state[kind], rel=0.02)


@pytest.mark.parametrize("cell", CellKind)
def test_without_a_choice_recurrent_gates_start_orthogonal(cell):
    layer = RecurrentLayer(6, 4, cell=cell)

    for weights in weights_of(layer):
        for gate in weights["weight_hh_l0"].detach().split(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("forget_bias", [1.0, 0.0, 2.5])
def test_biases_start_at_zero_but_for_the_forget_gate(forget_bias):
    layer = RecurrentLayer(6, 4, init=InitConfig(forget_bias=forget_bias))

    for weights in weights_of(layer):
        bias = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).tolist()
        assert bias == [0] * 4 + [forget_bias] * 4 + [0] * 8


@pytest.mark.parametrize("cell", [CellKind.GRU, CellKind.RNN_TANH, CellKind.RNN_RELU])
def test_cells_without_a_forget_gate_start_with_no_bias(cell):
    layer = RecurrentLayer(6, 4, cell=cell)

    for name, parameter in layer.named_parameters():
        if "bias" in name:
            assert not parameter.any(), name


def test_a_relu_network_that_starts_as_the_identity_adds_up_what_it_hears():
    init = InitConfig(recurrent=WeightInit.IDENTITY)
    layer = RecurrentLayer(4, 4, cell=CellKind.RNN_RELU, init=init)
    nn.init.eye_(weights_of(layer)[0]["weight_ih_l0"])
    frames = torch.rand(1, 9, 4)

    output = layer(frames, torch.tensor([9]))[..., :4]

    torch.testing.assert_close(output, frames.cumsum(1))
