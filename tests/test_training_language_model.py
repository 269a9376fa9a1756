"""Streams of text, truncated gradients, and the best epoch."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import TrainingError
from ctcasr.models.language_model import LanguageModelNetwork, LmNetworkConfig
from ctcasr.training.language_model import (
    LmEpoch,
    LmTrainingConfig,
    cut_streams,
    fit_language_model,
    mean_nats,
    segment_loss,
)

END = 0
texts = st.lists(st.lists(st.integers(1, 4), max_size=5), min_size=1, max_size=8)


def make_network(*, dropout=0.0, dtype=torch.float64):
    torch.manual_seed(0)
    config = LmNetworkConfig(embedding=4, hidden=8, dropout=dropout)
    return LanguageModelNetwork(config, num_tokens=5).to(dtype)


def cut(sentences, *, epoch=0, **settings):
    config = LmTrainingConfig.model_validate(settings)
    return cut_streams(sentences, end=END, config=config, seed=1, epoch=epoch)


def ring_of(before, following):
    """The pairs of neighbours that the streams hold."""
    return Counter(zip(before.ravel().tolist(), following.ravel().tolist(), strict=True))


# Streams


@given(sentences=texts, streams=st.integers(1, 6))
def test_streams_go_through_the_ring_of_the_text_once(sentences, streams):
    before, following = cut(sentences, streams=streams, shuffle=False)

    ring = [token for sentence in sentences for token in (*sentence, END)]
    assert before.shape == following.shape
    assert len(ring) - len(before) < before.size <= len(ring)
    np.testing.assert_array_equal(before[:, 1:], following[:, :-1])
    turned = [*before[0, :1].tolist(), *following.ravel().tolist()]
    doubled = ring * 3  # once around and on
    found = [doubled[at : at + len(turned)] == turned for at in range(len(ring))]
    assert any(found)
    if before.size == len(ring):
        assert ring_of(before, following) == Counter(zip([ring[-1], *ring[:-1]], ring, strict=True))


def test_each_stream_goes_on_where_the_one_before_ends():
    before, following = cut([[1, 2, 3, 4]] * 10, streams=5)
    np.testing.assert_array_equal(before[1:, 0], following[:-1, -1])


def test_the_turn_is_another_in_every_epoch_and_the_same_for_equal_seeds():
    sentences = [[1, 2], [3, 4, 4], [2]] * 20
    first, again = cut(sentences, shuffle=False), cut(sentences, shuffle=False)
    np.testing.assert_array_equal(first[1], again[1])
    turns = {cut(sentences, epoch=epoch, shuffle=False)[1].tobytes() for epoch in range(8)}
    assert len(turns) > 4


def test_shuffling_moves_sentences_and_leaves_them_whole():
    sentences = [[1, 2, 3], [4, 4], [2], [3, 1, 1, 1]]
    orders = set()
    for epoch in range(12):
        _, following = cut(sentences, epoch=epoch, streams=1)
        ring = following[0].tolist()
        start = ring.index(END) + 1
        turned = "".join(map(str, ring[start:] + ring[:start]))
        found = turned.removesuffix("0").split("0")
        assert sorted(found) == ["123", "2", "3111", "44"]
        orders.add(tuple(found))
    assert len(orders) > 3


# Gradients


def test_the_forward_pass_is_exact_however_the_streams_are_cut():
    network = make_network().eval()
    before, following = cut([[1, 2, 3], [4], [2, 2]] * 4, streams=2)

    whole, _ = segment_loss(network, before, following, None)
    parts, state = [], None
    for at in range(0, before.shape[1], 5):
        loss, state = segment_loss(
            network, before[:, at : at + 5], following[:, at : at + 5], state
        )
        parts.append(loss.item())

    assert sum(parts) == pytest.approx(whole.item(), rel=1e-12)


def test_the_gradient_ends_at_the_edge_of_a_segment():
    network = make_network()
    before, following = cut([[1, 2, 3, 4]] * 4, streams=2)

    _, state = segment_loss(network, before[:, :5], following[:, :5], None)
    cut_loss, _ = segment_loss(network, before[:, 5:], following[:, 5:], state)
    cut_loss.backward()
    truncated = [parameter.grad.clone() for parameter in network.parameters()]

    # The same by torch alone: the second half, from the first half's state taken as a constant.
    network.zero_grad()
    with torch.no_grad():
        _, constant = network(torch.from_numpy(before[:, :5]))
    logits, _ = network(torch.from_numpy(before[:, 5:]), constant)
    targets = torch.from_numpy(following[:, 5:])
    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").backward()
    for one, parameter in zip(truncated, network.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=0, atol=1e-12)

    # Nor is it what backpropagation through the whole stream gives.
    network.zero_grad()
    logits, _ = network(torch.from_numpy(before))
    F.cross_entropy(
        logits[:, 5:].flatten(0, 1), torch.from_numpy(following[:, 5:]).flatten(), reduction="sum"
    ).backward()
    whole = next(network.lstm.parameters()).grad
    assert not torch.allclose(whole, truncated[1], atol=1e-4)


# The best epoch


def fit(network, sentences, dev, **settings):
    reports: list[LmEpoch] = []
    best = fit_language_model(
        network,
        sentences,
        dev,
        end=END,
        config=LmTrainingConfig.model_validate({"streams": 2, "segment": 6} | settings),
        seed=1,
        on_epoch=reports.append,
    )
    return best, reports


def test_a_network_learns_what_follows_on_what():
    network = make_network()
    best, reports = fit(
        network, [[1, 2, 3]] * 30, [[1, 2, 3]], epochs=20, peak_lr=0.03, warmup_steps=0
    )
    assert best.dev_nats < 0.02 < 1 < reports[0].train_nats
    assert [report.epoch for report in reports] == [*range(1, len(reports) + 1)]


def test_the_weights_of_the_best_epoch_are_kept():
    network = make_network()
    # What the dev set says is never in the text, so learning makes it worse before long.
    dev = [[4, 4, 1], [3, 3]]
    best, reports = fit(network, [[1, 2, 3]] * 30, dev, epochs=9, patience=3, peak_lr=0.03)

    assert best.dev_nats == min(report.dev_nats for report in reports)
    assert reports[-1].epoch == best.epoch + 3 < 9
    assert mean_nats(network, dev, end=END) == pytest.approx(best.dev_nats, rel=1e-12)
    assert [r.is_best for r in reports][best.epoch :] == [False] * 3


def test_equal_seeds_give_equal_weights():
    weights = []
    for noise in (1, 2):
        network = make_network(dropout=0.3, dtype=torch.float32)
        torch.manual_seed(noise)
        fit(network, [[1, 2], [3, 1, 4]] * 8, [[1, 2]], epochs=2)
        weights.append(network.state_dict())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])


def test_a_loss_that_is_not_finite_stops_the_training():
    network = make_network()
    with torch.no_grad():
        network.output.bias[1] = torch.inf
    with pytest.raises(TrainingError) as caught:
        fit(network, [[1, 2]] * 4, [[1]], epochs=2)
    assert str(caught.value) == (
        "epoch 1: the loss is not finite any more; lower training.peak_lr (0.004) and train again; "
        "nothing was written"
    )
