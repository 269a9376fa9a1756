import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models import long_sequences
from ctcasr.models.encoder import Encoder, EncoderConfig
from ctcasr.models.long_sequences import is_long, map_pieces, pieces_of
from ctcasr.models.subsampling import SubsamplingKind


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    """Take more than 40 frames for long, and 20 for a piece."""
    monkeypatch.setattr(long_sequences, "LONG_FRAMES", 40)


def encode_both_ways(num_frames, **values):
    """Outputs of a random encoder over one utterance: piece by piece, and whole."""
    torch.manual_seed(0)
    config = EncoderConfig(**{"layers": 2, "hidden": 6, "channels": 8, "maps": 2} | values)
    encoder = Encoder(config, 7).eval().double()
    features = torch.randn(1, num_frames, 7, dtype=torch.float64)
    lengths = torch.tensor([num_frames])
    whole, sizes = encoder(features, lengths)  # gradients are wanted, so it goes in one
    with torch.inference_mode():
        pieces, same_sizes = encoder(features, lengths)
    assert torch.equal(sizes, same_sizes)
    return pieces, whole.detach()


@pytest.mark.parametrize("kind", SubsamplingKind)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("num_frames", [41, 60, 100, 137])
def test_pieces_give_what_the_whole_gives(kind, stride, num_frames):
    pieces, whole = encode_both_ways(num_frames, subsampling=kind, stride=stride)

    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        {"directions": "forwards"},
        {"cell": "gru"},
        {"cell": "rnn_tanh", "start_state": "learned"},
        {"start_state": "learned"},
        {"skip": "residual", "layers": 3},
        {"skip": "dense"},
        {"skip": "to_output"},
        {"reduce_after": (1,)},
        {"projection": 5, "layer_norm": True},
        {"subsampling": "conv2d", "maps": (2, 3, 4)},
        {"subsampling": "conv2d", "maps": (2, 3, 4), "stride": 4},
    ],
)
def test_pieces_give_what_the_whole_gives_for_every_kind_of_encoder(values):
    pieces, whole = encode_both_ways(150, **{"stride": 2} | values)

    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "num_frames", "length", "grad", "long"),
    [
        (1, 41, 41, False, True),
        (1, 40, 40, False, False),
        (2, 41, 41, False, False),
        (1, 41, 41, True, False),
        (1, 41, 39, False, False),
    ],
)
def test_one_long_utterance_without_gradients_goes_piece_by_piece(
    batch, num_frames, length, grad, long
):
    frames, lengths = torch.zeros(batch, num_frames, 2), torch.full((batch,), length)
    with torch.set_grad_enabled(grad):
        assert is_long(frames, lengths) is long


@given(num_frames=st.integers(0, 200), multiple=st.integers(1, 8))
def test_pieces_cover_every_frame_once(num_frames, multiple):
    pieces = list(pieces_of(num_frames, multiple_of=multiple))

    assert [t for start, end in pieces for t in range(start, end)] == list(range(num_frames))
    assert all((end - start) % multiple == 0 for start, end in pieces[:-1])


@given(num_frames=st.integers(1, 120), stride=st.integers(1, 4))
def test_a_function_of_neighbours_is_the_same_piece_by_piece(num_frames, stride):
    torch.manual_seed(num_frames)
    frames = torch.randn(1, num_frames, 2, dtype=torch.float64)

    def around(some):
        total = torch.nn.functional.pad(some, (0, 0, stride, stride)).unfold(1, 2 * stride + 1, 1)
        return total.sum(-1)[:, ::stride]

    pieces = map_pieces(around, frames, stride=stride, halo=stride)

    torch.testing.assert_close(pieces, around(frames))
