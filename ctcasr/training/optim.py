"""AdamW with warm-up and decay, gradients clipped.

The rate is a function of the step (warm-up) and of the share of the run that is done (decay), with
no state of its own, so a resumed run needs nothing but its position.

Sources: Loshchilov and Hutter 2019, arXiv:1711.05101 (AdamW), 2017, arXiv:1608.03983 (cosine);
Pascanu et al. 2013 (clipping by norm).
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ctcasr.errors import ConfigError
from ctcasr.settings import Section


class Decay(StrEnum):
    """How the learning rate falls after warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimConfig(Section):
    """How weights move. Section `optim` of a run's YAML file."""

    peak_lr: float = Field(2e-3, gt=0, le=1e6)
    """Learning rate after warm-up: about what each step changes a weight by."""

    final_lr_share: float = Field(0.01, ge=0, le=1)
    """What decay leaves of `peak_lr` at the end."""

    warmup_steps: int = Field(200, ge=0)
    """Steps of linear rise from 0 to `peak_lr`."""

    decay: Decay = Decay.COSINE
    """`cosine`, `linear`, or `constant` (none)."""

    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled decay; biases are left alone."""

    betas: tuple[Beta, Beta] = (0.9, 0.98)
    """AdamW's averaging of gradient and squared gradient."""

    max_grad_norm: float = Field(5.0, gt=0)
    """Gradients are scaled down to this L2 norm; LSTM gradients spike without it."""

    freeze: tuple[str, ...] = ()
    """Parameters that never move, by name, `*` for anything: `encoder.layers.0.*` keeps the first
    layer as `training.init_from` gave it."""


def learning_rate(config: OptimConfig, *, step: int, progress: float) -> float:
    """Return the rate of step 0, 1, ...; `progress` is the share of the run done, 0 to 1."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    match config.decay:
        case Decay.COSINE:
            share = (1 + math.cos(math.pi * progress)) / 2
        case Decay.LINEAR:
            share = 1 - progress
        case Decay.CONSTANT:
            share = 1.0
    share = config.final_lr_share + (1 - config.final_lr_share) * share
    return config.peak_lr * warmup * share


def freeze_parameters(network: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the parameters whose names match a pattern as they are.

    Raises:
        ConfigError: a pattern matches no parameter, or nothing is left to be trained.
    """
    names = dict(network.named_parameters())
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0)[0]
            raise ConfigError(
                f"optim.freeze: {pattern!r} matches no parameter; they have names as {near}, and * "
                f"stands for any part of them"
            )
        for name in matching:
            names[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in names.values()):
        raise ConfigError(
            f"optim.freeze: {list(patterns)} leaves nothing to train; name fewer parameters"
        )


def make_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.AdamW:
    """Return AdamW over the model; only matrices decay, and frozen parameters have no gradient."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())
    # One pass over each parameter; on a GPU torch's own choice, whose step counts are on the CPU.
    fused = True if on_cpu else None
    return torch.optim.AdamW(groups, lr=config.peak_lr, betas=config.betas, fused=fused)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scale gradients down to `max_norm` in place; return the L2 norm they had."""
    return float(nn.utils.clip_grad_norm_(list(parameters), max_norm))


def moments(optimizer: torch.optim.AdamW, network: nn.Module) -> dict[str, Tensor]:
    """Return AdamW's state under flat names: step.<parameter>, exp_avg.<parameter>, ..."""
    return {
        f"{key}.{name}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_moments(
    optimizer: torch.optim.AdamW, network: nn.Module, flat: Mapping[str, Tensor]
) -> None:
    """Put back what `moments` returned."""
    parameters = dict(network.named_parameters())
    for flat_name, tensor in flat.items():
        key, _, name = flat_name.partition(".")
        parameter = parameters[name]
        # AdamW keeps its step count on the CPU and its moments beside the weights.
        optimizer.state[parameter][key] = tensor if key == "step" else tensor.to(parameter)
