import pytest
import torch

from ctcasr.models.dropout import Dropout, SequenceDropout


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_a_share_of_the_values_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(1)

    dropped = Dropout(share)(torch.ones(301, 333))  # no multiple of four

    kept = dropped[dropped != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - share)))
    spread = (share * (1 - share) / dropped.numel()) ** 0.5
    assert (dropped == 0).double().mean().item() == pytest.approx(share, abs=4 * spread)


def test_values_are_dropped_independently_of_their_neighbours():
    torch.manual_seed(1)

    kept = (Dropout(0.5)(torch.ones(1_000, 400)) != 0).double() - 0.5

    for shift in range(1, 9):  # four of them share a random word
        together = (kept[:, shift:] * kept[:, :-shift]).mean().item() * 4
        assert abs(together) < 4 / (1_000 * 390) ** 0.5


def test_what_is_dropped_has_no_gradient_and_the_rest_that_of_its_factor():
    torch.manual_seed(1)
    values = torch.rand(20, 30).add(0.1).requires_grad_()

    dropped = Dropout(0.3)(values)
    dropped.sum().backward()

    torch.testing.assert_close(values.grad, (dropped != 0) / 0.7)


@pytest.mark.parametrize("kind", [Dropout, SequenceDropout])
def test_nothing_is_dropped_but_while_training(kind):
    values = torch.randn(2, 5, 3)

    assert torch.equal(kind(0.5).eval()(values), values)
    assert torch.equal(kind(0.0)(values), values)


def test_equal_seeds_drop_the_same_values_in_every_format():
    values = torch.ones(7, 11)
    masks = []
    for dtype in (torch.float32, torch.float32, torch.bfloat16):
        torch.manual_seed(3)
        masks.append(Dropout(0.4)(values.to(dtype)) != 0)

    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
