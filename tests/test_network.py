import pytest
import torch

from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from ctcasr.models.subsampling import SubsamplingKind

LENGTHS = [23, 1, 8, 40, 3]


@pytest.fixture(params=SubsamplingKind)
def network(request):
    torch.manual_seed(0)
    config = EncoderConfig(subsampling=request.param, layers=2, hidden=6, channels=8)
    return Network(config, num_features=5, num_labels=7).double().eval()


@pytest.fixture
def utterances():
    torch.manual_seed(1)
    return [torch.randn(length, 5, dtype=torch.float64) for length in LENGTHS]


def run(network, utterances):
    """The valid logits of each utterance of one batch."""
    features = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    logits, lengths = network(features, torch.tensor([len(u) for u in utterances]))
    return [row[:length] for row, length in zip(logits, lengths, strict=True)]


def test_output_does_not_depend_on_batch_neighbours(network, utterances):
    for together, utterance in zip(run(network, utterances), utterances, strict=True):
        (alone,) = run(network, [utterance])
        assert alone.shape == (-(-len(utterance) // 3), 7)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_output_does_not_depend_on_batch_order(network, utterances):
    order = [3, 0, 4, 2, 1]
    reordered = run(network, [utterances[index] for index in order])
    straight = run(network, utterances)

    for index, row in zip(order, reordered, strict=True):
        torch.testing.assert_close(row, straight[index], rtol=0, atol=1e-12)


def test_gradients_of_a_batch_are_the_sum_over_its_utterances(network, utterances):
    def gradients(batches):
        network.zero_grad()
        for batch in batches:
            sum(rows.square().sum() for rows in run(network, batch)).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    whole = gradients([utterances])
    apart = gradients([[utterance] for utterance in utterances])

    for one, other in zip(whole, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_an_empty_recording_has_no_frames_alone_or_beside_others(network, utterances):
    empty = torch.zeros(0, 5, dtype=torch.float64)

    alone, together = run(network, [empty]), run(network, [empty, utterances[0]])

    assert alone[0].shape == together[0].shape == (0, 7)
    torch.testing.assert_close(together[1], run(network, utterances)[0], rtol=0, atol=1e-12)


def test_the_head_reads_layers_before_the_last_too(utterances):
    torch.manual_seed(0)
    config = EncoderConfig(layers=3, hidden=6, stride=1, reduce_after=(1,), dropout=0)
    network = Network(config, num_features=5, num_labels=7).double()
    features = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    lengths = torch.tensor(LENGTHS)

    logits = network.outputs(features, lengths, layers=(1, 2)).ctc
    outputs = list(network.encoder.layer_outputs(features, lengths))

    assert [tuple(rows.shape) for rows, _ in logits] == [(5, 40, 7), (5, 20, 7), (5, 20, 7)]
    for (rows, valid), (hidden, same) in zip(logits, outputs, strict=True):
        assert torch.equal(rows, network.ctc(hidden))
        assert torch.equal(valid, same)
    assert torch.equal(logits[-1][0], network(features, lengths)[0])
    assert [len(network.outputs(features, lengths, layers=some).ctc) for some in ((), (2,))] == [
        1,
        2,
    ]
