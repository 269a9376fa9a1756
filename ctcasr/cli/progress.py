"""What a person sees on standard error while a command works.

A bar where there is a terminal, plain lines where there is none.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctcasr.manifest import Utterance
    from ctcasr.training.metrics import EpochReport, StepReport


def announce(message: str) -> None:
    """Print one line on standard error, above the bar where there is one."""
    sys.stderr.write(message + "\n")


def count_of(number: int, what: str) -> str:
    """Return "1 item", "2 items"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def announce_notes(notes: Iterable[str]) -> None:
    """Print what a user should know."""
    for note in notes:
        announce(f"note: {note}")


def announce_left_out(without_text: "Sequence[Utterance]") -> None:
    """Name the items of a manifest that have no text, if there are any."""
    if without_text:
        announce(
            f"{count_of(len(without_text), 'item')} left out, without a text: "
            f"{', '.join(utterance.id for utterance in without_text)}"
        )


def describe_speed(audio_seconds: float, seconds: float) -> str:
    """Return amount, time and real-time factor in words."""
    if not audio_seconds:
        return f"{seconds:.1f} s"
    factor = seconds / audio_seconds
    return f"{audio_seconds:.1f} s of audio in {seconds:.1f} s, real-time factor {factor:.3f}"


@contextmanager
def counting(what: str, *, hidden: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how many items are done; yields a function to be told (done, total)."""
    if hidden or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class TrainingDisplay:
    """How a training goes: a live line for the epoch under way, a line for each one done.

    Use as a context manager.

    Args:
        hidden: show nothing, as where another process of the run does.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = None
        self._dev_error = ""  # of the last epoch that ended
        if self._console.is_terminal and not hidden:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[facts]}", table_column=Column()),  # may wrap
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("starting", total=1, facts="")

    def __enter__(self) -> "TrainingDisplay":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def on_step(self, report: "StepReport") -> None:
        """Move the live line."""
        if not self._progress:
            return
        facts = (
            f"loss {report.loss:.3f}  {self._dev_error}lr {report.learning_rate:.1e}  "
            f"{report.pace}  padding {report.padding:.1%}  "
            f"waiting {report.waiting:.1%}  {format_time(report.seconds_left)} left"
        )
        self._progress.update(
            self._task,
            description=f"epoch {report.epoch}/{report.epochs}",
            completed=report.batch,
            total=report.batches,
            facts=facts,
        )

    def on_epoch(self, report: "EpochReport") -> None:
        """Print a line about the epoch."""
        from ctcasr.pipeline.run_log import describe_epoch

        if report.dev_cer is not None:
            self._dev_error = f"dev CER {report.dev_cer:.1%}  "
        elif report.dev_frame_error is not None:
            self._dev_error = f"dev frame error {report.dev_frame_error:.1%}  "
        elif report.dev_class_error is not None:
            self._dev_error = f"dev class error {report.dev_class_error:.1%}  "
        self._print(describe_epoch(report))

    def on_warning(self, message: str) -> None:
        """Print it."""
        self._print(f"note: {message}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False)


def format_time(seconds: float) -> str:
    """Return 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
