"""What commands that write transcripts share: their options, the files, the last lines they say."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctcasr.cli.progress import announce, count_of, describe_speed

if TYPE_CHECKING:
    from ctcasr.pipeline.inputs import Input
    from ctcasr.pipeline.outputs import Existing, OutputPlan
    from ctcasr.pipeline.transcribe import Tally
    from ctcasr.recognizer import Recognizer
    from ctcasr.reporting.transcripts import TranscriptFormat
    from ctcasr.transcript import Failure, Transcript

ITEMS_FAILED = 3

_Function = TypeVar("_Function", bound=Callable[..., Any])


def format_option(default: str) -> Callable[[_Function], _Function]:
    """Add -f."""
    return click.option(
        "-f",
        "--format",
        "formats",
        default=default,
        show_default=True,
        metavar="FORMAT[,...]",
        help="txt, tsv (id and text), jsonl (words, times, scores), srt or vtt (subtitles), ctm, "
        "stm or trn (NIST), textgrid (Praat), page or alto (a copy of the page that lines came "
        "from); several with commas. A file of srt, vtt or textgrid holds one recording.",
    )


def existing_options(function: _Function) -> _Function:
    """Add --skip-existing and --overwrite."""
    function = click.option(
        "--overwrite", is_flag=True, help="Replace outputs that stand already."
    )(function)
    return click.option(
        "--skip-existing", is_flag=True, help="Leave out inputs whose output stands already."
    )(function)


def choose_existing(*, skip_existing: bool, overwrite: bool) -> "Existing":
    """Return what the two flags ask for.

    Raises:
        UsageError: both are given.
    """
    from ctcasr.pipeline.outputs import Existing

    if skip_existing and overwrite:
        raise click.UsageError("--skip-existing and --overwrite exclude each other; give one")
    if overwrite:
        return Existing.OVERWRITE
    return Existing.SKIP if skip_existing else Existing.REFUSE


def parse_formats(text: str) -> "list[TranscriptFormat]":
    """Return the formats of a list with commas.

    Raises:
        UsageError: one is unknown.
    """
    from ctcasr.reporting.transcripts import TranscriptFormat

    known = [form.value for form in TranscriptFormat]
    chosen = []
    for name in text.split(","):
        if name not in known:
            raise click.UsageError(f"-f {name}: unknown format; choose from {', '.join(known)}")
        chosen.append(TranscriptFormat(name))
    return chosen


def plan_files(
    items: "Sequence[Input]",
    output: Path,
    formats: "Sequence[TranscriptFormat]",
    existing: "Existing",
) -> "OutputPlan":
    """Return where everything goes.

    Raises:
        OutputError: see `plan_outputs`.
    """
    from ctcasr.pipeline.outputs import plan_outputs

    # As cp and whisper users expect: a name with a suffix is a file, unless a folder stands there.
    is_folder = output.is_dir() or not output.suffix
    return plan_outputs(
        items, output=output, is_folder=is_folder, formats=formats, existing=existing
    )


def write_files(
    plan: "OutputPlan",
    results: "Iterable[tuple[Input, Transcript]]",
    advance: Callable[[], None],
) -> None:
    """Write transcripts as they come; name those that failed."""
    from ctcasr.pipeline.outputs import TranscriptFiles

    with TranscriptFiles(plan) as files:
        for item, transcript in results:
            files.write(item, transcript)
            tell_failure(transcript.error)
            advance()


def tell_failure(error: "Failure | None") -> None:
    """Say why an item has no text."""
    if error is not None:
        announce(f"failed: {error.message}")


def summarise(tally: "Tally", recognizer: "Recognizer", *, skipped: int) -> None:
    """Say what was done: resampled, left out, failed, and how fast."""
    rate = round(recognizer.medium.rate)
    others = {stored: count for stored, count in tally.rates.items() if stored != rate}
    if others:
        listed = ", ".join(f"{count} at {stored:,} Hz" for stored, count in sorted(others.items()))
        announce(f"resampled to the model's {rate:,} Hz: {listed}")
    if skipped:
        announce(f"{count_of(skipped, 'input')} left out: the output stands already")
    failed = f", {tally.failed} failed" if tally.failed else ""
    speed = describe_speed(tally.audio_seconds, tally.seconds)
    noun = "recording" if recognizer.modality == "audio" else "item"
    announce(f"{count_of(tally.items, noun)}{failed}, {speed}")
