"""`ctcasr show`."""

from pathlib import Path

import click

from ctcasr.cli.options import (
    PATH,
    SearchOptions,
    audio_option,
    command,
    device_option,
    model_option,
    search_options,
    workers_option,
)
from ctcasr.cli.progress import announce, announce_notes, count_of, counting
from ctcasr.cli.writing import ITEMS_FAILED, choose_existing, existing_options

MOST_SHOWN = 200
"""Items on a page: more would be slow to open."""


@command(
    "show",
    "ctcasr show -m exp/mine data/test.jsonl -o test.html --sample 20",
    "ctcasr show -m en-alnum recording.wav -o recording.html --audio embed",
)
@model_option
@click.argument("manifest", metavar="MANIFEST")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="OUT", help="The page: an .html file."
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Show N items only, drawn at random, always the same; more than {MOST_SHOWN} need it.",
)
@audio_option
@search_options
@existing_options
@device_option
@workers_option
def show_command(
    model: str,
    manifest: str,
    output: Path,
    sample: int | None,
    audio: str,
    search: SearchOptions,
    skip_existing: bool,
    overwrite: bool,
    device: str,
    workers: int,
) -> int:
    """Draw what a model hears in recordings.

    MANIFEST is a manifest, a recording, or a folder of them. OUT is one page, which opens without a
    network: for each item the spectrogram, the posteriors of the labels, where the output and the
    reference (where it is known) lie on them, the n-best list, and a player.
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.inputs import draw_sample, find_inputs
    from ctcasr.pipeline.outputs import Existing, require_free
    from ctcasr.pipeline.show import Sound, show

    existing = choose_existing(skip_existing=skip_existing, overwrite=overwrite)
    require_free([output], existing)
    if existing is Existing.SKIP and output.exists():
        return 0
    recognizer = load(model, device=device)
    inputs = find_inputs([manifest], modality=recognizer.modality)
    if sample is None and len(inputs) > MOST_SHOWN:
        raise click.UsageError(
            f"{manifest}: {len(inputs):,} items, and a page shows {MOST_SHOWN} at most; draw some "
            f"of them: --sample 20"
        )
    chosen = inputs if sample is None else draw_sample(inputs, sample)
    decode = search.config(recognizer.config.decode)
    announce_notes(recognizer.decoder(decode, workers=workers).notes)
    with counting("drawing") as advance:
        failed = show(
            recognizer,
            chosen,
            out=output,
            decode=decode,
            sound=Sound(audio),
            workers=workers,
            progress=advance,
        )
    announce(f"{output}: {count_of(len(chosen), 'item')}, {failed} not decoded")
    return ITEMS_FAILED if failed else 0
