"""How a recurrent language model learns: parallel streams of text, in segments, gradients cut.

All sentences of an epoch, each with its end, make one ring of tokens. A turn of it is drawn; then
it is cut into streams of equal length, which are read side by side, segment by segment. What the
network remembers at the end of a segment is where the next one begins, so it reads whole streams;
only the gradient ends at the segment's edge (truncated backpropagation through time). With the
turn, the edges fall elsewhere in every epoch.

Everything random is drawn from the seed and the epoch, so on a CPU equal settings give equal
weights.

Sources: Williams and Peng 1990, "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories"; Mikolov et al. 2010, "Recurrent neural network based language
model".
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ctcasr.errors import TrainingError
from ctcasr.models.language_model import (
    LanguageModelNetwork,
    LmNetworkConfig,
    LmState,
    sentence_log_probs,
)
from ctcasr.settings import Section
from ctcasr.training.optim import OptimConfig, clip_gradients, learning_rate, make_optimizer


class LmTrainingConfig(Section):
    """How it learns. Section `training` of a recurrent language model's settings."""

    epochs: int = Field(20, ge=1)
    """Passes over the text; the best one by the held-out sentences is kept."""

    patience: int | None = Field(5, ge=1)
    """Stop early after so many epochs without a better one; never, where not given."""

    streams: int = Field(16, ge=1)
    """Parts of the text that are read side by side."""

    segment: int = Field(64, ge=1)
    """Tokens of each stream in a step; the gradient reaches no further back."""

    shuffle: bool = True
    """Put the sentences into a new order in every epoch, since each is scored by itself; false
    keeps the order of the text."""

    held_out: float = Field(0.05, gt=0, lt=1)
    """Share of the sentences to choose the best epoch by, drawn where no --dev is given."""

    peak_lr: float = Field(4e-3, gt=0)
    """Learning rate after warm-up; it falls along a cosine to a hundredth of that."""

    warmup_steps: int = Field(50, ge=0)
    """Steps of linear rise from 0 to `peak_lr`."""

    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled decay of matrices."""

    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this L2 norm."""

    def optim(self) -> OptimConfig:
        """Return how weights move."""
        return OptimConfig(
            peak_lr=self.peak_lr,
            warmup_steps=self.warmup_steps,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
        )


class LmConfig(Section):
    """Everything that decides what `ctcasr lm train --rnn` makes of a text."""

    seed: int = Field(1, ge=0)
    """Of every random draw."""

    network: LmNetworkConfig = LmNetworkConfig()
    training: LmTrainingConfig = LmTrainingConfig()


@dataclass(frozen=True, slots=True)
class LmEpoch:
    """One finished epoch.

    Attributes:
        epoch: from 1; epochs: of so many.
        train_nats, dev_nats: mean negative log-probability of a token, ends of sentences among
            them; the first with dropout, while the weights were moving.
        is_best: whether no epoch before was better on the dev set.
    """

    epoch: int
    epochs: int
    train_nats: float
    dev_nats: float
    is_best: bool


def cut_streams(
    sentences: Sequence[Sequence[int]], *, end: int, config: LmTrainingConfig, seed: int, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tokens that an epoch reads, and those that follow on each.

    Args:
        sentences: token ids, at least one sentence.
        end: the token that ends a sentence.
        config: the number of streams; fewer where there are fewer tokens.
        seed: of the draws.
        epoch: from 0.

    Returns:
        Two arrays (streams, T). Each token of the ring follows once, but for those left over where
        their number is no multiple of the streams, which are others in every epoch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(sentences)) if config.shuffle else range(len(sentences))
    ring = np.array([token for at in order for token in (*sentences[at], end)], dtype=np.int64)
    ring = np.roll(ring, -int(random.integers(len(ring))))
    num_streams = min(config.streams, len(ring))
    length = len(ring) // num_streams
    kept = slice(num_streams * length)
    following = ring[kept].reshape(num_streams, length)
    before = np.roll(ring, 1)[kept].reshape(num_streams, length)
    return before, following


def fit_language_model(
    network: LanguageModelNetwork,
    sentences: Sequence[Sequence[int]],
    dev: Sequence[Sequence[int]],
    *,
    end: int,
    config: LmTrainingConfig,
    seed: int,
    on_epoch: Callable[[LmEpoch], None],
) -> LmEpoch:
    """Train a network in place; it ends with the weights of the best epoch.

    Args:
        network: on the device to train on.
        sentences: token ids to learn from.
        dev: others, to choose the best epoch by.
        end: the token that ends a sentence.
        config: how.
        seed: of dropout and of the streams.
        on_epoch: told of every epoch.

    Returns:
        The best epoch.

    Raises:
        TrainingError: the loss is not finite any more.
    """
    optimizer = make_optimizer(config.optim(), network)
    best: LmEpoch | None = None
    weights: dict[str, Tensor] = {}
    for epoch in range(config.epochs):
        streams = cut_streams(sentences, end=end, config=config, seed=seed, epoch=epoch)
        torch.manual_seed((seed * 1_000_003 + epoch) % 2**63)  # of dropout
        train_nats = _train_epoch(network, optimizer, streams, config, epoch)
        dev_nats = mean_nats(network, dev, end=end)
        if not math.isfinite(train_nats + dev_nats):
            raise TrainingError(
                f"epoch {epoch + 1}: the loss is not finite any more; lower training.peak_lr "
                f"({config.peak_lr:g}) and train again; nothing was written"
            )
        is_best = best is None or dev_nats < best.dev_nats
        report = LmEpoch(epoch + 1, config.epochs, train_nats, dev_nats, is_best)
        if is_best:
            best, weights = report, copy.deepcopy(network.state_dict())
        on_epoch(report)
        assert best is not None
        if config.patience is not None and report.epoch - best.epoch >= config.patience:
            break
    assert best is not None
    network.load_state_dict(weights)
    return best


def segment_loss(
    network: LanguageModelNetwork,
    before: NDArray[np.int64],
    following: NDArray[np.int64],
    state: LmState | None,
) -> tuple[Tensor, LmState]:
    """Return the summed negative log-probability of a segment, and the state after it.

    Args:
        network: the model.
        before: (streams, T) tokens to read.
        following: (streams, T) the tokens after them.
        state: after the segment before; None at the beginning of the streams.

    Returns:
        The loss in nats, and the state, through which no gradient flows back.
    """
    device = network.output.weight.device
    logits, (hidden, cell) = network(torch.from_numpy(before).to(device), state)
    targets = torch.from_numpy(following).to(device)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return loss, (hidden.detach(), cell.detach())


def mean_nats(
    network: LanguageModelNetwork, sentences: Sequence[Sequence[int]], *, end: int
) -> float:
    """Return the mean negative log-probability of a token of sentences that each stand alone."""
    network.eval()
    log_probs = np.concatenate(sentence_log_probs(network, sentences, end=end))
    return -float(log_probs.mean())


def _train_epoch(
    network: LanguageModelNetwork,
    optimizer: torch.optim.AdamW,
    streams: tuple[NDArray[np.int64], NDArray[np.int64]],
    config: LmTrainingConfig,
    epoch: int,
) -> float:
    """Take an epoch's steps; return the mean nats per token."""
    before, following = streams
    optim = config.optim()
    num_steps = math.ceil(following.shape[1] / config.segment)
    state: LmState | None = None
    losses = []
    network.train()
    for at in range(num_steps):
        progress = (epoch + at / num_steps) / config.epochs
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optim, step=epoch * num_steps + at, progress=progress)
        segment = slice(at * config.segment, (at + 1) * config.segment)
        loss, state = segment_loss(network, before[:, segment], following[:, segment], state)
        optimizer.zero_grad(set_to_none=True)
        (loss / following[:, segment].size).backward()  # type: ignore[no-untyped-call]
        clip_gradients(network.parameters(), optim.max_grad_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return math.fsum(losses) / following.size
