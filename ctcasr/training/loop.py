"""The training loop: batches in, better weights out, checkpoints on the way.

The position of a run is (epoch, batch, step), and everything random is drawn from the seed and
that position, so going on from a checkpoint repeats exactly what an unbroken run would have done.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, astuple, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ctcasr.alphabet import Alphabet
from ctcasr.batching import Batch
from ctcasr.device import forget_peak, is_out_of_memory, peak_bytes
from ctcasr.distributed import ALONE, LostProcessError, World
from ctcasr.errors import RunFolderError, TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.models.heads import HeadLoss, head_counts, head_losses, weighted_sum
from ctcasr.models.network import Network
from ctcasr.settings import Section
from ctcasr.training.checkpoint import (
    Checkpoint,
    average_weights,
    checkpoint_folder,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from ctcasr.training.computing import Computing, Precision, candidates
from ctcasr.training.dev_set import DevScores, DevSet
from ctcasr.training.interruption import Interrupted, StopRequest
from ctcasr.training.loading import EpochBatches, LoadingError, TrainingData
from ctcasr.training.metrics import EpochReport, MetricsLog, StepReport, TrainingObserver
from ctcasr.training.moving_average import MovingAverage
from ctcasr.training.optim import (
    OptimConfig,
    clip_gradients,
    freeze_parameters,
    learning_rate,
    load_moments,
    make_optimizer,
    moments,
)

_BETWEEN_PARTS = 0x9E37_79B9_7F4A_7C15  # 2**64 over the golden ratio: parts and steps never meet
_WORSE_THAN_GUESSING = 2.0
"""Times the loss of a network that guesses; runs that recover stay below (docs/log.md)."""


class BatchTooLargeError(TrainingError):
    """There is not enough memory for a step."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(
            f"out of memory in a batch of {len(batch.ids)} utterances of up to "
            f"{int(batch.lengths.max())} positions ({batch.ids[0]}, ...); lower "
            f"data.batch_frames, or leave long ones out by data.max_frames, and go on with --resume"
        )


class AverageOf(StrEnum):
    """Which epochs' weights are averaged into the model."""

    LAST = "last"
    BEST = "best"


class TrainingConfig(Section):
    """How long and how training goes. Section `training` of a run's YAML file."""

    epochs: int = Field(60, ge=1)
    """Passes over the training set."""

    patience: int | None = Field(None, ge=1)
    """Stop early after so many epochs without a better dev CER (or class error, where the model
    writes no text); never, where not given."""

    average: int = Field(5, ge=1)
    """How many epochs' weights are averaged into the model."""

    average_of: AverageOf = AverageOf.LAST
    """Average the `last` epochs, or the `best` by dev CER."""

    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Keep an exponential moving average of the weights, of which each step leaves this share, as
    in 0.999. The dev set judges it, and epochs are averaged from it; none, where not given."""

    bptt_frames: int | None = Field(None, ge=1)
    """Gradients flow back through so many frames of the encoder's output (truncated BPTT); the
    forward pass stays whole. Needs `encoder.directions: forwards`; no cut, where not given."""

    accumulate: int = Field(1, ge=1)
    """Each batch is computed in so many parts, one after another, whose gradients add up: a batch
    that needs too much memory for one pass needs that of a part. Several processes
    (docs/several-devices.md) each cut their share."""

    precision: Precision = Precision.AUTO
    """`bf16`, `fp32`, or `auto`: where the processor has instructions for bf16, which of the two a
    few steps before the first find faster; fp32 elsewhere. run.json says which; `--resume` repeats
    it."""

    threads: int | None = Field(None, ge=1)
    """Threads for computing on a CPU; not given, all that torch would take, or half as many where
    that is found faster at the start. Equal bits need equal threads; `--resume` repeats them."""

    init_from: str | None = None
    """A model to start from; its output layer is matched label by label."""

    max_bad_steps: int = Field(5, ge=0)
    """Steps in a row with a loss or gradient that is not finite before the run stops."""

    checkpoint_minutes: float = Field(10.0, ge=0)
    """Minutes between checkpoints inside an epoch, beside the one at its end; 0 writes one after
    every step."""

    keep_checkpoints: int = Field(2, ge=1)
    """Newest checkpoints kept, beside those that are averaged; one alone may be damaged."""

    deterministic: bool = False
    """Nothing is timed at the start to choose precision and threads. On a GPU also: only kernels
    that give the same bits each time, and the CTC loss on the CPU, which is slower."""


@dataclass(slots=True)
class Progress:
    """Where a run is, and what it must remember; goes into every checkpoint whole."""

    epoch: int = 0  # finished epochs
    round: int = 0  # of the epoch under way; see TrainingData
    batch: int = 0  # batches done in that round
    step: int = 0
    bad_steps: int = 0  # in a row
    loss_sum: float = 0.0
    label_count: int = 0  # labels, or utterances where those are what has one
    guess_sum: float = 0.0  # nats of a network that holds all labels equally probable
    norm_sum: float = 0.0
    clipped_steps: int = 0
    steps_in_epoch: int = 0
    skipped: int = 0
    amount: float = 0.0  # seconds of audio, points of ink, pixels
    padded_amount: float = 0.0  # the same with the padding of its batches
    learning_rate: float = 0.0  # of the last step
    history: list[tuple[int, int, float | None]] = field(default_factory=list)  # epoch, step, error
    unreadable: list[str] = field(default_factory=list)  # recordings, each named once

    def start_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        self.round = self.batch = self.label_count = self.steps_in_epoch = self.skipped = 0
        self.clipped_steps = 0
        self.loss_sum = self.guess_sum = self.norm_sum = 0.0
        self.amount = self.padded_amount = 0.0

    @property
    def padding(self) -> float:
        """Share of the epoch's batches so far that is padding."""
        return 1 - self.amount / self.padded_amount if self.padded_amount else 0.0

    @property
    def epochs_without_gain(self) -> int:
        """Epochs since the dev error was last better than ever before."""
        errors = [error for _, _, error in self.history if error is not None]
        return len(errors) - 1 - errors.index(min(errors)) if errors else 0


@dataclass(frozen=True, slots=True)
class _StepSums:
    """What the parts of a step add up to, in one process or in all.

    Attributes:
        objective: the loss that is minimised: means over the whole step.
        plain: nats of the first head; guess: of one that holds everything equally probable.
        positions: of signals; padded_positions: with the padding of their batch.
        ids: the utterances; not_finite: those whose loss is not finite.
    """

    objective: float = 0.0
    plain: float = 0.0
    guess: float = 0.0
    positions: int = 0
    padded_positions: int = 0
    ids: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()

    def __add__(self, other: "_StepSums") -> "_StepSums":
        mine, others = astuple(self), astuple(other)
        return _StepSums(*(one + more for one, more in zip(mine, others, strict=True)))


class Trainer:
    """Trains one network in one run folder.

    Args:
        run: the run folder.
        network, features: on `device`.
        data: the training set.
        dev: the dev set; without one there is no early stopping, and averages are of the last.
        seed: of dropout.
        observer: who is told.
        facts: asked at every checkpoint for what else it should hold, as JSON.
        world: the processes that train together, each with a trainer that differs in nothing else
            but `device`; only the first one's writes.
    """

    def __init__(
        self,
        *,
        run: Path,
        network: Network,
        features: FeatureExtractor,
        alphabet: Alphabet,
        data: TrainingData,
        dev: DevSet | None,
        optim: OptimConfig,
        training: TrainingConfig,
        seed: int,
        device: torch.device,
        observer: TrainingObserver,
        facts: Callable[[], Mapping[str, Any]] = dict,
        world: World = ALONE,
    ) -> None:
        self.run = run
        self.network = network
        self.features = features
        self.alphabet = alphabet
        self.data = data
        self.dev = dev
        self.optim = optim
        self.training = training
        self.seed = seed
        self.device = device
        self.observer = observer
        self.facts = facts
        self.world = world
        freeze_parameters(network, optim.freeze)
        self.optimizer = make_optimizer(optim, network)
        self.average: MovingAverage | None = None
        if training.ema_decay is not None:
            self.average = MovingAverage(network, decay=training.ema_decay)
        self.progress = Progress()
        self._share_done = 1.0
        """Of the run, before the step under way; steps that are only tried are as at its end."""
        self.metrics = MetricsLog(run / "metrics.jsonl")
        self._computing = candidates(training.precision, training.threads, device)[0]
        self._loss_device = loss_device(training, device)
        self._saved_at = time.monotonic()

    def compute_as(self, computing: Computing) -> None:
        """Compute steps this way from now on; threads are those of the whole process."""
        self._computing = computing
        torch.set_num_threads(computing.threads)

    def seconds_of_step(self, batch: Batch, computing: Computing) -> float:
        """Return the time of a step that is not taken: losses and gradients."""
        self.compute_as(computing)
        self.network.train()
        counts = [max(1, count) for count in head_counts(batch, self.network.heads)]
        started = time.perf_counter()
        self._add_gradients(batch, counts)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - started
        self.optimizer.zero_grad(set_to_none=True)
        return seconds

    def bytes_of_step(self, batch: Batch) -> int | None:
        """Return what a step would need at most; None if that is more memory than there is.

        On a CPU it is what the whole process needs, and 0 where the system does not tell. The step
        is not taken.
        """
        self.network.train()
        counts = [max(1, count) for count in head_counts(batch, self.network.heads)]
        forget_peak(self.device)
        try:
            self._add_gradients(batch, counts)
        except BatchTooLargeError:
            return None
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        # AdamW's two moments come into being with the first step.
        weights = [p for p in self.network.parameters() if p.requires_grad]
        moments_bytes = 2 * sum(p.numel() * p.element_size() for p in weights)
        return (peak_bytes(self.device) or 0) + moments_bytes

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        facts = dict(checkpoint.facts["progress"])
        facts["history"] = [tuple(entry) for entry in facts["history"]]
        self.progress = Progress(**facts)
        self.network.load_state_dict(checkpoint.tensors("model."))
        load_moments(self.optimizer, self.network, checkpoint.tensors("optimizer."))
        if self.average is not None:
            self.average.load(checkpoint.tensors("average."))
        if self.world.is_first:
            self.metrics.cut_back(last_epoch=self.progress.epoch)
            self._prune()  # if it was stopped before it could

    def fit(self, stop: StopRequest) -> dict[str, Tensor]:
        """Train to the end and return the averaged weights.

        Raises:
            TrainingError: losses stay non-finite or grow, or a batch does not fit in memory.
            LoadingError: the data gave out; a checkpoint has been written.
            LostProcessError: another process is gone; a checkpoint has been written.
            Interrupted: `stop` was requested of any process; a checkpoint has been written.
            ToldElsewhereError: one of these, in all processes but the first.
        """
        self._saved_at = time.monotonic()
        self.world.copy_from_first(self.network.state_dict().values())
        try:
            while self.progress.epoch < self.training.epochs and not self._is_stuck():
                self._run_epoch(stop)
        except (LoadingError, LostProcessError):
            if self.world.is_first:
                self._save()
            raise
        prefix = "model." if self.average is None else "average."
        with self.world.agreed():
            return average_weights(self._checkpoints_to_average(), prefix)

    def _is_stuck(self) -> bool:
        patience = self.training.patience
        return patience is not None and self.progress.epochs_without_gain >= patience

    def _run_epoch(self, stop: StopRequest) -> None:
        progress = self.progress
        started, cpu_started = time.perf_counter(), time.process_time()
        amount_done = progress.amount
        batches = self.data.epoch(
            progress.epoch,
            first_round=progress.round,
            first_batch=progress.batch,
            unreadable=progress.unreadable,
            world=self.world,
        )
        done = batches.done
        self.network.train()
        for batch in batches:
            self._step(batch, done)
            progress.round, progress.batch, done = batches.round, batches.position, batches.done
            self._note_unreadable(batches)
            elapsed = time.perf_counter() - started
            throughput = (progress.amount - amount_done) / elapsed
            self.observer.on_step(self._step_report(batches, throughput, elapsed))
            is_due = time.monotonic() - self._saved_at >= 60 * self.training.checkpoint_minutes
            if self.world.largest(is_due or stop.signal_number is not None):
                self._save_once()
                self._obey(stop)
        self._note_unreadable(batches)
        with self.world.agreed():
            self._require_learning()
        trained = time.perf_counter() - started
        scores = self.world.from_first(self._judge)
        report = EpochReport(
            epoch=progress.epoch + 1,
            epochs=self.training.epochs,
            step=progress.step,
            loss=progress.loss_sum / max(1, progress.label_count),
            grad_norm=progress.norm_sum / max(1, progress.steps_in_epoch),
            clipped=progress.clipped_steps / max(1, progress.steps_in_epoch),
            learning_rate=progress.learning_rate,
            **asdict(scores),
            throughput=(progress.amount - amount_done) / trained,
            padding=progress.padding,
            waiting=batches.waited / trained,
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu_started,
            skipped=progress.skipped,
            unit=self.data.unit,
        )
        progress.epoch += 1
        progress.history.append((progress.epoch, progress.step, scores.error))
        progress.start_epoch()
        # Both logs before the checkpoint: a resumed run cuts them back, if need be.
        with self.world.agreed():
            if self.world.is_first:
                self.metrics.append(report)
            self.observer.on_epoch(report)
        self._save_once()
        self._obey(stop)

    def _save_once(self) -> None:
        """Have the first process write a checkpoint, while the others wait."""
        with self.world.agreed():
            if self.world.is_first:
                self._save()
        self._saved_at = time.monotonic()

    def _obey(self, stop: StopRequest) -> None:
        """End the run where any process was asked to stop; a checkpoint has been written."""
        number = self.world.largest(stop.signal_number or 0)
        if number:
            self.world.end(Interrupted(number), status=128 + number)

    def _judge(self) -> DevScores:
        """Score the dev set with the weights that will be averaged."""
        try:
            with nullcontext() if self.average is None else self.average.in_place_of(self.network):
                return self.score_dev()
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._last_good()}") from error

    def _step(self, batch: Batch, done_in_epoch: float) -> None:
        """Take one optimizer step; given is the share of the epoch before it."""
        progress = self.progress
        done = (progress.epoch + done_in_epoch) / self.training.epochs
        self._share_done = done
        progress.learning_rate = learning_rate(self.optim, step=progress.step, progress=done)
        for group in self.optimizer.param_groups:
            group["lr"] = progress.learning_rate
        counts = [max(1, self.world.sum(n)) for n in head_counts(batch, self.network.heads)]
        self.optimizer.zero_grad(set_to_none=True)
        with self.world.agreed():
            mine = self._add_gradients(batch, counts)
        sums = sum(self.world.gather(mine), start=_StepSums())
        self.world.sum_gradients(self.network.parameters())
        norm = clip_gradients(self.network.parameters(), self.optim.max_grad_norm)
        progress.step += 1
        rate = self.features.config.rate
        progress.amount += sums.positions / rate
        progress.padded_amount += sums.padded_positions / rate
        if math.isfinite(sums.objective) and math.isfinite(norm):
            self.optimizer.step()
            if self.average is not None:
                self.average.update(self.network, step=progress.step)
            progress.bad_steps = 0
            progress.loss_sum += sums.plain
            progress.label_count += counts[0]
            progress.guess_sum += sums.guess
            progress.norm_sum += norm
            progress.clipped_steps += norm > self.optim.max_grad_norm
            progress.steps_in_epoch += 1
        else:
            with self.world.agreed():
                self._note_bad_step(sums)

    def _add_gradients(self, batch: Batch, counts: Sequence[int]) -> _StepSums:
        """Add the gradients of this process's share of a step, part by part."""
        done = _StepSums()
        for number, part in enumerate(batch.split(self.training.accumulate)):
            _seed_dropout(
                self.seed, self.progress.step, part=self.world.rank + number * self.world.size
            )
            try:
                losses = self._losses(part)
                loss = weighted_sum(losses, counts)
                loss.backward()  # type: ignore[no-untyped-call]
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise BatchTooLargeError(part) from error
                raise
            finite = torch.stack([one.objective.detach().isfinite() for one in losses]).all(0)
            done += _StepSums(
                objective=float(loss.detach()),
                plain=float(losses[0].plain.detach().sum()),
                guess=losses[0].guess,
                positions=int(part.lengths.sum()),
                padded_positions=part.signals.shape[0] * part.signals.shape[1],
                ids=part.ids,
                not_finite=tuple(
                    name for name, good in zip(part.ids, finite.tolist(), strict=True) if not good
                ),
            )
        return done

    def _losses(self, batch: Batch) -> list[HeadLoss]:
        """Return what the batch costs each head."""
        heads = self.network.heads
        distortion = batch.distortion.to(self.device) if batch.distortion else None
        features, lengths = self.features(
            batch.signals.to(self.device), batch.lengths.to(self.device), distortion
        )
        with self._autocast():
            outputs = self.network.outputs(
                features,
                lengths,
                layers=heads.ctc.intermediate_layers,
                gradient_frames=self.training.bptt_frames,
                labels=batch.labels.to(self.device),
                sampling=heads.attention.sampling_at(self._share_done),
            )
        return head_losses(
            outputs,
            batch,
            heads,
            blank=self.alphabet.blank,
            ctc_device=self._loss_device,
            progress=self._share_done,
        )

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._computing.bf16)

    def _note_unreadable(self, batches: EpochBatches) -> None:
        """Count what could not be read since the last step, and name what is new."""
        progress, limit = self.progress, self.data.max_unreadable
        for unreadable in batches.unreadable:
            if unreadable.id not in progress.unreadable:
                progress.unreadable.append(unreadable.id)
                allowed = "" if limit is None else f", data.max_unreadable allows {limit}"
                self.observer.on_warning(
                    f"epoch {progress.epoch + 1}: {unreadable.id} left out: {unreadable.reason} "
                    f"({len(progress.unreadable)} unreadable so far{allowed})"
                )
        self.progress.skipped += len(batches.unreadable)
        batches.unreadable.clear()

    def _note_bad_step(self, sums: _StepSums) -> None:
        """Leave the weights alone; name the utterances; stop when patience is at its end."""
        progress = self.progress
        progress.bad_steps += 1
        progress.skipped += 1
        names = ", ".join(sums.not_finite or sums.ids)
        what = "loss" if sums.not_finite else "gradient"
        message = (
            f"step {progress.step}: the {what} is not finite for {names}; the step was not taken "
            f"({progress.bad_steps} in a row)"
        )
        self.observer.on_warning(message)
        if progress.bad_steps > self.training.max_bad_steps:
            raise TrainingError(
                f"{message}; training.max_bad_steps allows {self.training.max_bad_steps}: look at "
                f"these utterances, or lower optim.peak_lr; {self._last_good()}"
            )

    def _require_learning(self) -> None:
        """Stop where the epoch's losses are far worse than those of a network that guesses."""
        progress = self.progress
        if progress.loss_sum > _WORSE_THAN_GUESSING * progress.guess_sum:
            num_labels = max(1, progress.label_count)
            raise TrainingError(
                f"epoch {progress.epoch + 1}: the training diverged: the mean loss is "
                f"{progress.loss_sum / num_labels:.4g} nats per label, and guessing would give "
                f"{progress.guess_sum / num_labels:.4g}; lower optim.peak_lr "
                f"({self.optim.peak_lr:g}) and begin in another folder; {self._last_good()}"
            )

    def _last_good(self) -> str:
        """Say which checkpoint has the weights of the last whole epoch."""
        if not self.progress.history:
            return "no epoch had been finished"
        epoch, step, _ = self.progress.history[-1]
        return f"epoch {epoch} is kept in {checkpoint_folder(self.run, step)}"

    def score_dev(self) -> DevScores:
        """Score the dev set with the weights as they are."""
        if self.dev is None:
            return DevScores()
        self.network.eval()
        with torch.inference_mode():
            return self.dev.score(self.network, self.features, self.alphabet, self.device)

    def _step_report(self, batches: EpochBatches, throughput: float, elapsed: float) -> StepReport:
        progress, epochs = self.progress, self.training.epochs
        done_here = batches.done
        epochs_left = epochs - progress.epoch - done_here
        return StepReport(
            epoch=progress.epoch + 1,
            epochs=epochs,
            batch=round(done_here * batches.num_batches),
            batches=batches.num_batches,
            step=progress.step,
            loss=progress.loss_sum / max(1, progress.label_count),
            learning_rate=progress.learning_rate,
            throughput=throughput,
            padding=progress.padding,
            waiting=batches.waited / elapsed,
            seconds_left=epochs_left * elapsed / max(done_here, 1e-9),
            unit=self.data.unit,
        )

    def _save(self) -> None:
        tensors = {f"model.{name}": t for name, t in self.network.state_dict().items()}
        for name, tensor in moments(self.optimizer, self.network).items():
            tensors[f"optimizer.{name}"] = tensor
        if self.average is not None:
            tensors |= {f"average.{name}": t for name, t in self.average.weights.items()}
        facts = {**self.facts(), "progress": asdict(self.progress)}
        save_checkpoint(self.run, step=self.progress.step, tensors=tensors, facts=facts)
        self._prune()

    def _prune(self) -> None:
        """Delete checkpoints that are neither averaged, nor among the newest up to here.

        Those of later steps are damaged, or the run would have gone on from them.
        """
        last_epoch = self.progress.history[-1:]
        keep = {step for _, step, _ in [*self._epochs_to_average(), *last_epoch]}
        steps = [int(folder.name.removeprefix("step-")) for folder in list_checkpoints(self.run)]
        steps = [step for step in steps if step <= self.progress.step]
        prune_checkpoints(self.run, keep=keep | set(steps[-self.training.keep_checkpoints :]))

    def _epochs_to_average(self) -> Sequence[tuple[int, int, float | None]]:
        history = self.progress.history
        if self.training.average_of is AverageOf.BEST and self.dev is not None:
            history = sorted(history, key=lambda entry: (entry[2] or 0.0, -entry[0]))
            return history[: self.training.average]
        return history[-self.training.average :]

    def _checkpoints_to_average(self) -> list[Checkpoint]:
        folders = {int(f.name.removeprefix("step-")): f for f in list_checkpoints(self.run)}
        steps = [step for _, step, _ in self._epochs_to_average()]
        missing = [step for step in steps if step not in folders]
        if missing:
            raise RunFolderError(
                f"{self.run}: the checkpoint of step {missing[0]}, to be averaged, is gone; put it "
                f"back or lower training.average"
            )
        return [load_checkpoint(folders[step]) for step in steps]


def loss_device(training: TrainingConfig, device: torch.device) -> torch.device:
    """Return where the CTC loss is computed, when the network runs on `device`.

    On a GPU, the backward pass of torch's kernel is not deterministic.
    """
    return torch.device("cpu") if training.deterministic else device


def _seed_dropout(seed: int, step: int, *, part: int) -> None:
    """Make the draws of a part of a step depend on its position alone."""
    torch.manual_seed((seed * 1_000_003 + step + part * _BETWEEN_PARTS) % 2**63)


def seed_everything(seed: int) -> None:
    """Seed every generator a library might draw from; ours are keyed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that still draw from it
    torch.manual_seed(seed)
