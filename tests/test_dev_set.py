import dataclasses
import math

import pytest
import torch

from ctcasr.errors import AudioError, TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import without_augmentation
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from ctcasr.training.dev_set import DevScores, DevSet
from tests.conftest import tone_alphabet

FRONTEND = FrontendConfig(sample_rate=8_000, num_mels=20)
MEDIUM = without_augmentation(FRONTEND)
ALPHABET = tone_alphabet()


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = EncoderConfig(layers=1, hidden=8, stride=2)
    return Network(config, num_features=20, num_labels=len(ALPHABET)).eval()


def score(items, network, *, batch_frames=300) -> DevScores:
    dev = DevSet(items, frontend=FRONTEND, medium=MEDIUM, batch_frames=batch_frames)
    with torch.inference_mode():
        return dev.score(network, FeatureExtractor(FRONTEND), ALPHABET, torch.device("cpu"))


def always(network, label):
    """Let the network say one label everywhere."""
    with torch.no_grad():
        network.ctc.output.weight.zero_()
        network.ctc.output.bias.zero_()
        network.ctc.output.bias[label] = 50.0
    return network


def test_a_network_that_says_nothing_deletes_everything(tone_items, network):
    scores = score(tone_items, always(network, ALPHABET.blank))

    assert (scores.dev_cer, scores.dev_wer, scores.blank_share) == (1.0, 1.0, 1.0)


def test_errors_are_counted_against_the_transcripts(tone_items, network):
    scores = score(tone_items, always(network, ALPHABET.encode("a")[0]))

    # "a" for each of ab dcb aa cad bd dabc cc bad: 21 letters, a right in ab aa cad dabc bad
    assert scores.dev_cer == pytest.approx((21 - 5) / 21)
    assert scores.dev_wer == 1.0
    assert scores.blank_share == 0.0


def test_scores_do_not_depend_on_batches(tone_items, network):
    one_by_one = score(tone_items, network, batch_frames=1)
    together = score(tone_items[::-1], network, batch_frames=10_000)

    assert together.dev_loss == pytest.approx(one_by_one.dev_loss, rel=1e-5)
    assert together.dev_cer == one_by_one.dev_cer
    assert together.blank_share == one_by_one.blank_share


def test_padding_is_not_decoded(tone_items, network):
    always(network, ALPHABET.encode("a")[0])
    with torch.no_grad():
        for name, parameter in network.encoder.layers.named_parameters():
            if "bias_ih" in name:
                parameter.fill_(10)  # every hidden value near 1, but 0 in padding
        network.ctc.output.weight[ALPHABET.blank] = 50

    scores = score(tone_items, network, batch_frames=10_000)

    assert (scores.dev_cer, scores.blank_share) == (1.0, 1.0)


def test_loss_is_in_nats_per_label(tone_items, network):
    network = always(network, ALPHABET.blank)
    with torch.no_grad():
        network.ctc.output.bias.zero_()  # every symbol equally probable in every frame

    item = next(item for item in tone_items if item.utterance.text == "ab")
    frames = -(-FRONTEND.num_frames(round(item.amount * 8_000)) // 2)
    scores = score([item], network)

    paths = math.comb(frames + 2, 4)  # of two different labels: cut points among the frames
    assert scores.dev_loss == pytest.approx((frames * math.log(6) - math.log(paths)) / 2, rel=1e-5)


def test_a_network_gone_astray_is_named_with_what_to_do(tone_items, network):
    with torch.no_grad():
        network.ctc.output.bias[0] = math.nan

    with pytest.raises(TrainingError) as caught:
        score(tone_items[:1], network)

    assert str(caught.value) == (
        "dev set: the network's output for 0-ab is not a number: its weights have grown too "
        "large; lower optim.peak_lr and train again"
    )


def test_a_loss_that_is_infinite_is_not_hidden_as_a_small_one(tone_items, network):
    too_many = dataclasses.replace(tone_items[0], labels=(2,) * 99)

    assert score([too_many, *tone_items[1:]], network).dev_loss is None


def test_an_unreadable_recording_is_named(tone_items):
    tone_items[2].utterance.path.unlink()

    with pytest.raises(AudioError, match=tone_items[2].utterance.id):
        DevSet(tone_items, frontend=FRONTEND, medium=MEDIUM, batch_frames=300)


def test_an_empty_dev_set_has_no_rates(network):
    assert score([], network) == DevScores(dev_loss=0.0)
