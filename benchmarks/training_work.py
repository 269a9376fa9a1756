"""What the contestants of bench_training share: job, plain network, optimizer, tally.

Imports torch and soundfile only, so that it loads in the peers' environment too.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Job = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the training set.

    Attributes:
        audio_rate: seconds of audio trained on per second.
        padding: share of the batches' samples that is padding.
        loss: mean over the pass, nats per label.
        steps: optimizer steps.
    """

    audio_rate: float
    padding: float
    loss: float
    steps: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One utterance: (N,) float32 samples and (U,) label ids."""

    samples: Tensor
    labels: Tensor


class Tally:
    """Counts one pass while it goes."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._started = time.perf_counter()
        self._samples = self._padded = self._labels = self._steps = 0
        self._loss = 0.0

    def add(self, num_samples: Sequence[int], *, loss: float, num_labels: int) -> None:
        """Count one step: samples of each utterance, summed loss, and labels."""
        self._samples += sum(num_samples)
        self._padded += len(num_samples) * max(num_samples)
        self._loss += loss
        self._labels += num_labels
        self._steps += 1

    def finish(self) -> Pass:
        """Return what the pass came to."""
        seconds = time.perf_counter() - self._started
        return Pass(
            audio_rate=self._samples / self._sample_rate / seconds,
            padding=1 - self._samples / self._padded,
            loss=self._loss / self._labels,
            steps=self._steps,
        )


class PlainNetwork(nn.Module):
    """ctcasr's stacked BLSTM as it is commonly written: nn.LSTM on packed input.

    With the weights of `plain_weights` it computes what ctcasr's network does.

    Shape:
        features: (B, T, F), zero beyond each length; lengths: (B,) in 1..T.
        returns: logits (B, T', V); (B,) valid frames.
    """

    def __init__(
        self,
        *,
        num_features: int,
        num_labels: int,
        stride: int,
        layers: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.lstm = nn.LSTM(
            num_features * stride,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout,
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, num_labels)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits; see the class for shapes."""
        lengths = -(-lengths // self.stride)
        packed = pack_padded_sequence(
            stack_frames(features, self.stride),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.output(self.dropout(hidden)), lengths


def stack_frames(features: Tensor, stride: int) -> Tensor:
    """Make `stride` neighbouring frames one: (B, T, F) to (B, ceil(T / stride), F * stride)."""
    padded = nn.functional.pad(features, (0, 0, 0, -features.shape[1] % stride))
    return padded.reshape(len(padded), -1, stride * features.shape[2])


def plain_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of ctcasr's network under the names they have in `PlainNetwork`."""
    renamed = {}
    for name, tensor in weights.items():
        match name.split("."):
            case ["encoder", "layers", number, ("forwards" | "backwards") as direction, parameter]:
                kind = parameter.removesuffix("_l0")
                suffix = "_reverse" if direction == "backwards" else ""
                renamed[f"lstm.{kind}_l{number}{suffix}"] = tensor
            case ["ctc", "output", parameter]:
                renamed[f"output.{parameter}"] = tensor
            case _:
                raise ValueError(f"{name}: not of a stack of bidirectional LSTMs")
    return renamed


def make_network(job: Job) -> PlainNetwork:
    """Return the job's network with its first weights."""
    network = PlainNetwork(**job["network"])
    with np.load(Path(job["weights"])) as weights:
        network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return network


def read_recordings(job: Job) -> list[Recording]:
    """Read the job's recordings; they stay in memory, as ctcasr's do after the first epoch."""
    recordings = []
    for item in job["items"]:
        samples, _ = soundfile.read(item["audio"], dtype="float32")
        labels = torch.tensor(item["labels"], dtype=torch.long)
        recordings.append(Recording(torch.from_numpy(samples), labels))
    return recordings


def make_optimizer(parameters: Iterable[nn.Parameter], job: Job) -> torch.optim.AdamW:
    """Return the job's optimizer; `warm_up` sets its rate."""
    optim = job["optim"]
    return torch.optim.AdamW(parameters, betas=tuple(optim["betas"]), weight_decay=0.0)


def warm_up(optimizer: torch.optim.Optimizer, job: Job, step: int) -> None:
    """Set the learning rate of step 0, 1, ...: a linear rise, then constant."""
    optim = job["optim"]
    share = min(1.0, (step + 1) / (optim["warmup_steps"] + 1))
    for group in optimizer.param_groups:
        group["lr"] = optim["peak_lr"] * share
