"""en-alnum: one training set out of four corpora, and folds that judge it by unheard people.

Ids and speakers carry the corpus's name ("an4/an251-fash-b"), so nothing clashes. What a corpus
itself reserves for its test is never learned from: of AN4, Speech Commands and speechocean762 that
keeps whole speakers apart. FSDD's own test shares its six speakers with its training set, so it
keeps nothing apart, and all of FSDD is learned from.

Of speechocean762 the digit strings are taken. Its sentences are out of reach of so small a model:
where it learned from them, it still had two letters of three wrong on people it had not heard, and
they took a fifth of all it had to learn.

Noise in which nothing is said, made here, joins them; each recording of it is a speaker of its own.

In a fold every speaker is on one side with all they said; each is on the test side once.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctcasr.errors import ConfigError
from ctcasr.files import write_text
from ctcasr.manifest import Utterance
from recipes.an4.prepare import read_an4
from recipes.corpus import write_sets
from recipes.en_alnum.noise import write_noise
from recipes.en_alnum.speech_commands import NINE_WORDS, read_speech_commands
from recipes.en_alnum.speechocean import is_digit_string, read_speechocean
from recipes.fsdd.prepare import read_fsdd

NUM_FOLDS = 4
TRAINING_IDS = "training_ids.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpora:
    """Where each corpus lies; one that is not to be learned from is None."""

    an4: Path | None = None
    fsdd: Path | None = None
    speech_commands: Path | None = None
    speechocean: Path | None = None


@dataclass(frozen=True, slots=True)
class SpeakerFold:
    """Some speakers to judge by, and all others to learn from."""

    train: Path
    test: Path


@dataclass(frozen=True, slots=True)
class EnAlnumManifests:
    """What to learn from and what to judge by.

    Attributes:
        train: everything that may be learned from.
        test: what the corpora reserve for their tests; None where they reserve nothing.
        training_ids: the ids of `train`, one a line, sorted.
        folds: of the utterances in `train`.
    """

    train: Path
    test: Path | None
    training_ids: Path
    folds: tuple[SpeakerFold, ...]


def prepare(corpora: Corpora, out: Path, *, words: Sequence[str] = NINE_WORDS) -> EnAlnumManifests:
    """Write the manifests of en-alnum below `out`.

    Args:
        corpora: at least one, each in its official layout or as a pack.
        out: where to.
        words: of Speech Commands.

    Raises:
        ConfigError: no corpus at all.
        ManifestError: a folder is not the corpus it should be.
        AudioError: a recording is damaged.
    """
    utterances = read_corpora(corpora, made=out / "wav", words=words)
    train = [utterance for utterance in utterances if utterance.split != "test"]
    test = [utterance for utterance in utterances if utterance.split == "test"]
    paths = write_sets(out, {"train": train, "test": test} if test else {"train": train})
    training_ids = out / TRAINING_IDS
    write_text(training_ids, "".join(f"{u.id}\n" for u in sorted(train, key=lambda u: u.id)))
    return EnAlnumManifests(
        paths["train"], paths.get("test"), training_ids, tuple(_write_folds(out, train))
    )


def read_corpora(corpora: Corpora, *, made: Path, words: Sequence[str]) -> list[Utterance]:
    """Return the utterances of all corpora and noise, ids and speakers prefixed by where from.

    Args:
        corpora: at least one.
        made: folder for recordings that are converted or made.
        words: of Speech Commands.

    Raises:
        ConfigError, ManifestError, AudioError: see `prepare`.
    """
    by_corpus: dict[str, list[Utterance]] = {}
    if corpora.an4 is not None:
        by_corpus["an4"] = read_an4(corpora.an4, converted=made)
    if corpora.fsdd is not None:
        by_corpus["fsdd"] = [replace(u, split="train") for u in read_fsdd(corpora.fsdd)]
    if corpora.speech_commands is not None:
        by_corpus["speech_commands"] = read_speech_commands(corpora.speech_commands, words=words)
    if corpora.speechocean is not None:
        by_corpus["speechocean"] = [
            u for u in read_speechocean(corpora.speechocean) if is_digit_string(u)
        ]
    if not by_corpus:
        raise ConfigError(
            "no corpus to learn from; name at least one: --an4 DIR, --fsdd DIR, "
            "--speech-commands DIR, --speechocean DIR"
        )
    by_corpus["noise"] = list(write_noise(made / "noise"))
    return [
        replace(
            utterance,
            id=f"{corpus}/{utterance.id}",
            speaker=f"{corpus}/{utterance.speaker}",
            extra={"corpus": corpus},
        )
        for corpus, utterances in by_corpus.items()
        for utterance in utterances
    ]


def assign_folds(utterances: Sequence[Utterance]) -> Mapping[str, int]:
    """Return the fold in which each speaker is judged.

    Speakers are dealt out in turn, corpus by corpus, each corpus in the order of hashed names; so
    every corpus gives each fold as many speakers as the next, give or take one.
    """
    speakers = {(u.extra["corpus"], _hash(u.speaker or ""), u.speaker or "") for u in utterances}
    return {speaker: turn % NUM_FOLDS for turn, (*_, speaker) in enumerate(sorted(speakers))}


def _hash(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def _write_folds(out: Path, utterances: Sequence[Utterance]) -> Iterator[SpeakerFold]:
    folds = assign_folds(utterances)
    for fold in range(NUM_FOLDS):
        sets = {
            "train": [u for u in utterances if folds[u.speaker or ""] != fold],
            "test": [u for u in utterances if folds[u.speaker or ""] == fold],
        }
        yield SpeakerFold(**write_sets(out / f"fold-{fold}", sets))
