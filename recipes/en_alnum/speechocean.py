"""speechocean762: English sentences and digit strings read by Mandarin-speaking learners.

Texts are what was to be read; learners sometimes misread it, so some transcripts are wrong.

Source: Zhang et al. 2021, arXiv:2104.01378. The split is the corpus's own, no speaker in both.
"""

import re
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, read_manifest
from recipes.corpus import (
    PACK_MANIFEST,
    Source,
    child_or_self,
    is_pack,
    require_files,
    with_duration,
)
from recipes.fsdd.prepare import DIGITS

SOURCE = Source(
    name="speechocean762",
    address="https://github.com/jimbozhang/speechocean762 or https://www.openslr.org/101/",
    size="5,000 sentences, 5.6 h of speech",
    licence='"free download for both commercial and non-commercial purposes", says its README',
)

_NAME = re.compile(r"\d{9}")


def read_speechocean(corpus: Path) -> list[Utterance]:
    """Return all utterances, `split` being the corpus's own train or test, sorted by id.

    Raises:
        ManifestError: the folder is not speechocean762, or not all of it.
        AudioError: a recording is damaged.
    """
    utterances = _read_pack(corpus) if is_pack(corpus) else _read_release(corpus)
    return [with_duration(u) for u in sorted(utterances, key=lambda utterance: utterance.id)]


def is_digit_string(utterance: Utterance) -> bool:
    """Return whether nothing but digits is said."""
    words = (utterance.text or "").split()
    return bool(words) and all(word in DIGITS for word in words)


def _read_pack(corpus: Path) -> list[Utterance]:
    packed = read_manifest(corpus / PACK_MANIFEST)
    if not all(_NAME.fullmatch(item.path.stem) for item in packed):
        raise SOURCE.not_in(corpus, ["train/wav.scp", f"speechocean762's {PACK_MANIFEST}"])
    return [
        Utterance(
            id=item.path.stem,
            path=item.path,
            text=item.text,
            speaker=item.speaker,
            split=str(item.extra.get("official_split")),
        )
        for item in packed
    ]


def _read_release(corpus: Path) -> list[Utterance]:
    root = child_or_self(corpus, "speechocean762")
    utterances = []
    for split in ("train", "test"):
        tables = [root / split / name for name in ("wav.scp", "text", "utt2spk")]
        if not all(table.is_file() for table in tables):
            raise SOURCE.not_in(corpus, [f"{split}/wav.scp, text and utt2spk", PACK_MANIFEST])
        files, texts, speakers = (_read_table(table) for table in tables)
        for name, file in files.items():
            if name not in texts or name not in speakers:
                raise ManifestError(
                    f"{root / split}: {name} stands in wav.scp, but not in text and utt2spk; get "
                    f"the corpus again: {SOURCE.address}"
                )
            utterances.append(
                Utterance(
                    id=name,
                    path=root / file,
                    text=texts[name].lower(),
                    speaker=speakers[name],
                    split=split,
                )
            )
    require_files((utterance.path for utterance in utterances), SOURCE)
    return utterances


def _read_table(path: Path) -> dict[str, str]:
    """Return a Kaldi table: an id, white space, and the rest of the line."""
    rows = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: " ".join(row[1].split()) for row in rows if len(row) == 2}
