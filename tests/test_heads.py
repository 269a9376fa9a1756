import math

import pytest
import torch

from ctcasr.batching import Batch
from ctcasr.models.classes import class_loss
from ctcasr.models.ctc import CtcHeadConfig, ctc_loss, uniform_divergence
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.heads import CTC_ONLY, HeadsConfig, head_counts, head_losses, weighted_sum
from ctcasr.models.network import Network
from ctcasr.models.utterance import UtteranceHeadConfig

NUM_LABELS, NUM_CLASSES = 5, 3
UTTERANCE = UtteranceHeadConfig(field="speaker", weight=0.5, label_smoothing=0.2)
BOTH = HeadsConfig(ctc=CtcHeadConfig(weight=2.0, label_smoothing=0.1), utterance=UTTERANCE)
UTTERANCE_ONLY = HeadsConfig(ctc=CtcHeadConfig(weight=0), utterance=UTTERANCE)
CLASSES = torch.tensor([2, 0, 1])
LENGTHS = torch.tensor([20, 13, 17])
BATCH = Batch(
    ids=("a", "b", "c"),
    signals=torch.zeros(3, 1),
    lengths=torch.ones(3, dtype=torch.int64),
    labels=torch.tensor([[1, 2, 1], [3, 0, 0], [4, 4, 0]]),
    label_lengths=torch.tensor([3, 1, 2]),
    classes=CLASSES,
)


def make_network(heads):
    torch.manual_seed(0)
    encoder = EncoderConfig(layers=1, hidden=6, stride=2, dropout=0)
    network = Network(
        encoder, num_features=4, num_labels=NUM_LABELS, heads=heads, num_classes=NUM_CLASSES
    )
    return network.double().eval()


@pytest.fixture
def features():
    torch.manual_seed(1)
    padded = torch.randn(3, 20, 4, dtype=torch.float64)
    for row, length in zip(padded, LENGTHS, strict=True):
        row[length:] = 0
    return padded


def test_the_objective_is_the_weighted_sum_of_each_heads_mean(features):
    outputs = make_network(BOTH).outputs(features, LENGTHS)

    objective = weighted_sum(head_losses(outputs, BATCH, BOTH, blank=0), head_counts(BATCH, BOTH))

    ((logits, frames),) = outputs.ctc
    ctc = 0.9 * ctc_loss(logits, frames, BATCH.labels, BATCH.label_lengths, blank=0)
    ctc += 0.1 * uniform_divergence(logits, frames)
    classes = class_loss(outputs.utterance, CLASSES, label_smoothing=0.2)
    expected = 2.0 * ctc.sum() / 6 + 0.5 * classes.sum() / 3
    torch.testing.assert_close(objective, expected, rtol=1e-12, atol=0)


def test_what_is_reported_of_a_head_is_its_targets_alone(features):
    outputs = make_network(BOTH).outputs(features, LENGTHS)

    text, label = head_losses(outputs, BATCH, BOTH, blank=0)

    logits, frames = outputs.ctc[0]
    assert torch.equal(
        text.plain, ctc_loss(logits, frames, BATCH.labels, BATCH.label_lengths, blank=0)
    )
    assert torch.equal(label.plain, class_loss(outputs.utterance, CLASSES))
    assert head_counts(BATCH, BOTH) == [6, 3]
    assert head_counts(BATCH, UTTERANCE_ONLY) == [3]
    assert text.guess == pytest.approx((10 + 7 + 9) * math.log(NUM_LABELS))
    assert label.guess == pytest.approx(3 * math.log(NUM_CLASSES))


def test_a_head_that_is_left_out_has_no_weights_and_no_output(features):
    text, label = make_network(CTC_ONLY), make_network(UTTERANCE_ONLY)

    assert not [name for name in text.state_dict() if name.startswith("utterance.")]
    assert not [name for name in label.state_dict() if name.startswith("ctc.")]
    assert text.outputs(features, LENGTHS).utterance is None
    assert label.outputs(features, LENGTHS).ctc == []
    losses = head_losses(label.outputs(features, LENGTHS), BATCH, UTTERANCE_ONLY, blank=0)
    assert [loss.weight for loss in losses] == [0.5]


def test_a_head_beside_it_leaves_the_text_head_as_it_is(features):
    alone, beside = make_network(CTC_ONLY), make_network(BOTH)

    assert torch.equal(alone(features, LENGTHS)[0], beside(features, LENGTHS)[0])


def test_the_label_of_an_utterance_does_not_depend_on_batch_neighbours(features):
    network = make_network(UTTERANCE_ONLY)

    together = network.outputs(features, LENGTHS).utterance

    for row, utterance, length in zip(together, features, LENGTHS, strict=True):
        alone = network.outputs(utterance[None, :length], length[None]).utterance
        torch.testing.assert_close(row, alone[0], rtol=0, atol=1e-12)
