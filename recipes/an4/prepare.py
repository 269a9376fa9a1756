"""AN4: manifests out of any release of CMU's alphanumeric database.

Read are the RIFF copy (github.com/cmusphinx/an4), the NIST SPHERE release and the headerless one;
headerless recordings are copied to WAV files under `out`. The training set is divided as in
ESPnet's recipe, whose published figures are the ones to compare with: of the utterances sorted by
"<speaker>-<file>" the first 100 are for choosing, the other 848 for learning. Both share no
speaker.

`write_out` turns what was said into what a person would write: letters that are spelt become a
word, number words become digits.

Source: Acero 1993, "Acoustical and environmental robustness in automatic speech recognition".
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, read_manifest
from recipes.corpus import (
    PACK_MANIFEST,
    Source,
    child_or_self,
    is_pack,
    require_files,
    with_duration,
    write_sets,
)

SOURCE = Source(
    name="AN4",
    address="https://github.com/cmusphinx/an4 or http://www.speech.cs.cmu.edu/databases/an4/",
    size="0.8 h of speech",
    licence="CMU's own, BSD-2-Clause in style, any use",
)
SAMPLE_RATE = 16_000

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = (
    {word: number for number, word in enumerate(_UNITS.split())}
    | {word: 10 * number for number, word in enumerate(_TENS.split(), start=2)}
    | {"oh": 0}
)
_NUM_DEV = 100
_NAME = re.compile(r"[a-z]+\d+-(?P<speaker>[a-z0-9]+)-[a-z]")  # an251-fash-b
_TRANSCRIPT = re.compile(r"(?:<s>\s)?(?P<text>.*?)(?:\s</s>)?\s*\((?P<id>[^()\s]+)\)")
_SUFFIXES = (".wav", ".sph", ".raw")
_BYTE_ORDER_VOTERS = 20


@dataclass(frozen=True, slots=True)
class An4Manifests:
    """948 utterances to learn from, in two parts, and 130 to judge by.

    Attributes:
        train_all: the whole training set.
        train_nodev: 848 of it, to learn from while choices are made.
        train_dev: the other 100, to choose by.
        test: 130 utterances of 10 other speakers.
    """

    train_all: Path
    train_nodev: Path
    train_dev: Path
    test: Path


def prepare(corpus: Path, out: Path, *, written: bool = False) -> An4Manifests:
    """Write the manifests of AN4 below `out`.

    Args:
        corpus: a release of AN4, or a pack of it.
        out: folder for the manifests.
        written: whether texts are as `write_out` gives them, and not as they were said.

    Raises:
        ManifestError: the folder is not AN4, or not all of it.
        AudioError: a recording is damaged.
    """
    utterances = read_an4(corpus, converted=out / "wav")
    if written:
        utterances = [replace(one, text=write_out(one.text or "")) for one in utterances]
    train = [utterance for utterance in utterances if utterance.split == "train"]
    train.sort(key=lambda utterance: f"{utterance.speaker}-{utterance.id}")
    sets = {
        "train_all": train,
        "train_nodev": train[_NUM_DEV:],
        "train_dev": train[:_NUM_DEV],
        "test": [utterance for utterance in utterances if utterance.split == "test"],
    }
    return An4Manifests(**write_sets(out, sets))


def write_out(text: str) -> str:
    """Return a transcript as a person would write it.

    Letters in a row are one word: "t h r e e" is "three". Numbers in a row are one string of
    digits: "twenty three" is "23", "five one oh two" is "5102", "seven twenty nine fifty eight" is
    "72958", and "two thousand five hundred and fifty two" is "2552". Ordinals stay words.
    """
    written: list[str] = []
    words = deque(text.split())
    while words:
        if len(words[0]) == 1:
            written.append("".join(_take(words, lambda word: len(word) == 1)))
        elif words[0] in _NUMBERS:
            digits = ""
            while words and words[0] in _NUMBERS:
                digits += str(_take_amount(words))
            written.append(digits)
        else:
            written.append(words.popleft())
    return " ".join(written)


def _take(words: deque[str], belongs: Callable[[str], bool]) -> list[str]:
    taken = []
    while words and belongs(words[0]):
        taken.append(words.popleft())
    return taken


def _take_amount(words: deque[str]) -> int:
    """Take one amount off the front: a digit, 10 to 99, or hundreds and thousands."""
    amount = _NUMBERS[words.popleft()]
    if amount >= 20 and words and 0 < _NUMBERS.get(words[0], 0) < 10:
        amount += _NUMBERS[words.popleft()]
    for unit, size in (("thousand", 1_000), ("hundred", 100)):
        if words and words[0] == unit:
            words.popleft()
            if words and words[0] == "and":
                words.popleft()
            amount *= size
            if words and words[0] in _NUMBERS:
                amount += _take_amount(words)
            break
    return amount


def read_an4(corpus: Path, *, converted: Path) -> list[Utterance]:
    """Return all utterances, `split` being the corpus's own train or test, sorted by id.

    Args:
        corpus: a release of AN4, or a pack of it.
        converted: where headerless recordings are copied to as WAV.

    Raises:
        ManifestError: the folder is not AN4, or not all of it.
        AudioError: a recording is damaged.
    """
    utterances = _read_pack(corpus) if is_pack(corpus) else _read_release(corpus)
    utterances = _give_headers(utterances, converted)
    return [with_duration(u) for u in sorted(utterances, key=lambda utterance: utterance.id)]


def _read_pack(corpus: Path) -> list[Utterance]:
    packed = read_manifest(corpus / PACK_MANIFEST)
    if not all(_NAME.fullmatch(item.path.stem) for item in packed):
        raise SOURCE.not_in(corpus, ["etc/an4_train.fileids", f"AN4's {PACK_MANIFEST}"])
    return [
        _utterance(item.path, item.text or "", str(item.extra.get("official_split")))
        for item in packed
    ]


def _read_release(corpus: Path) -> list[Utterance]:
    root = child_or_self(corpus, "an4")
    lists = [root / "etc" / f"an4_{split}.fileids" for split in ("train", "test")]
    if not all(path.is_file() for path in lists):
        raise SOURCE.not_in(corpus, ["etc/an4_train.fileids", PACK_MANIFEST])
    suffix = _find_suffix(root)
    utterances = []
    for split in ("train", "test"):
        files = (root / "etc" / f"an4_{split}.fileids").read_text(encoding="utf-8").split()
        texts = dict(_read_transcripts(root / "etc" / f"an4_{split}.transcription"))
        for file in files:
            audio = root / "wav" / f"{file}{suffix}"
            if audio.stem not in texts:
                raise ManifestError(
                    f"{root / 'etc'}: {audio.stem} stands in an4_{split}.fileids but has no line "
                    f"in an4_{split}.transcription; unpack the download again: {SOURCE.address}"
                )
            utterances.append(_utterance(audio, texts[audio.stem], split))
    require_files((utterance.path for utterance in utterances), SOURCE)
    return utterances


def _find_suffix(root: Path) -> str:
    present = {path.suffix for path in (root / "wav").glob("an4_clstk/*/*")}
    for suffix in _SUFFIXES:
        if suffix in present:
            return suffix
    raise ManifestError(
        f"{root / 'wav' / 'an4_clstk'}: no recordings ({', '.join(_SUFFIXES)}); unpack the "
        f"download again: {SOURCE.address}"
    )


def _read_transcripts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of lines like "<s> YES </s> (an251-fash-b)"; the test's have no <s>."""
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; unpack AN4 again: {SOURCE.address}")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = _TRANSCRIPT.fullmatch(line.strip())
        if match is not None:
            yield match["id"], match["text"]
        elif line.strip():
            raise ManifestError(
                f"{path}: line {number}: found {line.strip()!r}; each line must be a text and an "
                f"id in parentheses"
            )


def _utterance(audio: Path, text: str, split: str) -> Utterance:
    name = _NAME.fullmatch(audio.stem)
    if name is None:
        raise ManifestError(f"{audio}: not a name that AN4 gives; leave it out of its lists")
    return Utterance(
        id=audio.stem,
        path=audio,
        text=" ".join(text.lower().split()),
        speaker=name["speaker"],
        split=split,
    )


def _give_headers(utterances: list[Utterance], converted: Path) -> list[Utterance]:
    """Copy headerless recordings to WAV files, which say what they hold."""
    raw = [utterance for utterance in utterances if utterance.path.suffix == ".raw"]
    if not raw:
        return utterances
    order = guess_byte_order([utterance.path for utterance in raw[:_BYTE_ORDER_VOTERS]])
    converted.mkdir(parents=True, exist_ok=True)
    for utterance in raw:
        samples = np.fromfile(utterance.path, dtype=order).astype(np.int16)
        soundfile.write(converted / f"{utterance.id}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    return [_utterance(converted / f"{u.id}.wav", u.text or "", u.split or "") for u in utterances]


def guess_byte_order(paths: Sequence[Path]) -> str:
    """Return the NumPy type, ">i2" or "<i2", of headerless 16-bit recordings.

    CMU gives them in both byte orders under the same names. In the right one neighbouring samples
    are alike; in the wrong one they look like noise.
    """

    def roughness(order: str) -> float:
        waves = (np.fromfile(path, dtype=order).astype(np.float64) for path in paths)
        return float(sum(np.abs(np.diff(wave)).mean() for wave in waves if len(wave) > 1))

    return min((">i2", "<i2"), key=roughness)
