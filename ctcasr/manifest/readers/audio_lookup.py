"""Finding the recording that a table names, however the name came to be written.

The same "é" is one code point in a spreadsheet and two in a file name copied from a Mac; a table
says `Clip1.WAV` or `clip1` where the disk has `clip1.wav`. A name is looked for as it stands, then,
folder by folder, with both in Unicode NFC, then without regard to case if that leaves one choice,
each time with the usual suffixes appended. Every folder is listed at most once.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".au", ".sph",
    ".wma", ".webm", ".w64", ".caf",
)  # fmt: skip
"""Names that recordings end in, the first tried first; whether one can be read, reading tells."""

_USUAL_FOLDERS = ("wavs", "clips", "audio", "wav")


def is_audio(path: Path) -> bool:
    """Tell by its suffix whether a file is a recording."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every file under `folder`, sorted, following links but no folder twice."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


class AudioFinder:
    """Finds recordings by the names a table gives them.

    Args:
        folders: where to look, the first first; those that do not exist are passed over.
        suffixes: that a name may lack.
    """

    def __init__(self, folders: Sequence[Path], suffixes: Sequence[str] = AUDIO_SUFFIXES) -> None:
        self.suffixes = tuple(suffixes)
        self.folders = tuple(folder for folder in dict.fromkeys(folders) if folder.is_dir())
        self._listings: dict[Path, _Listing] = {}

    @classmethod
    def beside(cls, table: Path, suffixes: Sequence[str] = AUDIO_SUFFIXES) -> "AudioFinder":
        """Look in the table's folder, and in wavs, clips, audio and wav beside it."""
        folder = table.parent
        return cls([folder, *(folder / name for name in _USUAL_FOLDERS)], suffixes)

    def find(self, name: str) -> Path | None:
        """Return the file that `name` means, or None."""
        spellings = list(dict.fromkeys([name, PureWindowsPath(name).as_posix()]))
        places = [(folder, Path(spelling)) for spelling in spellings for folder in self.folders]
        for folder, path in places:
            found = self._find_in(folder, path)
            if found is not None:
                return found
        return None

    def _find_in(self, folder: Path, path: Path) -> Path | None:
        *parents, last = path.parts or ("",)
        for part in parents:
            if part in (path.anchor, ".."):
                folder = folder / part
                continue
            match = self._listing(folder).match(part)
            if match is None:
                return None
            folder = folder / match
        for ending in ("", *self.suffixes):
            match = self._listing(folder).match(last + ending)
            if match is not None and (folder / match).is_file():
                return folder / match
        return None

    def _listing(self, folder: Path) -> "_Listing":
        if folder not in self._listings:
            self._listings[folder] = _Listing(folder)
        return self._listings[folder]

    def reason(self, name: str) -> str:
        """Return why an item is left out whose recording `find` did not find."""
        looked_in = ", ".join(str(folder) for folder in self.folders)
        return f"recording {name!r} not found (looked in {looked_in})"


class _Listing:
    """The names in one folder, by every spelling under which they may be asked for."""

    def __init__(self, folder: Path) -> None:
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError:  # no such folder, or not ours to list: the file is then reported missing
            names = []
        self._names = frozenset(names)
        self._variants = tuple((key, _group(names, key)) for key in (_nfc, _caseless))

    def match(self, name: str) -> str | None:
        """Return the name in this folder that `name` means; None if there is none, or a choice."""
        if name in self._names:
            return name
        for key, names in self._variants:
            candidates = names.get(key(name), [])
            if len(candidates) == 1:
                return candidates[0]
        return None


def _group(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return _nfc(name.casefold())
