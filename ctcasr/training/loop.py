"""The training loop: batches in, better weights out, a checkpoint at every epoch.

The position of a run is (epoch, batch, step), and everything random is drawn from the seed and
that position, so going on from a checkpoint repeats exactly what an unbroken run would have done.
"""

import math
import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ctcasr.alphabet import Alphabet
from ctcasr.batching import Batch
from ctcasr.device import is_out_of_memory
from ctcasr.errors import RunFolderError, TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.network import Network
from ctcasr.settings import Section
from ctcasr.training.checkpoint import (
    Checkpoint,
    average_weights,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from ctcasr.training.dev_set import DevScores, DevSet
from ctcasr.training.interruption import Interrupted, StopRequest
from ctcasr.training.loading import EpochBatches, TrainingData
from ctcasr.training.metrics import EpochReport, MetricsLog, StepReport, TrainingObserver
from ctcasr.training.optim import (
    OptimConfig,
    clip_gradients,
    learning_rate,
    load_moments,
    make_optimizer,
    moments,
)


class Precision(StrEnum):
    """Number format of the matrix products in a training step."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class AverageOf(StrEnum):
    """Which epochs' weights are averaged into the model."""

    LAST = "last"
    BEST = "best"


class TrainingConfig(Section):
    """How long and how training goes. Section `training` of a run's YAML file."""

    epochs: int = Field(60, ge=1)
    """Passes over the training set."""

    patience: int | None = Field(None, ge=1)
    """Stop early after so many epochs without a better dev CER; never, where not given."""

    average: int = Field(5, ge=1)
    """How many epochs' weights are averaged into the model."""

    average_of: AverageOf = AverageOf.LAST
    """Average the `last` epochs, or the `best` by dev CER."""

    precision: Precision = Precision.AUTO
    """`bf16`, `fp32`, or `auto`: bf16 where the processor has instructions for it."""

    init_from: str | None = None
    """A model to start from; its output layer is matched label by label."""

    max_bad_steps: int = Field(5, ge=0)
    """Steps in a row with a loss or gradient that is not finite before the run stops."""


@dataclass(slots=True)
class Progress:
    """Where a run is, and what it must remember; goes into every checkpoint whole."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # batches done in the epoch under way
    step: int = 0
    bad_steps: int = 0  # in a row
    loss_sum: float = 0.0
    label_count: int = 0
    norm_sum: float = 0.0
    clipped_steps: int = 0
    steps_in_epoch: int = 0
    skipped: int = 0
    audio_seconds: float = 0.0
    padded_seconds: float = 0.0  # the same with the padding of its batches
    learning_rate: float = 0.0  # of the last step
    history: list[tuple[int, int, float | None]] = field(default_factory=list)  # epoch, step, CER

    def start_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        self.batch = self.label_count = self.steps_in_epoch = self.skipped = 0
        self.clipped_steps = 0
        self.loss_sum = self.norm_sum = self.audio_seconds = self.padded_seconds = 0.0

    @property
    def padding(self) -> float:
        """Share of the epoch's batches so far that is padding."""
        return 1 - self.audio_seconds / self.padded_seconds if self.padded_seconds else 0.0

    @property
    def epochs_without_gain(self) -> int:
        """Epochs since the dev CER was last better than ever before."""
        errors = [error for _, _, error in self.history if error is not None]
        return len(errors) - 1 - errors.index(min(errors)) if errors else 0


class Trainer:
    """Trains one network in one run folder.

    Args:
        run: the run folder.
        network, features: on `device`.
        data: the training set.
        dev: the dev set; without one there is no early stopping, and averages are of the last.
        seed: of dropout.
        observer: who is told.
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
        self.optimizer = make_optimizer(optim, network)
        self.progress = Progress()
        self.metrics = MetricsLog(run / "metrics.jsonl")
        self._autocast_enabled = uses_bf16(training.precision, device)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        facts = dict(checkpoint.facts["progress"])
        facts["history"] = [tuple(entry) for entry in facts["history"]]
        self.progress = Progress(**facts)
        self.network.load_state_dict(checkpoint.tensors("model."))
        load_moments(self.optimizer, self.network, checkpoint.tensors("optimizer."))
        self.metrics.cut_back(last_epoch=self.progress.epoch)

    def fit(self, stop: StopRequest) -> dict[str, Tensor]:
        """Train to the end and return the averaged weights.

        Raises:
            TrainingError: losses stay non-finite, or a batch does not fit in memory.
            Interrupted: `stop` was requested; a checkpoint has been written.
        """
        while self.progress.epoch < self.training.epochs and not self._is_stuck():
            self._run_epoch(stop)
        return average_weights(self._checkpoints_to_average())

    def _is_stuck(self) -> bool:
        patience = self.training.patience
        return patience is not None and self.progress.epochs_without_gain >= patience

    def _run_epoch(self, stop: StopRequest) -> None:
        progress = self.progress
        started, cpu_started = time.perf_counter(), time.process_time()
        seconds_done = progress.audio_seconds
        batches = self.data.epoch(progress.epoch, first_batch=progress.batch)
        self.network.train()
        for batch in batches:
            self._step(batch, batches.num_batches)
            progress.batch = batches.position
            self._note_unreadable(batches)
            elapsed = time.perf_counter() - started
            audio_rate = (progress.audio_seconds - seconds_done) / elapsed
            self.observer.on_step(self._step_report(batches, audio_rate, elapsed))
            if stop.signal_number is not None:
                self._save()
                raise Interrupted(stop.signal_number)
        self._note_unreadable(batches)
        trained = time.perf_counter() - started
        scores = self.score_dev()
        report = EpochReport(
            epoch=progress.epoch + 1,
            epochs=self.training.epochs,
            step=progress.step,
            loss=progress.loss_sum / max(1, progress.label_count),
            grad_norm=progress.norm_sum / max(1, progress.steps_in_epoch),
            clipped=progress.clipped_steps / max(1, progress.steps_in_epoch),
            learning_rate=progress.learning_rate,
            **asdict(scores),
            audio_rate=(progress.audio_seconds - seconds_done) / trained,
            padding=progress.padding,
            waiting=batches.waited / trained,
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu_started,
            skipped=progress.skipped,
        )
        progress.epoch += 1
        progress.history.append((progress.epoch, progress.step, scores.dev_cer))
        progress.start_epoch()
        self.metrics.append(report)  # before the checkpoint: a resumed run cuts it back, if need be
        self._save()
        self.observer.on_epoch(report)

    def _step(self, batch: Batch, num_batches: int) -> None:
        """Take one optimizer step."""
        progress = self.progress
        done = (progress.epoch + progress.batch / num_batches) / self.training.epochs
        progress.learning_rate = learning_rate(self.optim, step=progress.step, progress=done)
        for group in self.optimizer.param_groups:
            group["lr"] = progress.learning_rate
        _seed_dropout(self.seed, progress.step)
        try:
            losses = self._losses(batch)
            num_labels = max(1, int(batch.label_lengths.sum()))
            loss = losses.sum() / num_labels
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = clip_gradients(self.network.parameters(), self.optim.max_grad_norm)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise _batch_too_large(batch) from error
            raise
        progress.step += 1
        sample_rate = self.features.config.sample_rate
        progress.audio_seconds += float(batch.lengths.sum()) / sample_rate
        progress.padded_seconds += batch.waveforms.numel() / sample_rate
        if math.isfinite(float(loss.detach())) and math.isfinite(norm):
            self.optimizer.step()
            progress.bad_steps = 0
            progress.loss_sum += float(losses.detach().sum())
            progress.label_count += num_labels
            progress.norm_sum += norm
            progress.clipped_steps += norm > self.optim.max_grad_norm
            progress.steps_in_epoch += 1
        else:
            self._note_bad_step(batch, losses.detach())

    def _losses(self, batch: Batch) -> Tensor:
        distortion = batch.distortion.to(self.device) if batch.distortion else None
        features, lengths = self.features(
            batch.waveforms.to(self.device), batch.lengths.to(self.device), distortion
        )
        with self._autocast():
            logits, lengths = self.network(features, lengths)
        return ctc_loss(
            logits,
            lengths,
            batch.labels.to(self.device),
            batch.label_lengths.to(self.device),
            blank=self.alphabet.blank,
        )

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self._autocast_enabled
        )

    def _note_unreadable(self, batches: EpochBatches) -> None:
        """Name what could not be read since the last step."""
        for unreadable in batches.unreadable:
            self.observer.on_warning(
                f"epoch {self.progress.epoch + 1}: {unreadable.id} left out: {unreadable.reason}"
            )
        self.progress.skipped += len(batches.unreadable)
        batches.unreadable.clear()

    def _note_bad_step(self, batch: Batch, losses: Tensor) -> None:
        """Leave the weights alone; name the utterances; stop when patience is at its end."""
        progress = self.progress
        progress.bad_steps += 1
        progress.skipped += 1
        finite = losses.isfinite().tolist()
        guilty = [name for name, good in zip(batch.ids, finite, strict=True) if not good]
        names = ", ".join(guilty or batch.ids)
        what = "loss" if guilty else "gradient"
        message = (
            f"step {progress.step}: the {what} is not finite for {names}; the step was not taken "
            f"({progress.bad_steps} in a row)"
        )
        self.observer.on_warning(message)
        if progress.bad_steps > self.training.max_bad_steps:
            raise TrainingError(
                f"{message}; training.max_bad_steps allows {self.training.max_bad_steps}: look at "
                f"these utterances, or lower optim.peak_lr"
            )

    def score_dev(self) -> DevScores:
        """Score the dev set with the weights as they are."""
        if self.dev is None:
            return DevScores()
        self.network.eval()
        with torch.inference_mode():
            return self.dev.score(self.network, self.features, self.alphabet, self.device)

    def _step_report(self, batches: EpochBatches, audio_rate: float, elapsed: float) -> StepReport:
        progress, epochs = self.progress, self.training.epochs
        done_here = progress.batch / batches.num_batches
        epochs_left = epochs - progress.epoch - done_here
        return StepReport(
            epoch=progress.epoch + 1,
            epochs=epochs,
            batch=progress.batch,
            batches=batches.num_batches,
            step=progress.step,
            loss=progress.loss_sum / max(1, progress.label_count),
            learning_rate=progress.learning_rate,
            audio_rate=audio_rate,
            padding=progress.padding,
            waiting=batches.waited / elapsed,
            seconds_left=epochs_left * elapsed / max(done_here, 1e-9),
        )

    def _save(self) -> None:
        tensors = {f"model.{name}": t for name, t in self.network.state_dict().items()}
        for name, tensor in moments(self.optimizer, self.network).items():
            tensors[f"optimizer.{name}"] = tensor
        facts = {"progress": asdict(self.progress)}
        save_checkpoint(self.run, step=self.progress.step, tensors=tensors, facts=facts)
        keep = {step for _, step, _ in self._epochs_to_average()}
        newest = [int(folder.name.removeprefix("step-")) for folder in list_checkpoints(self.run)]
        prune_checkpoints(self.run, keep=keep | set(sorted(newest)[-2:]))

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


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Return whether matrix products run in bf16.

    `auto` takes it where it is measured to pay (benchmarks/RESULTS.md): on a GPU, and on a CPU
    with bf16 instructions.
    """
    if precision is not Precision.AUTO:
        return precision is Precision.BF16
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def _batch_too_large(batch: Batch) -> TrainingError:
    return TrainingError(
        f"out of memory in a batch of {len(batch.ids)} utterances of up to "
        f"{int(batch.lengths.max())} samples ({batch.ids[0]}, ...); lower data.batch_frames, or "
        f"leave long ones out by data.max_frames, and go on with --resume"
    )


def _seed_dropout(seed: int, step: int) -> None:
    """Make the step's own draws depend on its position alone."""
    torch.manual_seed((seed * 1_000_003 + step) % 2**63)


def seed_everything(seed: int) -> None:
    """Seed every generator a library might draw from; ours are keyed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that still draw from it
    torch.manual_seed(seed)
