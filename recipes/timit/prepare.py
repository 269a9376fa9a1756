"""TIMIT: manifests of phone strings, in the split that published phone error rates use.

Learned from are the 462 training speakers, chosen by 50 of the test speakers and judged by the 24
of the core test set. The two sentences that everybody read (SA1, SA2) are left out, or the test's
words would be known. A token is a phone, so the unit is `word`.

Sources: Garofolo et al. 1993, LDC93S1 (core test set: its testset.doc); Halberstadt 1998 (the 50
speakers of the dev set).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance
from recipes.corpus import Source, require_files, with_duration, write_sets
from recipes.timit.phones import learned_phones

SOURCE = Source(
    name="TIMIT",
    address="https://catalog.ldc.upenn.edu/LDC93S1",
    size="630 speakers, 10 sentences each",
    licence="LDC user agreement, to be bought",
)
_CORE_TEST = (
    "fdhc0 felc0 fjlm0 fmgd0 fmld0 fnlp0 fpas0 fpkt0 mbpm0 mcmj0 mdab0 mgrt0 mjdh0 mjln0 mjmp0 "
    "mklt0 mlll0 mlnt0 mnjm0 mpam0 mtas1 mtls0 mwbt0 mwew0"
)
_DEV = (
    "fadg0 faks0 fcal1 fcmh0 fdac1 fdms0 fdrw0 fedw0 fgjd0 fjem0 fjmg0 fjsj0 fkms0 fmah0 fmml0 "
    "fnmr0 frew0 fsem0 majc0 mbdg0 mbns0 mbwm0 mcsh0 mdlf0 mdls0 mdvc0 mers0 mgjf0 mglb0 mgwt0 "
    "mjar0 mjfc0 mjsw0 mmdb1 mmdm2 mmjr0 mmwh0 mpdf0 mrcs0 mreb0 mrjm4 mrjr0 mroa0 mrtk0 mrws1 "
    "mtaa0 mtdt0 mteb0 mthc0 mwjg0"
)
CORE_TEST_SPEAKERS = frozenset(_CORE_TEST.split())
DEV_SPEAKERS = frozenset(_DEV.split())


@dataclass(frozen=True, slots=True)
class TimitManifests:
    """3,696 utterances to learn from, 400 to choose by, 192 to judge by."""

    train: Path
    dev: Path
    test: Path


def prepare(corpus: Path, out: Path) -> TimitManifests:
    """Write the manifests of TIMIT below `out`.

    Raises:
        ManifestError: the folder is not TIMIT, or a label file is damaged.
        AudioError: a recording is damaged.
    """
    root = _find_root(corpus)
    test = list(_read_half(root, "test"))
    return TimitManifests(
        **write_sets(
            out,
            {
                "train": list(_read_half(root, "train")),
                "dev": [u for u in test if u.speaker in DEV_SPEAKERS],
                "test": [u for u in test if u.speaker in CORE_TEST_SPEAKERS],
            },
        )
    )


def _find_root(corpus: Path) -> Path:
    """Return the folder that holds TRAIN and TEST; copies differ in case and depth."""
    for folder in (corpus, *(corpus / name for name in ("TIMIT", "timit", "data", "TIMIT/TIMIT"))):
        if folder.is_dir() and {"train", "test"} <= {
            path.name.lower() for path in folder.iterdir()
        }:
            return folder
    raise SOURCE.not_in(corpus, ["TRAIN/ and TEST/"])


def _read_half(root: Path, half: str) -> Iterator[Utterance]:
    """Yield the utterances of one half, TRAIN or TEST, by DR*/SPEAKER/SENTENCE.PHN."""
    folder = next(path for path in root.iterdir() if path.name.lower() == half)
    for labels in sorted(folder.glob("*/*/*")):
        sentence = labels.stem.lower()
        if labels.suffix.lower() != ".phn" or sentence.startswith("sa"):
            continue
        audio = labels.with_suffix(".WAV" if labels.suffix.isupper() else ".wav")
        require_files([audio], SOURCE)
        speaker = labels.parent.name.lower()
        yield with_duration(
            Utterance(
                id=f"{speaker}-{sentence}",
                path=audio,
                text=learned_phones(_read_labels(labels), str(labels)),
                speaker=speaker,
                group=labels.parent.parent.name.lower(),
            )
        )


def _read_labels(path: Path) -> str:
    """Return the phones of lines like "0 3050 h#": first sample, last sample + 1, phone."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != 3:
            raise ManifestError(
                f"{path}: line {number}: found {' '.join(row)!r}; each line must be two sample "
                f"numbers and a phone"
            )
    return " ".join(phone for _, _, phone in rows)
