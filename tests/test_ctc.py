import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.alphabet import frames_needed
from ctcasr.models.ctc import CtcHeadConfig, ctc_loss, ctc_losses, uniform_divergence
from tests.oracles import (
    collapse,
    ctc_log_prob_by_enumeration,
    forward_backward,
    random_log_probs,
)


def loss_of(logits, labels, *, blank=0):
    """The loss of one utterance."""
    targets = torch.tensor([labels], dtype=torch.int64).reshape(1, -1)
    lengths = torch.tensor([logits.shape[0]])
    return ctc_loss(logits[None], lengths, targets, torch.tensor([len(labels)]), blank=blank)[0]


def logits_like(log_probs, *, seed=0):
    """Logits whose softmax is `log_probs`: each frame shifted by something."""
    shift = np.random.default_rng(seed).normal(size=(len(log_probs), 1))
    return torch.from_numpy(log_probs + 3 * shift)


SEQUENCES = [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (2, 2, 1)]


@pytest.mark.parametrize("labels", SEQUENCES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_is_the_sum_over_all_paths(labels, seed):
    log_probs = random_log_probs(num_frames=5, num_symbols=3, seed=seed)

    loss = loss_of(logits_like(log_probs), labels)

    wanted = -ctc_log_prob_by_enumeration(log_probs, labels)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("blank", [0, 1, 3])
def test_any_column_may_be_the_blank(blank):
    log_probs = random_log_probs(num_frames=4, num_symbols=4, seed=0)
    labels = [symbol for symbol in (2, 2, 0) if symbol != blank]

    loss = loss_of(logits_like(log_probs), labels, blank=blank)

    wanted = -ctc_log_prob_by_enumeration(log_probs, labels, blank=blank)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("labels", [(), (3,), (1, 2, 3, 4), (2, 2, 2, 5, 5), (1, 2) * 9])
def test_loss_and_gradient_are_those_of_forward_backward(labels):
    log_probs = random_log_probs(num_frames=30, num_symbols=6, seed=len(labels), sharpness=2)
    logits = logits_like(log_probs).requires_grad_()

    loss = loss_of(logits, labels)
    loss.backward()

    log_prob, posterior = forward_backward(log_probs, labels)
    assert loss.item() == pytest.approx(-log_prob, rel=1e-12)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), np.exp(log_probs) - posterior, atol=1e-12)


@pytest.mark.parametrize("labels", SEQUENCES)
def test_gradient_is_the_finite_difference(labels):
    logits = logits_like(random_log_probs(num_frames=5, num_symbols=3, seed=4)).requires_grad_()

    assert torch.autograd.gradcheck(lambda x: loss_of(x, labels), logits, atol=1e-7)


def test_shortest_alignable_input_has_one_path():
    log_probs = random_log_probs(num_frames=4, num_symbols=3, seed=0)

    loss = loss_of(logits_like(log_probs), (1, 1, 2))

    assert loss.item() == pytest.approx(-log_probs[range(4), [1, 0, 1, 2]].sum(), rel=1e-12)


def test_labels_that_cannot_be_aligned_have_infinite_loss():
    logits = logits_like(random_log_probs(num_frames=3, num_symbols=3, seed=0))

    assert loss_of(logits, (1, 1, 2)).item() == math.inf
    assert loss_of(logits[:0], (1,)).item() == math.inf
    assert loss_of(logits[:0], ()).item() == 0


def test_loss_does_not_depend_on_batch_neighbours_or_padding():
    log_probs = random_log_probs(num_frames=9, num_symbols=4, seed=0)
    sequences = [(1, 2, 3), (), (2, 2), ()]
    lengths = [9, 4, 5, 0]
    logits = torch.stack([logits_like(log_probs, seed=seed) for seed in range(4)])
    labels = torch.tensor(
        [[1, 2, 3], [3, 3, 3], [2, 2, 3], [1, 1, 1]]
    )  # what pads them says nothing

    losses = ctc_loss(logits, torch.tensor(lengths), labels, torch.tensor([3, 0, 2, 0]), blank=0)

    for loss, row, length, sequence in zip(losses, logits, lengths, sequences, strict=True):
        assert loss.item() == pytest.approx(loss_of(row[:length], sequence).item(), rel=1e-12)


def test_half_precision_logits_are_computed_in_single():
    logits = torch.randn(1, 8, 5).bfloat16()
    arguments = (torch.tensor([8]), torch.tensor([[1, 2]]), torch.tensor([2]))

    loss = ctc_loss(logits, *arguments, blank=0)

    assert loss.dtype is torch.float32
    assert torch.equal(loss, ctc_loss(logits.float(), *arguments, blank=0))


@given(path=st.lists(st.integers(0, 2), max_size=8))
def test_no_path_holds_labels_that_need_more_frames(path):
    assert frames_needed(collapse(path)) <= len(path)


@pytest.mark.parametrize(
    ("labels", "frames"), [((), 0), ((1,), 1), ((1, 2), 2), ((1, 1), 3), ((1, 1, 1, 2), 6)]
)
def test_frames_needed_is_the_least_that_gives_a_finite_loss(labels, frames):
    logits = logits_like(random_log_probs(num_frames=frames, num_symbols=3, seed=0))

    assert frames_needed(labels) == frames
    assert loss_of(logits, labels).isfinite()
    if labels:
        assert loss_of(logits[:-1], labels).item() == math.inf


# What may join the loss


@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_is_that_of_the_uniform_distribution_from_each_frame(seed):
    log_probs = np.stack(
        [random_log_probs(num_frames=5, num_symbols=4, seed=seed + n) for n in (0, 9)]
    )
    lengths = [5, 2]

    found = uniform_divergence(torch.from_numpy(log_probs), torch.tensor(lengths))

    expected = [
        sum(0.25 * (math.log(0.25) - value) for frame in rows[:length] for value in frame)
        for rows, length in zip(log_probs, lengths, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_a_frame_without_an_opinion_diverges_from_none():
    found = uniform_divergence(torch.full((1, 3, 7), 2.5, dtype=torch.float64), torch.tensor([3]))

    assert found.item() == pytest.approx(0, abs=1e-12)


def test_padding_without_a_number_does_not_reach_the_divergence():
    logits = torch.zeros(1, 3, 4, requires_grad=True)
    spoilt = torch.where(torch.arange(3)[:, None] < 2, logits, torch.nan)

    uniform_divergence(spoilt, torch.tensor([2])).sum().backward()

    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def outputs_of_three_layers():
    """Logits and lengths of two utterances; the first layer has twice the frames."""
    torch.manual_seed(0)
    return [
        (torch.randn(2, 8, 4, dtype=torch.float64), torch.tensor([8, 5])),
        (torch.randn(2, 4, 4, dtype=torch.float64), torch.tensor([4, 3])),
        (torch.randn(2, 4, 4, dtype=torch.float64), torch.tensor([4, 3])),
    ]


LABELS, LABEL_LENGTHS = torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])


def loss_by_itself(output):
    logits, lengths = output
    return ctc_loss(logits, lengths, LABELS, LABEL_LENGTHS, blank=0)


def judge(outputs, **values):
    return ctc_losses(outputs, LABELS, LABEL_LENGTHS, blank=0, config=CtcHeadConfig(**values))


def test_without_other_terms_the_loss_is_what_is_minimised_bit_for_bit():
    (output,) = outputs_of_three_layers()[-1:]

    losses = judge([output])

    assert losses.objective is losses.ctc
    assert torch.equal(losses.ctc, loss_by_itself(output))


def test_intermediate_layers_share_a_part_of_the_objective_in_equal_parts():
    outputs = outputs_of_three_layers()
    first, second, last = map(loss_by_itself, outputs)

    losses = judge(outputs, intermediate_layers=(1, 2), intermediate_weight=0.3)

    assert torch.equal(losses.ctc, last)
    torch.testing.assert_close(losses.objective, 0.7 * last + 0.15 * first + 0.15 * second)


def test_smoothing_weighs_the_divergence_against_the_loss():
    (output,) = outputs_of_three_layers()[-1:]

    losses = judge([output], label_smoothing=0.2)

    expected = 0.8 * losses.ctc + 0.2 * uniform_divergence(*output)
    torch.testing.assert_close(losses.objective, expected)


def test_an_output_minimises_the_smoothed_loss_short_of_certainty():
    def certainty(smoothing):
        logits = torch.zeros(1, 2, 3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

        def loss():
            optimizer.zero_grad()
            config = CtcHeadConfig(label_smoothing=smoothing)
            losses = ctc_losses(
                [(logits, torch.tensor([2]))],
                torch.tensor([[1, 2]]),
                torch.tensor([2]),
                blank=0,
                config=config,
            )
            total = losses.objective.sum()
            total.backward()
            return total

        optimizer.step(loss)
        return logits.softmax(-1)[0, 0, 1].item()

    # d/dp of -(1-s) ln p - s mean(ln p) is zero where the label has (1-s) + s/V of a frame.
    assert certainty(0.3) == pytest.approx(0.7 + 0.3 / 3, abs=1e-4)
    assert certainty(0.0) > 0.99
