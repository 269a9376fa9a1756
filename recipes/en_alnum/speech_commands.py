"""Google Speech Commands: single words, a second each, by many people on their own microphones.

Source: Warden 2018, arXiv:1804.03209. The test is the corpus's own testing_list.txt, or a pack's
split; either keeps whole speakers apart.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ctcasr.manifest import Utterance, read_manifest
from recipes.corpus import PACK_MANIFEST, Source, is_pack, with_duration

SOURCE = Source(
    name="Speech Commands",
    address="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    size="105,829 recordings of 35 words",
    licence="CC BY 4.0",
    checksum="SHA-256 af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
)
NINE_WORDS = ("down", "eight", "five", "go", "left", "one", "right", "up", "zero")

_NAME = re.compile(r"(?P<speaker>[0-9a-f]{8})_(?:nohash_)?(?P<number>\d+)")
_TEST_LIST = "testing_list.txt"


def read_speech_commands(corpus: Path, *, words: Sequence[str] = NINE_WORDS) -> list[Utterance]:
    """Return the recordings of the given words, `split` being train or test, sorted by id.

    Raises:
        ManifestError: the folder is not Speech Commands, or has none of the words.
        AudioError: a recording is damaged.
    """
    utterances = _read_pack(corpus, words) if is_pack(corpus) else _read_release(corpus, words)
    if not utterances:
        raise SOURCE.not_in(corpus, [f"{words[0]}/*_nohash_*.wav", PACK_MANIFEST])
    return [with_duration(u) for u in sorted(utterances, key=lambda utterance: utterance.id)]


def _read_pack(corpus: Path, words: Sequence[str]) -> list[Utterance]:
    return [
        _utterance(item.path, match, is_test=item.split == "test")
        for item in read_manifest(corpus / PACK_MANIFEST)
        if item.text in words and (match := _NAME.fullmatch(item.path.stem))
    ]


def _read_release(corpus: Path, words: Sequence[str]) -> list[Utterance]:
    test_list = corpus / _TEST_LIST
    if not test_list.is_file():
        raise SOURCE.not_in(corpus, [_TEST_LIST, PACK_MANIFEST])
    test = set(test_list.read_text(encoding="utf-8").split())
    return [
        _utterance(path, match, is_test=f"{word}/{path.name}" in test)
        for word in words
        for path in (corpus / word).glob("*_nohash_*.wav")
        if (match := _NAME.fullmatch(path.stem))
    ]


def _utterance(audio: Path, name: re.Match[str], *, is_test: bool) -> Utterance:
    """Return the utterance of WORD/SPEAKER_nohash_NUMBER.wav, or of WORD/SPEAKER_NUMBER.flac."""
    word = audio.parent.name
    return Utterance(
        id=f"{word}/{name['speaker']}_{name['number']}",
        path=audio,
        text=word,
        speaker=name["speaker"],
        split="test" if is_test else "train",
    )
