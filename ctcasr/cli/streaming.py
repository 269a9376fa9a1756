"""`ctcasr transcribe --stream`: words on standard output while somebody speaks."""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import SearchOptions
from ctcasr.cli.progress import announce, announce_notes, describe_speed
from ctcasr.cli.writing import ITEMS_FAILED

if TYPE_CHECKING:
    from ctcasr.frontends.sound.live_audio import LiveAudio
    from ctcasr.streaming import StreamingRecognizer

_ERASE_REST, _DIM, _PLAIN = "\x1b[K", "\x1b[2m", "\x1b[0m"
_SHARE_FOR_SHOWING = 0.1


def require_stream_options(
    inputs: Sequence[str], *, stream: bool, rate: int | None, formats: str, has_output: bool
) -> None:
    """Refuse options that do not go with a stream.

    Raises:
        UsageError: one does not.
    """
    if not stream:
        raise click.UsageError("--rate: a file says its own; it goes with --stream -")
    if len(inputs) != 1:
        raise click.UsageError(f"--stream: {len(inputs)} inputs; give one file, or -")
    if rate is not None and inputs[0] != "-":
        raise click.UsageError(f"--rate: {inputs[0]} says its own; it goes with --stream -")
    if formats != "txt" or has_output:
        raise click.UsageError("--stream prints text as it settles; leave out -f and -o")


def transcribe_stream(
    model: str, item: str, *, rate: int | None, search: SearchOptions, device: str
) -> int:
    """Print the text of one recording on one line, word by word as it settles.

    Args:
        model: see `load`.
        item: a file, or "-" for standard input.
        rate: of raw samples on standard input, in Hz; None for WAV bytes.
        search: what the command line says about it.
        device: see `load`.

    Returns:
        The exit status.
    """
    from ctcasr.bundle import load
    from ctcasr.errors import AudioError

    recognizer = load(model, device=device)
    decode = search.config(recognizer.config.decode)
    stream = recognizer.stream(decode, source=item)
    announce_notes(recognizer.decoder(decode).notes)
    announce(f"streaming {stream.latency_ms:.1f} ms behind the sound; words follow as they settle")
    line = _Line()
    seconds, num_samples = 0.0, 0
    try:
        audio = _open(item, rate)
        if audio.rate != recognizer.sample_rate:
            announce(f"resampled to the model's {recognizer.sample_rate:,} Hz: {audio.rate:,} Hz")
        for samples in audio.resampled(recognizer.sample_rate):
            began = time.perf_counter()
            stream.feed(samples)
            line.show(stream)
            seconds += time.perf_counter() - began
            num_samples += len(samples)
        began = time.perf_counter()
        line.finish(stream.finish().text)
        seconds += time.perf_counter() - began
    except AudioError as error:
        line.end()
        announce(f"failed: {error}")
        return ITEMS_FAILED
    finally:
        line.end()  # also where somebody interrupts: what has settled stands
    announce(describe_speed(num_samples / recognizer.sample_rate, seconds))
    return 0


def _open(item: str, rate: int | None) -> "LiveAudio":
    from ctcasr.frontends.sound.live_audio import open_file, open_samples, open_wav

    if item != "-":
        return open_file(Path(item))
    if rate is None:
        return open_wav(sys.stdin.buffer, name="standard input")
    return open_samples(sys.stdin.buffer, rate=rate, name="standard input")


class _Line:
    """The line that is being said; on a terminal the unsettled rest stands dim at its end."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._printed = ""
        self._has_ended = False
        self._next_look = 0.0

    def show(self, stream: "StreamingRecognizer") -> None:
        """Print what has settled since."""
        settled, rest = stream.settled_text, ""
        if self._is_terminal:
            began = time.perf_counter()
            if began < self._next_look and settled == self._printed:
                return
            rest = stream.best_text[len(settled) :]
            ended = time.perf_counter()
            # The best text of a long recording takes long, and need not be shown often.
            self._next_look = ended + (ended - began) / _SHARE_FOR_SHOWING
        self._write(settled, rest)

    def finish(self, text: str) -> None:
        """Print the rest of the final text, and end the line."""
        self._write(text, "")
        self.end()

    def end(self) -> None:
        """End the line, once."""
        if not self._has_ended:
            self._has_ended = True
            click.echo(_ERASE_REST if self._is_terminal else "")

    def _write(self, settled: str, rest: str) -> None:
        new = settled[len(self._printed) :]
        self._printed = settled
        if not self._is_terminal:
            click.echo(new, nl=False)
            return
        columns = shutil.get_terminal_size().columns
        # Never over the edge, from where a cursor cannot be moved back.
        rest = rest[: columns - len(settled) % columns - 1]
        back = f"\x1b[{len(rest)}D" if rest else ""
        click.echo(f"{_ERASE_REST}{new}{_DIM}{rest}{_PLAIN}{back}", nl=False, color=True)
