import math
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ctcasr.errors import ConfigError
from ctcasr.training.optim import (
    Decay,
    OptimConfig,
    clip_gradients,
    freeze_parameters,
    learning_rate,
    load_moments,
    make_optimizer,
    moments,
)


def rate(step, progress, **values):
    return learning_rate(OptimConfig(**values), step=step, progress=progress)


def test_warmup_rises_in_equal_steps_to_the_peak():
    rates = [rate(s, 0, peak_lr=1.0, warmup_steps=4, decay=Decay.CONSTANT) for s in range(6)]

    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rate(0, 0, peak_lr=1.0, warmup_steps=0) == 1.0


@pytest.mark.parametrize(
    ("decay", "halfway", "end"), [("cosine", 0.55, 0.1), ("linear", 0.55, 0.1), ("constant", 1, 1)]
)
def test_decay_ends_at_its_share_of_the_peak(decay, halfway, end):
    values = {"peak_lr": 1.0, "warmup_steps": 0, "decay": decay, "final_lr_share": 0.1}

    assert rate(9, 0.5, **values) == pytest.approx(halfway)
    assert rate(9, 1.0, **values) == pytest.approx(end)


def test_cosine_is_the_cosine():
    assert rate(0, 0.25, peak_lr=1.0, warmup_steps=0, final_lr_share=0) == pytest.approx(
        (1 + math.cos(math.pi / 4)) / 2
    )


@given(
    progress=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    decay=st.sampled_from(Decay),
)
def test_the_rate_never_rises_after_warmup(progress, decay):
    early, late = (rate(10_000, share, decay=decay) for share in progress)

    assert 0 < late <= early * (1 + 1e-12) <= 2e-3 * (1 + 1e-12)


def test_only_matrices_decay():
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(OptimConfig(weight_decay=0.1, peak_lr=1.0), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.step()

    torch.testing.assert_close(model.weight.detach(), before["weight"] * 0.9)
    assert torch.equal(model.bias.detach(), before["bias"])


@pytest.mark.parametrize(("max_norm", "left"), [(1.0, 1.0), (100.0, 5.0)])
def test_gradients_are_scaled_down_to_the_norm_and_never_up(max_norm, left):
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])

    assert clip_gradients([parameter], max_norm) == pytest.approx(5.0)
    assert parameter.grad.norm().item() == pytest.approx(left, rel=1e-5)
    assert (parameter.grad / left).tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


def test_moments_put_back_continue_as_if_never_stopped():
    def take_steps(model, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            torch.manual_seed(step)
            model(torch.randn(4, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    unbroken, resumed = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = make_optimizer(OptimConfig(), unbroken)
    take_steps(unbroken, optimizer, range(3))
    flat = {name: tensor.clone() for name, tensor in moments(optimizer, unbroken).items()}
    resumed.load_state_dict(unbroken.state_dict())
    other = make_optimizer(OptimConfig(), resumed)
    load_moments(other, resumed, flat)

    take_steps(unbroken, optimizer, range(3, 6))
    take_steps(resumed, other, range(3, 6))

    assert {name.partition(".")[0] for name in flat} == {"step", "exp_avg", "exp_avg_sq"}
    assert torch.equal(unbroken.weight, resumed.weight)
    assert torch.equal(unbroken.bias, resumed.bias)


def two_layers():
    return nn.Sequential(OrderedDict(lower=nn.Linear(3, 3), upper=nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("patterns", "moving"),
    [
        ((), ["lower.weight", "lower.bias", "upper.weight", "upper.bias"]),
        (("lower.*",), ["upper.weight", "upper.bias"]),
        (("*.bias",), ["lower.weight", "upper.weight"]),
        (("*.weight", "upper.bias"), ["lower.bias"]),
    ],
)
def test_parameters_named_by_a_pattern_never_move(patterns, moving):
    model = two_layers()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    freeze_parameters(model, patterns)
    optimizer = make_optimizer(OptimConfig(weight_decay=0.5, peak_lr=0.1), model)
    model(torch.randn(4, 3)).square().sum().backward()
    clip_gradients(model.parameters(), 1.0)
    optimizer.step()

    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert moved == moving
    assert {name.partition(".")[2] for name in moments(optimizer, model)} == set(moving)


def test_a_pattern_that_names_nothing_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        freeze_parameters(two_layers(), ["lover.weigth"])
    assert str(caught.value) == (
        "optim.freeze: 'lover.weigth' matches no parameter; they have names as lower.weight, and * "
        "stands for any part of them"
    )


def test_freezing_everything_is_refused():
    with pytest.raises(ConfigError, match=r"optim\.freeze: \['lower\.\*', 'upper\.\*'\] leaves"):
        freeze_parameters(two_layers(), ["lower.*", "upper.*"])
