"""log.txt of a run: a line for every epoch and every warning, handed on to whoever watches."""

import os
import traceback
from pathlib import Path

from ctcasr.errors import CtcasrError, OutputError
from ctcasr.training.loading import LoadingError
from ctcasr.training.metrics import EpochReport, StepReport, TrainingObserver


class RunLog:
    """Writes epochs and warnings to log.txt and hands everything on.

    A checkpoint notes the size of the log; a run that goes on from it cuts the log back to that,
    and then writes the same lines again.

    Args:
        path: of log.txt.
        inner: who is told, too.

    Raises:
        OutputError: by any method that writes: the file cannot be written.
    """

    def __init__(self, path: Path, inner: TrainingObserver) -> None:
        self.path = path
        self.inner = inner

    @property
    def num_bytes(self) -> int:
        """Its size; 0 where there is none yet."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def cut_back(self, num_bytes: int) -> None:
        """Drop what was written after the log had this size."""
        if num_bytes < self.num_bytes:
            os.truncate(self.path, num_bytes)

    def on_step(self, report: StepReport) -> None:
        """Hand it on."""
        self.inner.on_step(report)

    def on_epoch(self, report: EpochReport) -> None:
        """Write a line about an epoch and hand it on."""
        self._write(describe_epoch(report))
        self.inner.on_epoch(report)

    def on_warning(self, message: str) -> None:
        """Write it and hand it on."""
        self._write(message)
        self.inner.on_warning(message)

    def repeat(self, message: str) -> None:
        """Hand on a warning that the log has had since the run began."""
        self.inner.on_warning(message)

    def write_failure(self, error: BaseException) -> None:
        """Write why the run ended; with a traceback, where that was no mistake of the user's."""
        is_bug = not isinstance(error, CtcasrError)
        if is_bug or (isinstance(error, LoadingError) and error.__cause__ is not None):
            self._write("stopped:\n" + "".join(traceback.format_exception(error)).rstrip())
        else:
            self._write(f"stopped: {error}")

    def _write(self, line: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error}); free some space, "
                f"and go on with --resume"
            ) from error


def describe_epoch(report: EpochReport) -> str:
    """Return one line about an epoch."""
    parts = [f"epoch {report.epoch}/{report.epochs}", f"loss {report.loss:.3f}"]
    if report.dev_loss is not None:
        parts.append(f"dev loss {report.dev_loss:.3f}")
    if report.dev_cer is not None:
        parts.append(f"dev CER {report.dev_cer:.2%}")
    if report.dev_wer is not None:
        parts.append(f"dev WER {report.dev_wer:.2%}")
    if report.dev_attention_cer is not None:
        parts.append(f"dev attention CER {report.dev_attention_cer:.2%}")
    if report.dev_frame_error is not None:
        parts.append(f"dev frame error {report.dev_frame_error:.2%}")
    if report.dev_class_error is not None:
        parts.append(f"dev class error {report.dev_class_error:.2%}")
    parts += [
        f"lr {report.learning_rate:.1e}",
        report.pace,
        f"padding {report.padding:.1%}",
        f"waiting {report.waiting:.1%}",
        f"{report.seconds:.1f} s",
    ]
    if report.skipped:
        parts.append(f"{report.skipped} skipped")
    return ", ".join(parts)
