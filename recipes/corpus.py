"""What the prepare.py files share: where a corpus comes from, and what to say of a wrong folder.

Every recipe reads two layouts of its corpus: the official one, as it lies after the download, and
a pack, a folder with a manifest.jsonl. Which one it is shows in what lies in the folder. Both
become the same utterances: equal ids, texts, speakers and splits.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.files import read_lines
from ctcasr.frontends.sound.waveform import probe_audio
from ctcasr.manifest import Modality, Utterance, write_manifest

PACK_MANIFEST = "manifest.jsonl"
PACK_INK = "ink.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a corpus can be got.

    Attributes:
        name: what the corpus is called.
        address: its official page or file.
        size: of the download or of the speech, as far as recorded.
        licence: its terms, in a few words.
        checksum: of the download; "not recorded" where none is publicly known for sure.
    """

    name: str
    address: str
    size: str
    licence: str
    checksum: str = "not recorded"

    def not_in(self, folder: Path, looked_for: Sequence[str]) -> ManifestError:
        """Return the error for a folder that holds none of the layouts looked for."""
        what = "no such folder" if not folder.is_dir() else f"{self.name} is not in this folder"
        return ManifestError(
            f"{folder}: {what}; looked for {' or '.join(looked_for)}; get {self.name} from "
            f"{self.address} ({self.size}; licence: {self.licence}; checksum: {self.checksum})"
        )


def is_pack(folder: Path) -> bool:
    """Return whether a folder is a pack: all items beside one manifest."""
    return (folder / PACK_MANIFEST).is_file()


def read_ink_pack(folder: Path) -> Iterator[Utterance]:
    """Yield the items of a pack of ink: lines of its manifest number those of its `ink.npz`.

    Raises:
        ManifestError: a line is not what it should be.
    """
    path = folder / PACK_MANIFEST
    for number, line in enumerate(read_lines(path, error=ManifestError), start=1):
        try:
            record = json.loads(line)
            yield Utterance(
                id=record.pop("id"),
                path=folder / PACK_INK,
                modality=Modality.INK,
                index=record.pop("index"),
                text=record.pop("text"),
                split=record.pop("split"),
                extra=record,
            )
        except (ValueError, KeyError, AttributeError) as error:
            raise ManifestError(
                f"{path}: line {number}: no item of ink ({error}); id, index, text and split are "
                f"needed"
            ) from error


def child_or_self(folder: Path, name: str) -> Path:
    """Return the folder called `name` inside `folder` where there is one, else `folder`.

    Archives unpack into a folder of their own; people name that one or the one around it.
    """
    return folder / name if (folder / name).is_dir() else folder


def require_files(paths: Iterable[Path], source: Source) -> None:
    """Check that recordings which a corpus lists are there.

    Raises:
        ManifestError: names the first missing one and counts the others.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise ManifestError(
            f"{missing[0]}: {source.name} lists this recording, but it is not there{more}; "
            f"unpack the download again: {source.address}"
        )


def with_duration(utterance: Utterance) -> Utterance:
    """Return the utterance with its recording's exact length, after a look at its header.

    Raises:
        AudioError: the recording is missing, cut short or no recording.
    """
    return replace(utterance, duration=probe_audio(utterance.path).duration)


def write_sets(out: Path, sets: Mapping[str, Iterable[Utterance]]) -> dict[str, Path]:
    """Write one manifest per set, sorted by id, and return their paths by the sets' names.

    Each utterance's `split` becomes the name of its set.
    """
    paths = {name: out / f"{name}.jsonl" for name in sets}
    for name, utterances in sets.items():
        members = sorted(utterances, key=lambda utterance: utterance.id)
        write_manifest(paths[name], [replace(member, split=name) for member in members])
    return paths
