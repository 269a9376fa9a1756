"""What the commands are given: files, folders, globs, manifests, standard input."""

import glob
import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import soundfile

from ctcasr.errors import ManifestError
from ctcasr.frontends.ink.files import INK_SUFFIXES
from ctcasr.manifest import Modality, Utterance, read_manifest
from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.image_lookup import IMAGE_SUFFIXES
from ctcasr.manifest.readers.pages import is_page, read_page

STANDARD_INPUT = "-"
# .m4a and its kin cannot be decoded, but must be named rather than passed over.
_OTHER_SUFFIXES = {".m4a", ".aac", ".mp4", ".wma", ".opus", ".oga", ".aif", ".sph"}


@dataclass(frozen=True, slots=True)
class Input:
    """One item to transcribe.

    Attributes:
        utterance: id, file, offset, duration, channel; the file is "-" for standard input.
        output_stem: where its output goes below an output folder, without suffix.
    """

    utterance: Utterance
    output_stem: PurePath

    @property
    def page(self) -> Path | None:
        """The PAGE or ALTO file that a line came from."""
        return None if self.utterance.source is None else self.utterance.source.file

    @property
    def is_standard_input(self) -> bool:
        """Whether the bytes come from standard input."""
        return str(self.utterance.path) == STANDARD_INPUT


def audio_suffixes() -> frozenset[str]:
    """Return the file suffixes that are taken for recordings in a folder, lower case."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    return frozenset(known | _OTHER_SUFFIXES)


def suffixes_of(modality: Modality) -> frozenset[str]:
    """Return the file suffixes that are taken for items in a folder, lower case."""
    if modality is Modality.IMAGE:
        return frozenset(IMAGE_SUFFIXES)
    return frozenset(INK_SUFFIXES) if modality is Modality.INK else audio_suffixes()


def find_inputs(arguments: Sequence[str], *, modality: Modality = Modality.AUDIO) -> list[Input]:
    """Return the items that the arguments name, in order; folders and globs sorted by path.

    `modality` says what is looked for in folders, and what a file is whose suffix does not say it.

    A file that does not exist is an item all the same: it fails by name and stops no other. A
    recording's id is its path below the folder or glob that found it, without suffix; its whole
    path where two would have the same. A page in PAGE XML or ALTO gives its lines, and a folder of
    images that has such pages gives those.

    Raises:
        ManifestError: a manifest cannot be read; a folder or glob holds no item.
    """
    items = [item for argument in arguments for item in _expand(argument, modality)]
    count = Counter(item.utterance.id for item in items)
    return [item if count[item.utterance.id] == 1 else _with_long_id(item) for item in items]


def _expand(argument: str, modality: Modality) -> Iterator[Input]:
    path = Path(argument)
    if argument == STANDARD_INPUT:
        yield Input(Utterance(id="stdin", path=path, modality=modality), PurePath("stdin"))
    elif glob.has_magic(argument) and not path.exists():
        yield from _glob(argument, modality)
    else:
        yield from _at(path, modality, root=path if path.is_dir() else path.parent)


def _at(path: Path, modality: Modality, *, root: Path) -> Iterator[Input]:
    if path.is_dir():
        yield from _folder(path, modality, root=root)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        for utterance in read_manifest(path):
            yield Input(utterance, output_stem(utterance.id))
    elif is_page(path):
        yield from _page(path, root=root)
    else:
        yield _file(path, modality, root=root)


def _folder(folder: Path, modality: Modality, *, root: Path) -> Iterator[Input]:
    if modality is Modality.IMAGE:
        pages = sorted(file for file in folder.rglob("*.xml") if is_page(file))
        if pages:  # the images beside them are whole pages
            for page in pages:
                yield from _page(page, root=root)
            return
    suffixes = suffixes_of(modality)
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in suffixes and f.is_file())
    if not files:
        looked_for = ", ".join(sorted(suffixes))
        raise ManifestError(
            f"{folder}: no {modality.items} in this folder (looked for {looked_for})"
        )
    for file in files:
        yield _file(file, modality, root=root)


def _glob(pattern: str, modality: Modality) -> Iterator[Input]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    if not matches:
        raise ManifestError(f"{pattern}: matches no file; check the pattern and the folder")
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    root = Path(*fixed)
    for match in matches:
        yield from _at(Path(match), modality, root=root)


def _page(path: Path, *, root: Path) -> Iterator[Input]:
    below = path.relative_to(root)
    for utterance in read_page(path, name=id_from_path(below)):
        yield Input(utterance, below.with_suffix(""))


def _file(path: Path, modality: Modality, *, root: Path) -> Input:
    below = path.relative_to(root)
    suffix = path.suffix.lower()
    named = (one for one in Modality if suffix in suffixes_of(one))
    found = modality if suffix in suffixes_of(modality) else next(named, modality)
    utterance = Utterance(id=id_from_path(below), path=path, modality=found)
    return Input(utterance, below.with_suffix(""))


def _with_long_id(item: Input) -> Input:
    utterance = item.utterance
    return replace(item, utterance=replace(utterance, id=id_from_path(utterance.path)))


def read_labelled(
    manifest: Path, *, why: str, field: str = "text"
) -> tuple[list[Input], list[Utterance]]:
    """Return the items of a manifest that have a text, and the utterances that have none.

    Args:
        manifest: recordings with texts.
        why: what the texts are needed for and what to do without them, to end a message.
        field: of the manifest, that stands for the text.

    Raises:
        ManifestError: it cannot be read, or no item has a text.
    """
    utterances = read_manifest(manifest)
    inputs = [Input(u, output_stem(u.id)) for u in utterances if u.value_of(field) is not None]
    if not inputs:
        raise ManifestError(f"{manifest}: none of {len(utterances)} items has a {field} {why}")
    return inputs, [u for u in utterances if u.value_of(field) is None]


def draw_sample(inputs: Sequence[Input], count: int) -> list[Input]:
    """Return some inputs in their order, drawn by their ids: the same ones each time."""

    def draw(item: Input) -> bytes:
        return hashlib.blake2b(item.utterance.id.encode("utf-8", "surrogateescape")).digest()

    chosen = {id(item) for item in sorted(inputs, key=draw)[:count]}
    return [item for item in inputs if id(item) in chosen]


def output_stem(item_id: str) -> PurePath:
    """Return where the output of a manifest's item goes: inside any folder it is put into."""
    path = PurePath(item_id)
    return PurePath(*(part for part in path.parts if part not in (path.anchor, "..")))


def read_standard_input() -> bytes:
    """Return all bytes of standard input."""
    return sys.stdin.buffer.read()
