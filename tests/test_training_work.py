"""The plain network that bench_training and bench_gpu compare with is ours, written otherwise."""

import pytest
import torch

from benchmarks.training_work import PlainNetwork, Tally, plain_weights, stack_frames
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from ctcasr.models.subsampling import FrameStacking

NUM_FEATURES, NUM_LABELS = 5, 4


def make_both(encoder):
    torch.manual_seed(0)
    ours = Network(encoder, num_features=NUM_FEATURES, num_labels=NUM_LABELS)
    plain = PlainNetwork(
        num_features=NUM_FEATURES,
        num_labels=NUM_LABELS,
        stride=encoder.stride,
        layers=encoder.layers,
        hidden=encoder.hidden_sizes[0],
        dropout=encoder.dropout,
    )
    plain.load_state_dict(plain_weights(ours.state_dict()))
    return ours.double().eval(), plain.double().eval()


def test_plain_network_with_our_weights_gives_our_logits():
    ours, plain = make_both(EncoderConfig(stride=3, layers=3, hidden=6))
    lengths = torch.tensor([7, 12, 1])
    features = torch.randn(3, 12, NUM_FEATURES, dtype=torch.float64)
    features *= (torch.arange(12) < lengths[:, None])[..., None]

    expected, expected_lengths = ours(features, lengths)
    logits, frames = plain(features, lengths)

    assert frames.tolist() == expected_lengths.tolist() == [3, 4, 1]
    for row, length in enumerate(frames):
        torch.testing.assert_close(logits[row, :length], expected[row, :length])


def test_weights_of_another_network_have_no_plain_names():
    other = Network(
        EncoderConfig(subsampling="conv"), num_features=NUM_FEATURES, num_labels=NUM_LABELS
    )

    with pytest.raises(ValueError, match=r"encoder\.subsampling"):
        plain_weights(other.state_dict())


@pytest.mark.parametrize("num_frames", [1, 6, 7])
def test_frames_are_stacked_as_in_the_encoder(num_frames):
    features = torch.randn(2, num_frames, NUM_FEATURES)

    expected, _ = FrameStacking(NUM_FEATURES, 3)(features, torch.tensor([num_frames, 1]))

    torch.testing.assert_close(stack_frames(features, 3), expected)


def test_tally_counts_padding_and_the_loss_of_each_label():
    tally = Tally(sample_rate=10)
    tally.add([10, 30], loss=6.0, num_labels=2)
    tally.add([40], loss=3.0, num_labels=4)

    done = tally.finish()

    assert done.padding == pytest.approx(20 / 100)
    assert done.loss == pytest.approx(9 / 6)
    assert done.steps == 2
