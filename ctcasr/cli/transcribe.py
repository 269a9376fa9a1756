"""`ctcasr transcribe`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import (
    PATH,
    batch_size_option,
    command,
    decode_config,
    decoding_options,
    device_option,
    model_option,
    set_option,
    workers_option,
)
from ctcasr.cli.progress import announce, count_of, counting, describe_speed

if TYPE_CHECKING:
    from ctcasr.pipeline.inputs import Input
    from ctcasr.pipeline.outputs import OutputPlan
    from ctcasr.pipeline.transcribe import Tally
    from ctcasr.reporting.transcripts import TranscriptFormat
    from ctcasr.transcript import Failure

ITEMS_FAILED = 3


@command(
    "transcribe",
    "ctcasr transcribe -m exp/mine recording.wav",
    "ctcasr transcribe -m en-alnum recordings/ -f txt,jsonl -o texts/",
    "ffmpeg -i talk.m4a -f wav - | ctcasr transcribe -m en-alnum -",
)
@model_option
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-f",
    "--format",
    "formats",
    default="txt",
    show_default=True,
    metavar="FORMAT[,...]",
    help="txt, tsv (id and text) or jsonl (words, times, scores); several with commas.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE|DIR",
    help="Write there instead of standard output; a folder gets one file per input.",
)
@click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output stands already.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that stand already.")
@decoding_options
@set_option
@device_option
@batch_size_option
@workers_option
def transcribe_command(
    model: str,
    inputs: tuple[str, ...],
    formats: str,
    output: Path | None,
    skip_existing: bool,
    overwrite: bool,
    beam: int | None,
    nbest: int | None,
    overrides: tuple[str, ...],
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Turn recordings into text.

    INPUT is an audio file, a folder, a glob, a manifest (.jsonl), or - for the bytes of one
    recording on standard input.
    """
    from ctcasr.pipeline.inputs import find_inputs
    from ctcasr.pipeline.outputs import TranscriptFiles
    from ctcasr.pipeline.transcribe import Tally, transcribe_inputs
    from ctcasr.recognizer import load
    from ctcasr.reporting.transcripts import RENDERERS

    if skip_existing and overwrite:
        raise click.UsageError("--skip-existing and --overwrite exclude each other; give one")
    chosen = _parse_formats(formats)
    if output is None and len(chosen) > 1:
        raise click.UsageError(f"-f {formats}: several formats need a folder to go to: -o DIR")
    items = find_inputs(inputs)
    plan = _plan(items, output, chosen, skip_existing=skip_existing, overwrite=overwrite)
    recognizer = load(model, device=device)
    decode = decode_config(recognizer.config.decode, beam=beam, nbest=nbest, overrides=overrides)
    tally = Tally()
    todo = list(plan.todo) if plan else items
    # Transcripts that scroll by on the terminal are progress enough.
    with counting("transcribing", hidden=plan is None and sys.stdout.isatty()) as advance:
        results = transcribe_inputs(
            recognizer, todo, decode=decode, batch_size=batch_size, workers=workers, tally=tally
        )
        if plan is None:
            for _, transcript in results:
                click.echo(RENDERERS[chosen[0]](transcript))
                _tell_failure(transcript.error)
                advance(tally.items, len(todo))
        else:
            with TranscriptFiles(plan) as files:
                for item, transcript in results:
                    files.write(item, transcript)
                    _tell_failure(transcript.error)
                    advance(tally.items, len(todo))
    _summarise(tally, skipped=len(items) - len(todo), rate=recognizer.sample_rate)
    return ITEMS_FAILED if tally.failed else 0


def _parse_formats(text: str) -> "list[TranscriptFormat]":
    from ctcasr.reporting.transcripts import TranscriptFormat

    known = [form.value for form in TranscriptFormat]
    chosen = []
    for name in text.split(","):
        if name not in known:
            raise click.UsageError(f"-f {name}: unknown format; choose from {', '.join(known)}")
        chosen.append(TranscriptFormat(name))
    return chosen


def _plan(
    items: "Sequence[Input]",
    output: Path | None,
    formats: "Sequence[TranscriptFormat]",
    *,
    skip_existing: bool,
    overwrite: bool,
) -> "OutputPlan | None":
    from ctcasr.pipeline.outputs import Existing, plan_outputs

    if output is None:
        return None
    existing = Existing.SKIP if skip_existing else Existing.REFUSE
    existing = Existing.OVERWRITE if overwrite else existing
    # As cp and whisper users expect: a name with a suffix is a file, unless a folder stands there.
    is_folder = output.is_dir() or not output.suffix
    return plan_outputs(
        items, output=output, is_folder=is_folder, formats=formats, existing=existing
    )


def _tell_failure(error: "Failure | None") -> None:
    if error is not None:
        announce(f"failed: {error.message}")


def _summarise(tally: "Tally", *, skipped: int, rate: int) -> None:
    others = {stored: count for stored, count in tally.rates.items() if stored != rate}
    if others:
        listed = ", ".join(f"{count} at {stored:,} Hz" for stored, count in sorted(others.items()))
        announce(f"resampled to the model's {rate:,} Hz: {listed}")
    if skipped:
        announce(f"{count_of(skipped, 'input')} left out: the output stands already")
    failed = f", {tally.failed} failed" if tally.failed else ""
    speed = describe_speed(tally.audio_seconds, tally.seconds)
    announce(f"{count_of(tally.items, 'recording')}{failed}, {speed}")
