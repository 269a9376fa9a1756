"""What `transcribe INPUT...` means: files, folders, globs, manifests, standard input."""

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import soundfile

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, read_manifest

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
    def is_standard_input(self) -> bool:
        """Whether the bytes come from standard input."""
        return str(self.utterance.audio) == STANDARD_INPUT


def audio_suffixes() -> frozenset[str]:
    """Return the file suffixes that are taken for recordings in a folder, lower case."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    return frozenset(known | _OTHER_SUFFIXES)


def find_inputs(arguments: Sequence[str]) -> list[Input]:
    """Return the items that the arguments name, in order; folders and globs sorted by path.

    A file that does not exist is an item all the same: it fails by name and stops no other.

    Raises:
        ManifestError: a manifest cannot be read; a folder or glob holds no recording.
    """
    return [item for argument in arguments for item in _expand(argument)]


def _expand(argument: str) -> Iterator[Input]:
    path = Path(argument)
    if argument == STANDARD_INPUT:
        yield _input(path, PurePath("stdin"))
    elif path.is_dir():
        yield from _folder(path)
    elif argument.endswith((".jsonl", ".jsonl.gz")):
        for utterance in read_manifest(path):
            yield Input(utterance, PurePath(utterance.id))
    elif glob.has_magic(argument) and not path.exists():
        yield from _glob(argument)
    else:
        yield _input(path, PurePath(path.stem))


def _folder(folder: Path) -> Iterator[Input]:
    suffixes = audio_suffixes()
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in suffixes and f.is_file())
    if not files:
        raise ManifestError(
            f"{folder}: no recordings in this folder (looked for {', '.join(sorted(suffixes))})"
        )
    for file in files:
        yield _input(file, file.relative_to(folder).with_suffix(""))


def _glob(pattern: str) -> Iterator[Input]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    if not matches:
        raise ManifestError(f"{pattern}: matches no file; check the pattern and the folder")
    for match in matches:
        yield from _expand(match)


def _input(path: Path, stem: PurePath) -> Input:
    name = "stdin" if str(path) == STANDARD_INPUT else path.stem
    return Input(Utterance(id=name.replace(" ", "_"), audio=path), stem)


def read_standard_input() -> bytes:
    """Return all bytes of standard input."""
    return sys.stdin.buffer.read()
