"""yesno: manifests out of sixty recordings whose file names are their texts.

The split is Kaldi's: of the sorted files the first 30 are for training, the last 30 for the test.
So all that is learned from begins with "no", and 29 of the 30 test recordings with "yes". Choices
are made by a division of the training files that is as unkind: learn from those that begin with
"no no", judge by those that begin with "no yes". All are by one speaker, so that no figure says
anything about other people.

Source: the Kaldi project's egs/yesno; recorded by one of its contributors.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, read_manifest
from recipes.corpus import (
    PACK_MANIFEST,
    Source,
    child_or_self,
    is_pack,
    with_duration,
    write_sets,
)

SOURCE = Source(
    name="yesno",
    address="https://www.openslr.org/1/ (waves_yesno.tar.gz)",
    size="0.1 h of speech",
    licence="see the page; the files came with Kaldi, which is Apache-2.0",
    checksum="SHA-256 c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
)
SPEAKER = "hebrew_male_1"
WORDS = {"0": "no", "1": "yes"}

_NAME = re.compile(r"[01](?:_[01]){7}")
_NUM_RECORDINGS = 60
_NUM_TRAIN = 30
_NODEV = "0_0_"


@dataclass(frozen=True, slots=True)
class YesNoManifests:
    """30 recordings to learn from, in two parts, and 30 to judge by.

    Attributes:
        train_all: the whole training set.
        train_nodev: what of it begins with "no no", to learn from while choices are made.
        train_dev: the rest, to choose by.
        test: the other 30 recordings.
    """

    train_all: Path
    train_nodev: Path
    train_dev: Path
    test: Path


def prepare(corpus: Path, out: Path) -> YesNoManifests:
    """Write the manifests of yesno below `out`.

    Raises:
        ManifestError: the folder is not yesno, or not all of it.
        AudioError: a recording is damaged.
    """
    utterances = [
        with_duration(Utterance(id=path.stem, path=path, text=text_of(path.stem), speaker=SPEAKER))
        for path in find_recordings(corpus)
    ]
    training = utterances[:_NUM_TRAIN]
    sets = {
        "train_all": training,
        "train_nodev": [u for u in training if u.id.startswith(_NODEV)],
        "train_dev": [u for u in training if not u.id.startswith(_NODEV)],
        "test": utterances[_NUM_TRAIN:],
    }
    return YesNoManifests(**write_sets(out, sets))


def find_recordings(corpus: Path) -> list[Path]:
    """Return the sixty recordings, sorted by name.

    Raises:
        ManifestError: they are not there.
    """
    if is_pack(corpus):
        paths = [utterance.path for utterance in read_manifest(corpus / PACK_MANIFEST)]
    else:
        paths = list(child_or_self(corpus, "waves_yesno").glob("*.wav"))
    paths = sorted((p for p in paths if _NAME.fullmatch(p.stem)), key=lambda path: path.stem)
    if not paths:
        raise SOURCE.not_in(corpus, ["waves_yesno/0_0_0_0_1_1_1_1.wav", PACK_MANIFEST])
    if len(paths) != _NUM_RECORDINGS:
        raise ManifestError(
            f"{corpus}: {len(paths)} recordings of yesno, but it has {_NUM_RECORDINGS}; unpack the "
            f"download again: {SOURCE.address}"
        )
    return paths


def text_of(stem: str) -> str:
    """Return what is said in 0_1_..., in English: the recordings say lo and ken."""
    return " ".join(WORDS[digit] for digit in stem.split("_"))
