import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models.encoder import Encoder, EncoderConfig
from ctcasr.models.subsampling import SubsamplingKind


def make(**values) -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderConfig(**{"layers": 2, "hidden": 4, "channels": 8} | values), 5)


@given(stride=st.integers(1, 8), frames=st.integers(0, 40), kind=st.sampled_from(SubsamplingKind))
def test_encoder_frames_are_those_the_config_promises(stride, frames, kind):
    encoder = make(stride=stride, subsampling=kind, layers=1)
    features = torch.randn(1, frames, 5)

    output, lengths = encoder(features, torch.tensor([frames]))

    assert output.shape == (1, encoder_frames := -(-frames // stride), 8)
    assert lengths.tolist() == [encoder_frames]
    assert EncoderConfig(stride=stride).num_frames(frames) == encoder_frames


def test_hidden_vectors_beyond_a_length_are_zero():
    output, lengths = make(stride=2)(torch.randn(2, 9, 5), torch.tensor([9, 4]))

    assert lengths.tolist() == [5, 2]
    assert output[1, :2].any()
    assert not output[1, 2:].any()


def test_dropout_acts_in_training_only():
    encoder = make(dropout=0.5)
    features, lengths = torch.randn(1, 12, 5), torch.tensor([12])

    assert not torch.equal(encoder(features, lengths)[0], encoder(features, lengths)[0])
    encoder.eval()
    assert torch.equal(encoder(features, lengths)[0], encoder(features, lengths)[0])


@pytest.mark.parametrize("kind", SubsamplingKind)
def test_both_directions_see_the_whole_utterance(kind):
    encoder = make(subsampling=kind, layers=1, dropout=0).eval()
    features = torch.randn(1, 30, 5, requires_grad=True)

    output, _ = encoder(features, torch.tensor([30]))
    gradient = torch.autograd.grad(output[0, 5].sum(), features)[0]

    assert (gradient.abs().sum(-1) > 0).all()
