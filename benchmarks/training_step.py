"""Where the time of a training step goes, and how near its matrix products come to the machine's.

A step is made of the training loop's own parts, timed one by one:

    waiting     for the threads that read ahead
    features    waveforms to normalised log-mel features
    forward     the network
    loss        CTC, value only
    backward    the gradient of all of it
    optimizer   clipping and AdamW
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from benchmarks.matmul_rate import lstm_stack_flops, matmul_rate
from ctcasr.alphabet import Alphabet
from ctcasr.batching import Batch
from ctcasr.config import RunConfig
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import without_augmentation
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.network import Network
from ctcasr.training.computing import uses_bf16
from ctcasr.training.loading import Labelled, TrainingData
from ctcasr.training.optim import clip_gradients, make_optimizer

_MATMUL_SIZE = 4_096
_CPU = torch.device("cpu")


@dataclass(slots=True)
class StepTimes:
    """Sums over a pass.

    Attributes:
        seconds: by part, in the order of the first step.
        steps: how many.
        flops: operations in the matrix products of the LSTMs, without padding.
        bf16: whether they ran in bf16.
    """

    bf16: bool
    seconds: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    flops: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a part."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


class Steps:
    """Takes training steps and times their parts."""

    def __init__(self, config: RunConfig, alphabet: Alphabet) -> None:
        self.config = config
        self.alphabet = alphabet
        self.features = FeatureExtractor(config.frontend)
        self.network = Network(
            config.encoder,
            num_features=config.frontend.num_features,
            num_labels=len(alphabet),
        )
        self.optimizer = make_optimizer(config.optim, self.network)
        self.bf16 = uses_bf16(config.training.precision, _CPU)

    def run(self, data: TrainingData, epoch: int) -> StepTimes:
        """Take the steps of one epoch."""
        times = StepTimes(self.bf16)
        batches = iter(data.epoch(epoch))
        while True:
            with times.part("waiting"):
                batch = next(batches, None)
            if batch is None:
                return times
            self._step(batch, times)

    def _step(self, batch: Batch, times: StepTimes) -> None:
        with times.part("features"):
            features, lengths = self.features(batch.signals, batch.lengths)
        with (
            times.part("forward"),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16),
        ):
            logits, lengths = self.network(features, lengths)
        with times.part("loss"):
            losses = ctc_loss(
                logits, lengths, batch.labels, batch.label_lengths, blank=self.alphabet.blank
            )
            loss = losses.sum() / batch.label_lengths.sum()
        with times.part("backward"):
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        with times.part("optimizer"):
            clip_gradients(self.network.parameters(), self.config.optim.max_grad_norm)
            self.optimizer.step()
        times.steps += 1
        times.flops += lstm_stack_flops(
            num_frames=int(lengths.sum()),
            input_size=self.network.encoder.subsampling.output_size,
            hidden_sizes=self.config.encoder.hidden_sizes,
            training=True,
        )


def take_steps(config: RunConfig, items: Sequence[Labelled], alphabet: Alphabet) -> StepTimes:
    """Train for two passes over the items and return the times of the second.

    Args:
        config: of a plain stack of bidirectional LSTMs; its augmentation is left out.
        items: what to train on.
        alphabet: their labels.
    """
    data = TrainingData(
        items,
        frontend=config.frontend,
        num_encoder_frames=config.num_encoder_frames,
        medium=without_augmentation(config.frontend),
        space=(),
        batch_frames=config.data.fixed_batch_frames,
        seed=config.seed,
        workers=config.data.workers,
        cache_mb=config.data.cache_mb,
    )
    steps = Steps(config, alphabet)
    steps.run(data, 0)  # recordings are decoded and kept
    return steps.run(data, 1)


def describe_step(times: StepTimes) -> Iterator[str]:
    """Yield a Markdown table of a step's parts, and its matrix products against the machine's."""
    whole = sum(times.seconds.values())
    yield "| part | ms a step | share |"
    yield "| --- | ---: | ---: |"
    for part, seconds in times.seconds.items():
        yield f"| {part} | {1000 * seconds / times.steps:.1f} | {seconds / whole:.1%} |"
    dtype = torch.bfloat16 if times.bf16 else torch.float32
    limit = matmul_rate(_CPU, dtype, size=_MATMUL_SIZE)
    rate = times.flops / whole
    in_network = times.flops / (times.seconds["forward"] + times.seconds["backward"])
    yield (
        f"\nThe LSTMs' matrix products: {times.flops / times.steps / 1e9:.1f} GFLOP a step, "
        f"{rate / 1e9:,.0f} GFLOP/s over the step, {rate / limit:.1%} of the "
        f"{limit / 1e9:,.0f} GFLOP/s of one product of {_MATMUL_SIZE:,} x {_MATMUL_SIZE:,} in "
        f"{'bf16' if times.bf16 else 'fp32'}; {in_network / limit:.1%} over forward and backward."
    )
