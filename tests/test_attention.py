import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models.attention import (
    AttentionDecoder,
    AttentionHeadConfig,
    AttentionSteps,
    attention_loss,
)
from ctcasr.models.attention_scores import AttentionKind, masked_softmax

NUM_LABELS, BLANK, END, START = 5, 0, 5, 6
LABELS = torch.tensor([[1, 2, 1], [3, 0, 0], [4, 4, 0]])
LABEL_LENGTHS = torch.tensor([3, 1, 2])
LENGTHS = torch.tensor([7, 4, 1])
SIZES = {"weight": 1, "size": 3, "embedding": 2, "hidden": 4, "channels": 2, "reach": 1}


def make_decoder(kind=AttentionKind.LOCATION, **changes):
    torch.manual_seed(0)
    config = AttentionHeadConfig(kind=kind, **SIZES | {"dropout": 0.0} | changes)
    decoder = AttentionDecoder(config, input_size=6, num_labels=NUM_LABELS, blank=BLANK)
    for parameter in decoder.parameters():  # large enough that everything counts
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder.double()


def make_frames(*, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 7, 6, generator=generator, dtype=torch.float64)


def sigmoid(value):
    return 1 / (1 + torch.exp(-value))


def lstm_by_hand(weights, prefix, value, hidden, cell):
    """One step of one LSTM cell, gate by gate."""
    gates = (
        weights[f"{prefix}.weight_ih"] @ value
        + weights[f"{prefix}.bias_ih"]
        + weights[f"{prefix}.weight_hh"] @ hidden
        + weights[f"{prefix}.bias_hh"]
    )
    enter, forget, new, leave = gates.chunk(4)
    cell = sigmoid(forget) * cell + sigmoid(enter) * torch.tanh(new)
    return sigmoid(leave) * torch.tanh(cell), cell


def score_by_hand(weights, kind, frame, query, before, at):
    """The score of one frame: the formulas at the head of attention_scores.py."""
    key = weights["keys.weight"] @ frame
    mapped = weights["score.query.weight"] @ query + weights["score.query.bias"]
    if kind is AttentionKind.DOT:
        return key @ mapped / math.sqrt(len(key))
    mixed = key + mapped
    if kind is AttentionKind.LOCATION:
        filters = weights["score.filters.weight"]
        reach = filters.shape[-1] // 2
        seen = [
            sum(
                one[0, reach + shift] * before[at + shift]
                for shift in range(-reach, reach + 1)
                if 0 <= at + shift < len(before)
            )
            for one in filters
        ]
        mixed = mixed + weights["score.place.weight"] @ torch.stack(seen)
    return (weights["score.value.weight"] @ torch.tanh(mixed))[0]


def losses_by_hand(decoder, kind, frames, lengths, labels, label_lengths, *, layers, smoothing):
    """Teacher forcing with loops over utterances, labels, layers and frames."""
    weights = dict(decoder.named_parameters())
    losses = []
    for utterance, length, text, count in zip(
        frames, lengths.tolist(), labels.tolist(), label_lengths.tolist(), strict=True
    ):
        seen = utterance[:length]
        nothing = torch.zeros(decoder.output.in_features, dtype=torch.float64)
        hidden, cell, fed = [nothing] * layers, [nothing] * layers, nothing
        looked = [torch.zeros((), dtype=torch.float64)] * length
        loss = torch.zeros((), dtype=torch.float64)
        for read, target in zip([START, *text[:count]], [*text[:count], END], strict=True):
            value = torch.cat([weights["embedding.weight"][read], fed])
            for layer in range(layers):
                value, cell[layer] = lstm_by_hand(
                    weights, f"cells.{layer}", value, hidden[layer], cell[layer]
                )
                hidden[layer] = value
            scores = [
                score_by_hand(weights, kind, frame, value, looked, at)
                for at, frame in enumerate(seen)
            ]
            total = sum(torch.exp(score) for score in scores)
            looked = [torch.exp(score) / total for score in scores]
            context = sum(share * frame for share, frame in zip(looked, seen, strict=True))
            mixed = torch.cat([context, value])
            fed = torch.tanh(weights["combine.weight"] @ mixed + weights["combine.bias"])
            logits = weights["output.weight"] @ fed + weights["output.bias"]
            written = [column for column in range(END + 1) if column != BLANK]
            norm = torch.stack([torch.exp(logits[column]) for column in written]).sum().log()
            for column in written:
                share = smoothing / len(written) + (1 - smoothing) * (column == target)
                loss = loss - share * (logits[column] - norm)
        losses.append(loss)
    return torch.stack(losses)


@pytest.mark.parametrize("kind", AttentionKind)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_training_step_is_that_of_a_plain_loop_gradients_included(kind, layers, smoothing):
    decoder, frames = make_decoder(kind, layers=layers), make_frames().requires_grad_()
    sources = [frames, *decoder.parameters()]

    logits = decoder(frames, LENGTHS, LABELS)
    losses = attention_loss(logits, LABELS, LABEL_LENGTHS, blank=BLANK, label_smoothing=smoothing)
    found = torch.autograd.grad(losses.sum(), sources)

    expected = losses_by_hand(
        decoder, kind, frames, LENGTHS, LABELS, LABEL_LENGTHS, layers=layers, smoothing=smoothing
    )
    torch.testing.assert_close(losses, expected, rtol=1e-11, atol=0)
    gradients = torch.autograd.grad(expected.sum(), sources, allow_unused=True)
    for one, other in zip(found, gradients, strict=True):
        wanted = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", AttentionKind)
def test_padding_changes_nothing_not_even_the_gradient(kind):
    decoder = make_decoder(kind)
    together = make_frames()
    for row, length in zip(together, LENGTHS, strict=True):
        row[length:] = math.nan
    together.requires_grad_()

    losses = attention_loss(decoder(together, LENGTHS, LABELS), LABELS, LABEL_LENGTHS, blank=BLANK)
    gradients = torch.autograd.grad(losses.sum(), [together, *decoder.parameters()])

    added = [torch.zeros_like(parameter) for parameter in decoder.parameters()]
    for row, (length, count) in enumerate(zip(LENGTHS, LABEL_LENGTHS, strict=True)):
        alone = make_frames()[row : row + 1, :length].requires_grad_()
        labels = LABELS[row : row + 1, :count]
        logits = decoder(alone, length[None], labels)
        loss = attention_loss(logits, labels, count[None], blank=BLANK)
        mine, *others = torch.autograd.grad(loss.sum(), [alone, *decoder.parameters()])
        torch.testing.assert_close(losses[row], loss[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradients[0][row, :length], mine[0], rtol=1e-10, atol=1e-13)
        assert not gradients[0][row, length:].any()
        added = [one + other for one, other in zip(added, others, strict=True)]
    for one, other in zip(gradients[1:], added, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_blank_is_never_written_and_all_else_adds_up():
    log_probs = make_decoder()(make_frames(), LENGTHS, LABELS).log_softmax(-1)

    assert torch.isneginf(log_probs[..., BLANK]).all()
    assert log_probs.exp().sum(-1).allclose(torch.ones(3, 4, dtype=torch.float64))


def test_a_recording_without_frames_has_finite_losses_and_gradients():
    decoder, frames = make_decoder(), make_frames().requires_grad_()

    logits = decoder(frames, torch.tensor([7, 0, 1]), LABELS)
    loss = attention_loss(logits, LABELS, LABEL_LENGTHS, blank=BLANK)
    gradients = torch.autograd.grad(loss.sum(), [frames, *decoder.parameters()])

    assert loss.isfinite().all()
    assert all(one.isfinite().all() for one in gradients)
    assert not gradients[0][1].any()
    assert decoder(frames[:, :0], torch.zeros(3, dtype=torch.int64), LABELS).shape == (3, 4, 6)


def test_an_empty_text_costs_its_end_alone():
    logits = make_decoder()(make_frames(), LENGTHS, LABELS[:, :0])

    loss = attention_loss(logits, LABELS[:, :0], torch.zeros(3, dtype=torch.int64), blank=BLANK)

    torch.testing.assert_close(loss, -logits.log_softmax(-1)[:, 0, END])


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_weights_of_frames_are_the_softmax_of_the_valid_ones(lengths, seed):
    scores = torch.randn(len(lengths), 6, generator=torch.Generator().manual_seed(seed))
    valid = torch.arange(6) < torch.tensor(lengths)[:, None]

    weights = masked_softmax(scores, valid)

    for row, score, length in zip(weights, scores, lengths, strict=True):
        torch.testing.assert_close(row[:length], score[:length].softmax(-1))
        assert not row[length:].any()


def test_sampling_reads_its_own_labels_and_is_drawn_from_the_generator():
    decoder, frames = make_decoder(), make_frames()

    def run(sampling, seed):
        torch.manual_seed(seed)
        return decoder(frames, LENGTHS, LABELS, sampling=sampling)

    forced = decoder(frames, LENGTHS, LABELS)
    assert torch.equal(run(0.0, 1), forced)
    assert torch.equal(run(0.7, 1), run(0.7, 1))
    assert not torch.equal(run(0.7, 1), run(0.7, 2))
    assert torch.equal(run(1.0, 1)[:, 0], forced[:, 0])  # nothing was written before the first


def test_labels_that_it_reads_of_its_own_are_drawn_by_their_probability():
    decoder = make_decoder()
    frames, labels = make_frames()[:1].expand(4_000, -1, -1), torch.full((4_000, 1), 2)
    lengths = LENGTHS[:1].expand(4_000)
    torch.manual_seed(3)

    logits = decoder(frames, lengths, labels, sampling=1.0)

    first, second = logits[0, 0].softmax(-1), logits[:, 1, 1:]
    for symbol in range(1, END + 1):
        after = decoder(frames[:1], lengths[:1], torch.tensor([[symbol]]))[0, 1, 1:]
        share = (second - after).abs().amax(-1).lt(1e-9).double().mean()
        assert float(share) == pytest.approx(float(first[symbol].detach()), abs=0.03)


def test_sampling_and_the_share_of_ctc_move_until_the_ramp_ends():
    config = AttentionHeadConfig(weight=0.6, sampling=0.4, first_ctc_share=1.0, ramp=0.5)

    assert [config.sampling_at(done) for done in (0, 0.25, 0.5, 1)] == [0, 0.2, 0.4, 0.4]
    assert config.joint_weights(0.2, 0) == pytest.approx((0.8, 0))
    assert config.joint_weights(0.2, 0.25) == pytest.approx((0.5, 0.3))
    assert config.joint_weights(0.2, 0.9) == pytest.approx((0.2, 0.6))
    assert config.joint_weights(0.0, 0) == (0.0, 0.6)


@pytest.mark.parametrize("kind", AttentionKind)
def test_steps_over_recordings_are_those_of_teacher_forcing(kind):
    decoder = make_decoder(kind, layers=2).eval()
    encoded = [row[:length] for row, length in zip(make_frames(), LENGTHS, strict=True)]
    steps = AttentionSteps(decoder, encoded)
    rows = np.array([2, 0, 0, 1])
    texts = torch.tensor([[1, 2], [3, 4], [2, 2], [4, 1]])

    state, first = steps.begin()
    state, second = steps.step(state, rows, texts[:, 0].numpy())
    _, third = steps.step(state, np.array([3, 2, 1, 0]), texts[[3, 2, 1, 0], 1].numpy())

    for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
        alone = decoder(encoded[row][None], LENGTHS[row][None], text[None])
        expected = alone[0].log_softmax(-1).detach().numpy()
        np.testing.assert_allclose(first[row], expected[0], rtol=1e-12)
        np.testing.assert_allclose(second[at], expected[1], rtol=1e-12)
        np.testing.assert_allclose(third[3 - at], expected[2], rtol=1e-12)


def test_where_it_looks_is_a_distribution_over_the_frames_of_the_recording():
    decoder = make_decoder().eval()
    encoded = [row[:length] for row, length in zip(make_frames(), LENGTHS, strict=True)]

    looked = AttentionSteps(decoder, encoded).look([1, 2, 3], recording=1)

    assert looked.shape == (4, 4)
    np.testing.assert_allclose(looked.sum(axis=1), 1.0)
    alone = AttentionSteps(decoder, encoded[1:2]).look([1, 2, 3])
    np.testing.assert_allclose(looked, alone, rtol=1e-12)


def test_low_precision_around_it_changes_nothing_inside():
    decoder, frames = make_decoder().float(), make_frames().float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = decoder(frames, LENGTHS, LABELS)

    assert torch.equal(inside, decoder(frames, LENGTHS, LABELS))
