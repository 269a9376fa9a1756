"""LibriSpeech: manifests out of whichever parts of the corpus have been downloaded.

Every part is a folder of readers, chapters and one transcript file per chapter. All training parts
that are there become one training set; dev-clean is for choosing, the tests are for judging.

Source: Panayotov et al. 2015, "LibriSpeech: an ASR corpus based on public domain audio books".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance
from recipes.corpus import Source, child_or_self, require_files, with_duration, write_sets

SOURCE = Source(
    name="LibriSpeech",
    address="https://www.openslr.org/12/ (train-clean-100, dev-clean, test-clean, test-other)",
    size="100 h of speech in train-clean-100",
    licence="CC BY 4.0",
    checksum="SHA-256 of train-clean-100.tar.gz "
    "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
)
TRAIN_PARTS = ("train-clean-100", "train-clean-360", "train-other-500")
DEV_PART = "dev-clean"
TEST_PARTS = ("dev-other", "test-clean", "test-other")


@dataclass(frozen=True, slots=True)
class LibriSpeechManifests:
    """What to learn from, to choose by, and to judge by.

    Attributes:
        train: all training parts that are there.
        dev: dev-clean.
        tests: dev-other, test-clean and test-other, as far as they are there.
    """

    train: Path
    dev: Path
    tests: Mapping[str, Path]


def prepare(corpus: Path, out: Path) -> LibriSpeechManifests:
    """Write the manifests of LibriSpeech below `out`.

    Raises:
        ManifestError: no training part or no dev-clean; a transcript without recording.
        AudioError: a recording is damaged.
    """
    root = child_or_self(corpus, "LibriSpeech")
    training = [part for part in TRAIN_PARTS if (root / part).is_dir()]
    if not training or not (root / DEV_PART).is_dir():
        raise SOURCE.not_in(corpus, [f"{TRAIN_PARTS[0]}/ with {DEV_PART}/"])
    tests = [part for part in TEST_PARTS if (root / part).is_dir()]
    paths = write_sets(
        out,
        {
            "train": [utterance for part in training for utterance in read_part(root / part)],
            "dev": read_part(root / DEV_PART),
            **{part: read_part(root / part) for part in tests},
        },
    )
    return LibriSpeechManifests(paths["train"], paths["dev"], {part: paths[part] for part in tests})


def read_part(folder: Path) -> list[Utterance]:
    """Return the utterances of one part, text in lower case, in the order of their ids.

    Raises:
        ManifestError: no transcripts, or a transcript whose recording is missing.
        AudioError: a recording is damaged.
    """
    utterances = [u for path in sorted(folder.glob("*/*/*.trans.txt")) for u in _read_chapter(path)]
    if not utterances:
        raise ManifestError(
            f"{folder}: no transcripts (READER/CHAPTER/*.trans.txt); unpack it again from "
            f"{SOURCE.address}"
        )
    require_files((utterance.path for utterance in utterances), SOURCE)
    return [with_duration(utterance) for utterance in utterances]


def _read_chapter(transcripts: Path) -> Iterator[Utterance]:
    for line in transcripts.read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(" ")
        if not name:
            continue
        reader, chapter, _ = name.split("-")  # 1272-128104-0000
        yield Utterance(
            id=name,
            path=transcripts.parent / f"{name}.flac",
            text=text.lower(),
            speaker=reader,
            group=f"{reader}-{chapter}",
        )
