"""FSDD: manifests of single digits, leave-one-speaker-out folds, and strings of digits.

Three questions, three sets: the data set's own split (recordings 0 to 4 of each digit and speaker
are the test), where every test speaker was heard in training, and inside its training set another
such split (5 to 9 of each) to choose settings by; folds in which all recordings of one
of the six speakers are the test; and strings of 1 to 7 test digits of one speaker, joined with
pauses. Strings to learn from need no files: training joins them anew in every epoch
(`augment.join_items`).

Source: Z. Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ctcasr.errors import ManifestError
from ctcasr.frontends.draws import keyed_generator
from ctcasr.frontends.sound.augmentation import join_waveforms, part_spans
from ctcasr.frontends.sound.recordings import load_utterance
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
    name="FSDD",
    address="https://github.com/Jakobovski/free-spoken-digit-dataset",
    size="0.4 h of speech",
    licence="CC BY-SA 4.0",
)
SAMPLE_RATE = 8_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STRINGS_PER_SPEAKER = 50
LONGEST_STRING = 7
LONGEST_PAUSE_MS = 300.0

_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<number>\d+)")
_FIRST_TRAINING_NUMBER = 5
_FIRST_NUMBER_BEYOND_DEV = 10


@dataclass(frozen=True, slots=True)
class Fold:
    """Recordings to learn from, and others to judge by."""

    train: Path
    test: Path


@dataclass(frozen=True, slots=True)
class FsddManifests:
    """What can be asked of FSDD.

    Attributes:
        official: the data set's own split, speakers shared.
        choice: a split of the official training set, speakers shared; to choose settings by.
        folds: by the speaker left out.
        strings: test digits of one speaker at a time, joined with pauses.
    """

    official: Fold
    choice: Fold
    folds: Mapping[str, Fold]
    strings: Path


def prepare(corpus: Path, out: Path, *, seed: int = 1) -> FsddManifests:
    """Write the manifests of FSDD, and the recordings of joined digits, below `out`.

    Args:
        corpus: the repository, or a pack of it.
        out: where to.
        seed: of the joined digits; the figures in RESULTS.md are those of seed 1.

    Raises:
        ManifestError: the folder is not FSDD.
        AudioError: a recording is damaged.
    """
    utterances = read_fsdd(corpus)
    train = [utterance for utterance in utterances if utterance.split == "train"]
    test = [utterance for utterance in utterances if utterance.split == "test"]
    strings = join_digits(test, out / "strings", seed=seed)
    dev = [utterance for utterance in train if _number(utterance) < _FIRST_NUMBER_BEYOND_DEV]
    speakers = sorted({utterance.speaker or "" for utterance in utterances})
    return FsddManifests(
        official=_write_fold(out, train, test),
        choice=_write_fold(out / "choice", [u for u in train if u not in dev], dev),
        folds={name: _leave_out(out / "folds" / name, utterances, name) for name in speakers},
        strings=write_sets(out, {"strings": strings})["strings"],
    )


def read_fsdd(corpus: Path) -> list[Utterance]:
    """Return all digits, `split` being the data set's own train or test, sorted by id.

    Raises:
        ManifestError: the folder is not FSDD.
        AudioError: a recording is damaged.
    """
    if is_pack(corpus):
        paths = [packed.path for packed in read_manifest(corpus / PACK_MANIFEST)]
    else:
        paths = list(child_or_self(corpus, "recordings").glob("*.wav"))
    named = {path: match for path in paths if (match := _NAME.fullmatch(path.stem))}
    if not named:
        raise SOURCE.not_in(corpus, ["recordings/0_george_0.wav", PACK_MANIFEST])
    utterances = (
        Utterance(
            id=path.stem,
            path=path,
            text=DIGITS[int(match["digit"])],
            speaker=match["speaker"],
            split="test" if int(match["number"]) < _FIRST_TRAINING_NUMBER else "train",
        )
        for path, match in named.items()
    )
    return [with_duration(u) for u in sorted(utterances, key=lambda utterance: utterance.id)]


def join_digits(utterances: Sequence[Utterance], folder: Path, *, seed: int) -> list[Utterance]:
    """Write strings of digits of one speaker each as WAV files, and return them.

    The field `words` says where each digit's own recording begins and ends in its string, in
    seconds: the joints, not the sound, since some recordings begin or end with near silence.
    Every draw is keyed by (seed, speaker, number), so each string is the same wherever it is made.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in sorted(utterances, key=lambda utterance: utterance.id):
        by_speaker.setdefault(utterance.speaker or "", []).append(utterance)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _join(digits, folder / f"{speaker}_{number:02}.wav", seed, number)
        for speaker, digits in by_speaker.items()
        for number in range(STRINGS_PER_SPEAKER)
    ]


def _join(digits: Sequence[Utterance], path: Path, seed: int, number: int) -> Utterance:
    speaker = digits[0].speaker
    generator = keyed_generator("fsdd strings", seed, speaker, number)
    length = int(generator.integers(1, LONGEST_STRING + 1))
    chosen = [digits[index] for index in generator.integers(len(digits), size=length)]
    parts = [load_utterance(digit, sample_rate=SAMPLE_RATE) for digit in chosen]
    pauses_ms = generator.uniform(0, LONGEST_PAUSE_MS, size=length - 1).tolist()
    samples = join_waveforms(
        parts, pauses_ms, sample_rate=SAMPLE_RATE, seed=int(generator.integers(2**32))
    )
    soundfile.write(path, np.clip(samples, -1, 1), SAMPLE_RATE, subtype="PCM_16")
    spans = part_spans([len(part) for part in parts], pauses_ms, sample_rate=SAMPLE_RATE)
    words = [
        {"text": digit.text, "start": start / SAMPLE_RATE, "end": end / SAMPLE_RATE}
        for digit, (start, end) in zip(chosen, spans, strict=True)
    ]
    return with_duration(
        Utterance(
            id=f"strings/{path.stem}",
            path=path,
            text=" ".join(digit.text or "" for digit in chosen),
            speaker=speaker,
            extra={"words": words},
        )
    )


def _leave_out(folder: Path, utterances: Sequence[Utterance], speaker: str) -> Fold:
    test = [utterance for utterance in utterances if utterance.speaker == speaker]
    train = [utterance for utterance in utterances if utterance.speaker != speaker]
    if not train:
        raise ManifestError(
            f"{speaker} is the only speaker, so nobody is left to learn from; use all of FSDD: "
            f"{SOURCE.address}"
        )
    return _write_fold(folder, train, test)


def _write_fold(folder: Path, train: Sequence[Utterance], test: Sequence[Utterance]) -> Fold:
    return Fold(**write_sets(folder, {"train": train, "test": test}))


def _number(utterance: Utterance) -> int:
    """Return which of a speaker's recordings of one digit this is."""
    return int(utterance.id.rpartition("_")[2])
