import pytest
import torch

from ctcasr.alphabet import Direction, Unit, alphabet_of_labels
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.heads import HeadsConfig
from ctcasr.models.network import Network
from ctcasr.models.utterance import UtteranceHeadConfig
from ctcasr.training.warm_start import HeadLabels, Matched, match_weights


def make(labels, *, hidden=4, seed=0):
    torch.manual_seed(seed)
    alphabet = alphabet_of_labels(labels, unit=Unit.CHAR, direction=Direction.LTR)
    config = EncoderConfig(layers=1, hidden=hidden)
    network = Network(config, num_features=3, num_labels=len(alphabet))
    return network, HeadLabels(alphabet.labels)


@pytest.fixture
def old():
    return make("abc", seed=1)


def test_known_labels_bring_their_rows_and_new_ones_keep_theirs(old):
    network, alphabet = make("dcb", seed=2)
    fresh = network.ctc.output.weight.detach().clone()

    match_weights(network, alphabet, weights=old[0].state_dict(), labels=old[1])

    weight, bias = network.ctc.output.weight.detach(), network.ctc.output.bias.detach()
    theirs, their_bias = old[0].ctc.output.weight.detach(), old[0].ctc.output.bias.detach()
    assert torch.equal(weight[[0, 2, 3]], theirs[[0, 3, 2]])  # blank, c, b
    assert torch.equal(bias[[0, 2, 3]], their_bias[[0, 3, 2]])
    assert torch.equal(weight[1], fresh[1])  # d


def test_equal_models_are_taken_over_whole(old):
    network, alphabet = make("abc", seed=2)

    matched = match_weights(network, alphabet, weights=old[0].state_dict(), labels=old[1])

    total = len(old[0].state_dict())
    assert matched == Matched(tensors=total, all_tensors=total, labels=4)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, old[0].state_dict()[name])


def test_tensors_of_another_shape_stay_fresh_and_are_counted(old):
    network, alphabet = make("abc", hidden=5, seed=2)
    before = {name: t.clone() for name, t in network.state_dict().items()}

    matched = match_weights(network, alphabet, weights=old[0].state_dict(), labels=old[1])

    assert matched.tensors == 1  # the output bias alone has the same shape
    for name, tensor in network.state_dict().items():
        assert name == "ctc.output.bias" or torch.equal(tensor, before[name])


def test_missing_tensors_are_no_error(old):
    network, alphabet = make("abc", seed=2)

    matched = match_weights(network, alphabet, weights={}, labels=old[1])

    assert matched.tensors == 0


def test_labels_of_whole_recordings_bring_their_rows_too():
    def make_with(classes):
        config = EncoderConfig(layers=1, hidden=4)
        heads = HeadsConfig(utterance=UtteranceHeadConfig(field="speaker"))
        return Network(
            config, num_features=3, num_labels=1, heads=heads, num_classes=len(classes)
        ), HeadLabels(("<blank>",), utterance=classes)

    (network, own), (old, theirs) = make_with(("ann", "bob", "cy")), make_with(("cy", "di", "ann"))
    fresh = network.utterance.output.weight.detach().clone()

    matched = match_weights(network, own, weights=old.state_dict(), labels=theirs)

    weight, given = network.utterance.output.weight, old.utterance.output.weight
    assert torch.equal(weight[[0, 2]], given[[2, 0]])  # ann, cy
    assert torch.equal(weight[1], fresh[1])  # bob
    assert matched.labels == 3  # blank, ann, cy
