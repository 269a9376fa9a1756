import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ctcasr.models.lengths import padding_mask
from ctcasr.models.recurrent import BidirectionalLstm

LENGTHS = torch.tensor([7, 1, 4, 6])


def packed_twin(layer: BidirectionalLstm) -> nn.LSTM:
    """nn.LSTM of both directions with the same weights."""
    twin = nn.LSTM(
        layer.forwards.input_size,
        layer.forwards.hidden_size,
        batch_first=True,
        bidirectional=True,
        dtype=torch.float64,
    )
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


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return BidirectionalLstm(5, 3).double()


def test_layer_equals_torch_on_packed_input(layer):
    features = torch.randn(4, 7, 5, dtype=torch.float64)
    valid = padding_mask(LENGTHS, 7)[..., None]

    own = layer(features, LENGTHS) * valid

    torch.testing.assert_close(own, run_packed(packed_twin(layer), features), rtol=0, atol=1e-14)


def test_gradients_equal_torch_on_packed_input(layer):
    twin = packed_twin(layer)
    own_input = torch.randn(4, 7, 5, dtype=torch.float64, requires_grad=True)
    twin_input = own_input.detach().clone().requires_grad_()
    weight = torch.randn(4, 7, 6, dtype=torch.float64) * padding_mask(LENGTHS, 7)[..., None]

    (layer(own_input, LENGTHS) * weight).sum().backward()
    (run_packed(twin, twin_input) * weight).sum().backward()

    torch.testing.assert_close(own_input.grad, twin_input.grad, rtol=0, atol=1e-13)
    for direction, suffix in ((layer.forwards, ""), (layer.backwards, "_reverse")):
        for name, parameter in direction.named_parameters():
            other = getattr(twin, f"{name}{suffix}")
            torch.testing.assert_close(parameter.grad, other.grad, rtol=0, atol=1e-12)


def test_what_lies_beyond_a_length_never_matters(layer):
    features = torch.randn(4, 7, 5, dtype=torch.float64)
    valid = padding_mask(LENGTHS, 7)[..., None]
    soiled = torch.where(valid, features, 1e6)

    assert torch.equal(layer(features, LENGTHS) * valid, layer(soiled, LENGTHS) * valid)


def test_gates_start_orthogonal_and_the_forget_gate_open():
    layer = BidirectionalLstm(6, 4)

    for lstm in (layer.forwards, layer.backwards):
        weights = dict(lstm.named_parameters())
        for gate in torch.split(weights["weight_hh_l0"].detach(), 4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4), rtol=0, atol=1e-6)
        bias = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).tolist()
        assert bias == [0] * 4 + [1] * 4 + [0] * 8
