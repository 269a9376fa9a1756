"""`ctcasr transcribe`."""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import (
    PATH,
    SearchOptions,
    batch_size_option,
    command,
    device_option,
    model_option,
    search_options,
    workers_option,
)
from ctcasr.cli.progress import announce_notes, counting
from ctcasr.cli.streaming import require_stream_options, transcribe_stream
from ctcasr.cli.writing import (
    ITEMS_FAILED,
    choose_existing,
    existing_options,
    format_option,
    parse_formats,
    plan_files,
    summarise,
    tell_failure,
    write_files,
)

if TYPE_CHECKING:
    from ctcasr.pipeline.inputs import Input
    from ctcasr.reporting.transcripts import TranscriptFormat
    from ctcasr.transcript import Transcript


@command(
    "transcribe",
    "ctcasr transcribe -m exp/mine recording.wav",
    "ctcasr transcribe -m en-alnum recordings/ -f txt,jsonl,srt -o texts/",
    "ctcasr transcribe -m exp/mine talk.wav --lm words.arpa --hotword kleene=8",
    "ffmpeg -i talk.m4a -f wav - | ctcasr transcribe -m en-alnum -",
    "arecord -f S16_LE -r 16000 | ctcasr transcribe -m exp/mine --stream -",
)
@model_option
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@format_option("txt")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE|DIR",
    help="Write there instead of standard output; a folder gets one file per input.",
)
@existing_options
@click.option(
    "--stream",
    is_flag=True,
    help="Print words while the recording goes on, as they settle; for a model that reads forwards "
    "only. INPUT is one file, or - for WAV bytes from a pipe.",
)
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    metavar="HZ",
    help="With --stream -: what comes are raw 16-bit little-endian samples of one channel.",
)
@search_options
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
    stream: bool,
    rate: int | None,
    search: SearchOptions,
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Turn recordings into text.

    INPUT is an audio file, a folder, a glob, a manifest (.jsonl), or - for the bytes of one
    recording on standard input. Several processes share the recordings:
    torchrun --nproc-per-node N -m ctcasr transcribe ...
    """
    from ctcasr.bundle import load
    from ctcasr.device import pick_device
    from ctcasr.distributed import join_world
    from ctcasr.pipeline.inputs import find_inputs
    from ctcasr.pipeline.outputs import require_one_recording, require_pages
    from ctcasr.pipeline.transcribe import Tally, transcribe_inputs

    chosen = parse_formats(formats)
    if stream or rate is not None:
        require_stream_options(
            inputs, stream=stream, rate=rate, formats=formats, has_output=output is not None
        )
        return transcribe_stream(model, inputs[0], rate=rate, search=search, device=device)
    if output is None and len(chosen) > 1:
        raise click.UsageError(f"-f {formats}: several formats need a folder to go to: -o DIR")
    existing = choose_existing(skip_existing=skip_existing, overwrite=overwrite)
    with join_world(pick_device(device)) as world:
        with world.agreed():
            recognizer = load(model, device=device)
            items = find_inputs(inputs, modality=recognizer.modality)
            if world.size > 1 and any(item.is_standard_input for item in items):
                raise click.UsageError("-: several processes cannot share standard input; run one")
            plan = plan_files(items, output, chosen, existing) if output else None
            if plan is None:
                require_one_recording(items, chosen[0])
                require_pages(items, chosen)
            decode = search.config(recognizer.config.decode)
            notes = recognizer.notes(decode, workers=workers)
        tally = Tally()
        todo = list(plan.todo) if plan else items
        results = transcribe_inputs(
            recognizer,
            todo,
            decode=decode,
            batch_size=batch_size,
            workers=workers,
            tally=tally,
            world=world,
        )
        if not world.is_first:
            deque(results, maxlen=0)  # the first process writes what this one finds
            return ITEMS_FAILED if tally.failed else 0
        announce_notes(notes)
        # Transcripts that scroll by on the terminal are progress enough.
        with counting("transcribing", hidden=plan is None and sys.stdout.isatty()) as advance:
            if plan is None:
                _print(results, chosen[0], lambda: advance(tally.items, len(todo)))
            else:
                write_files(plan, results, lambda: advance(tally.items, len(todo)))
        summarise(tally, recognizer, skipped=len(items) - len(todo))
    return ITEMS_FAILED if tally.failed else 0


def _print(
    results: "Iterable[tuple[Input, Transcript]]",
    form: "TranscriptFormat",
    advance: Callable[[], None],
) -> None:
    """Print transcripts as they come; all at the end, where the format wants that."""
    from ctcasr.pipeline.outputs import render_page
    from ctcasr.reporting.transcripts import LINE_RENDERERS, render_file

    whole, of_page = [], []
    for item, transcript in results:
        if form.fills_pages:
            of_page.append((item, transcript))
        elif form in LINE_RENDERERS:
            click.echo(LINE_RENDERERS[form](transcript))
        elif not (transcript.error and form.holds_one_recording):
            whole.append(transcript)
        tell_failure(transcript.error)
        advance()
    if whole:
        click.echo(render_file(form, whole), nl=False)
    if of_page:
        click.echo(render_page(form, of_page), nl=False)
