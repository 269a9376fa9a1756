"""`ctcasr manifest`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import PATH, command
from ctcasr.cli.progress import announce, count_of

if TYPE_CHECKING:
    from ctcasr.manifest import Utterance

_SHOWN = 5


@command(
    "manifest",
    "ctcasr manifest texts.xlsx -o data/ --columns audio=File,text=Sentence,speaker=Who \\",
    "                --split 80/10/10 --by speaker",
    "ctcasr manifest recordings/ -o recordings.jsonl",
)
@click.argument("source", type=PATH, metavar="SOURCE")
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="FILE|DIR",
    help="A manifest (.jsonl), or with --split a folder for train.jsonl, dev.jsonl, test.jsonl.",
)
@click.option(
    "--from",
    "source_format",
    metavar="FORMAT",
    help="What SOURCE is, where it cannot be guessed; an unknown name lists the known ones.",
)
@click.option(
    "--columns",
    default="",
    metavar="FIELD=COLUMN,...",
    help="Which column (or tier) holds which field, as in audio=File,text=Sentence,speaker=Who.",
)
@click.option("--split", metavar="80/10/10", help="Shares of train, dev and test.")
@click.option(
    "--by",
    metavar="FIELD",
    help="Keep all items with the same FIELD, such as speaker, on one side of the split.",
)
@click.option("--seed", default=0, show_default=True, help="Of the split.")
@click.option("--overwrite", is_flag=True, help="Replace manifests that stand already.")
def manifest_command(
    source: Path,
    output: Path,
    source_format: str | None,
    columns: str,
    split: str | None,
    by: str | None,
    seed: int,
    overwrite: bool,
) -> None:
    """Make a manifest out of recordings or images and texts you have.

    SOURCE is a table (.csv, .tsv, .xlsx), a folder of recordings with texts of the same name, a
    Kaldi data directory, a NeMo manifest, LJSpeech, Common Voice, ELAN or TextGrid; a folder of
    line images with .gt.txt of the same name; a page whose lines are found, as PAGE XML or ALTO, or
    a folder of them.
    """
    from ctcasr.manifest import (
        import_manifest,
        parse_fractions,
        split_utterances,
        write_manifest,
    )
    from ctcasr.pipeline.outputs import Existing, require_free

    if by and not split:
        raise click.UsageError("--by needs --split, as in --split 80/10/10 --by speaker")
    fractions = parse_fractions(split) if split else None
    if fractions and output.suffix == ".jsonl":
        raise click.UsageError(f"-o {output}: with --split, name a folder for the manifests")
    imported = import_manifest(source, source_format=source_format, columns=_parse_columns(columns))
    if fractions:
        sets = split_utterances(imported.utterances, fractions=fractions, by=by, seed=seed)
        files = {output / f"{name}.jsonl": items for name, items in sets.items()}
    else:
        files = {output: list(imported.utterances)}
    require_free(list(files), Existing.OVERWRITE if overwrite else Existing.REFUSE)
    for path, items in files.items():
        write_manifest(path, items)
        click.echo(f"{path}: {_describe(items)}")
    for note in imported.notes:
        announce(note)
    for item, reason in imported.left_out[:_SHOWN]:
        announce(f"left out: {item}: {reason}")
    if len(imported.left_out) > _SHOWN:
        announce(f"left out: {len(imported.left_out)} in all, the first {_SHOWN} are named")


def _parse_columns(text: str) -> dict[str, str]:
    columns: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        field, equals, column = part.partition("=")
        if not equals or not field or not column:
            raise click.UsageError(f"--columns {part}: give FIELD=COLUMN, as in text=Sentence")
        columns[field.strip()] = column.strip()
    return columns


def _describe(items: "Sequence[Utterance]") -> str:
    parts = [count_of(len(items), "item")]
    durations = [item.duration for item in items if item.duration is not None]
    if items and len(durations) == len(items):
        parts.append(f"{sum(durations) / 60:.1f} min")
    speakers = {item.speaker for item in items} - {None}
    if speakers:
        parts.append(count_of(len(speakers), "speaker"))
    unlabelled = sum(item.text is None for item in items)
    if unlabelled:
        parts.append(f"{unlabelled} without text")
    return ", ".join(parts)
