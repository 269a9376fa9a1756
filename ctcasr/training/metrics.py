"""What a run reports while it goes: plain records, one JSON line each in metrics.jsonl."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ctcasr.errors import OutputError, RunFolderError
from ctcasr.files import read_lines, write_text

_MAY_LACK = frozenset(
    {
        "clipped",
        "dev_loss",
        "dev_cer",
        "dev_wer",
        "blank_share",
        "dev_class_error",
        "dev_frame_error",
        "dev_attention_cer",
    }
)


@dataclass(frozen=True, slots=True)
class StepReport:
    """How far an epoch has come.

    Attributes:
        epoch: from 1; epochs: of so many.
        batch: batches done; batches: of so many.
        step: optimizer steps in all.
        loss: mean of the epoch so far, nats per label (see `EpochReport`).
        learning_rate: of the last step.
        throughput: amount trained on per second.
        padding: share of the epoch's frames that is padding.
        waiting: share of the time spent waiting for data.
        seconds_left: estimate for the whole run.
        unit: of amounts: "s" of audio, "point" of ink, "px" of images.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    step: int
    loss: float
    learning_rate: float
    throughput: float
    padding: float
    waiting: float
    seconds_left: float
    unit: str = "s"

    @property
    def pace(self) -> str:
        """The throughput in words."""
        return _pace(self.throughput, self.unit)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        loss: mean over the epoch of the first head's, nats per label of its text, or per utterance.
        grad_norm: mean L2 norm of the gradient before clipping.
        clipped: share of the steps whose gradient was scaled down to `optim.max_grad_norm`; None in
            runs of releases that did not count them.
        dev_loss, dev_cer, dev_wer: on the dev set by best path, or by attention where no head has
            one; None without a dev set.
        blank_share: frames of the dev set (or None) whose most probable symbol is blank.
        seconds, cpu_seconds: wall and processor time, dev set included.
        skipped: recordings that could not be read, steps that were not finite.
        dev_class_error: share of the dev set whose one label is wrong; None without such a head.
        dev_frame_error: share of its frames whose label is wrong; None without such a head.
        dev_attention_cer: on the dev set by the attention decoder, where CTC gives `dev_cer`.
        unit: of amounts: see `StepReport`.
    """

    epoch: int
    epochs: int
    step: int
    loss: float
    grad_norm: float
    clipped: float | None
    learning_rate: float
    dev_loss: float | None
    dev_cer: float | None
    dev_wer: float | None
    blank_share: float | None
    throughput: float
    padding: float
    waiting: float
    seconds: float
    cpu_seconds: float
    skipped: int
    dev_class_error: float | None = None
    dev_frame_error: float | None = None
    dev_attention_cer: float | None = None
    unit: str = "s"

    @property
    def pace(self) -> str:
        """The throughput in words."""
        return _pace(self.throughput, self.unit)


def _pace(throughput: float, unit: str) -> str:
    kind = {"s": "audio s", "point": "points"}.get(unit, unit)
    return f"{throughput:.0f} {kind}/s"


class TrainingObserver(Protocol):
    """Someone who watches a run: a terminal, a log, a test."""

    def on_step(self, report: StepReport) -> None:
        """A batch is done."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch is done and the dev set scored."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that does not stop the run."""


class MetricsLog:
    """metrics.jsonl of a run: one line per epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut_back(self, *, last_epoch: int) -> None:
        """Drop the lines of epochs after `last_epoch`, which a resumed run will write again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _epoch_of(line) <= last_epoch]
        write_text(self.path, "".join(line + "\n" for line in kept))

    def append(self, report: EpochReport) -> None:
        """Add one epoch."""
        append_json_line(self.path, asdict(report))


def read_metrics(path: Path) -> list[EpochReport]:
    """Return the epochs of a run; none where there is no file.

    A last line that was cut off is left out.

    Raises:
        RunFolderError: another line is no epoch.
    """
    if not path.is_file():
        return []
    lines = list(read_lines(path, error=RunFolderError))
    reports = []
    for number, line in enumerate(lines, start=1):
        try:
            reports.append(_parse_epoch(line))
        except (TypeError, ValueError) as error:
            if number == len(lines):
                break
            raise RunFolderError(
                f"{path}: line {number} is no epoch ({error}); put the file back as it was"
            ) from error
    return reports


def _parse_epoch(line: str) -> EpochReport:
    record = {"clipped": None} | json.loads(line)
    if "audio_rate" in record:  # its name before there was anything but audio
        record["throughput"] = record.pop("audio_rate")
    report = EpochReport(**record)
    for name, value in asdict(report).items():
        if name != "unit" and not (
            isinstance(value, int | float) or (value is None and name in _MAY_LACK)
        ):
            raise TypeError(f"{name!r} is {json.dumps(value)}")
    return report


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one JSON line to a log and push it to the disk.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or name "
            f"another place"
        ) from error


def _epoch_of(line: str) -> int:
    try:
        return int(json.loads(line)["epoch"])
    except ValueError:  # the last line of a run that was cut off while writing it
        return 2**31
