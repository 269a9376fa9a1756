"""Do confidences tell right words from wrong ones? The search's posterior beside a usual stand-in.

    python -m benchmarks.confidence -m RUN MANIFEST [--beam K] [--lm FILE --set decode.alpha=A]

Every recognized word is right or wrong, by the alignment of the text with what was said; words that
were left out have no confidence. Printed is the area under the ROC curve: how often a right word is
more confident than a wrong one, .5 being chance. Compared are

    posterior            the share of the search's mass that has the word in its place
    product of maxima    the product of the largest probability of each frame from the word's first
                         spike to its last
    ... with neighbours  the same from the middle of the pause before to the middle of that after

Both products know one path only. Intervals: 95 %, a bootstrap that resamples speakers.
`calibration` is the mean confidence beside the share of right words. Prints Markdown to keep.
"""

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.setting import machine
from ctcasr.bundle import load
from ctcasr.cli.options import SearchOptions
from ctcasr.decoding import Word
from ctcasr.manifest import Utterance, read_manifest
from ctcasr.recognizer import Recognizer
from ctcasr.scoring import align_tokens
from ctcasr.text_rules import apply_rules

DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Judged:
    """The W words of one recording.

    Attributes:
        speaker: who is resampled.
        is_right: (W,); confidences: (W,) by name.
    """

    speaker: str
    is_right: NDArray[np.bool_]
    confidences: Mapping[str, NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--beam", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--lexicon", type=Path)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = load(args.model, device="cpu")
    items = [u for u in read_manifest(args.manifest) if u.text is not None]
    rows = recognizer.emissions([recognizer.prepare(u.path) for u in items]).log_probs
    print(f"## {machine(torch.device('cpu'))}, {len(items):,} recordings\n")
    print("| beam | words | wrong | confidence | area under the curve | calibration | seconds |")
    print("| ---: | ---: | ---: | --- | ---: | ---: | ---: |")
    for beam in args.beam:
        search = SearchOptions(beam, None, args.lm, args.lexicon, {}, tuple(args.set))
        started = time.perf_counter()
        judged = judge(recognizer, search, items, rows)
        seconds = time.perf_counter() - started
        is_right = np.concatenate([one.is_right for one in judged])
        for name in judged[0].confidences:
            low, high = interval(judged, name)
            values = np.concatenate([one.confidences[name] for one in judged])
            print(
                f"| {beam} | {len(is_right):,} | {(~is_right).sum():,} | {name} | "
                f"{area(values, is_right):.3f} [{low:.3f}, {high:.3f}] | {values.mean():.3f}, "
                f"right {is_right.mean():.3f} | {seconds:.2f} |",
                flush=True,
            )


def judge(
    recognizer: Recognizer,
    search: SearchOptions,
    items: Sequence[Utterance],
    rows: Sequence[NDArray[np.float32]],
) -> list[Judged]:
    """Decode every recording and hold its words against what was said."""
    decoder = recognizer.decoder(search.config(recognizer.config.decode))
    rules = recognizer.config.text.rules
    judged = []
    for item, row, (best, *_) in zip(items, rows, decoder(rows), strict=True):
        said = apply_rules(item.text or "", rules).split()
        pairs = align_tokens(said, [word.text for word in best.words])
        spikes = [(word.start, word.end) for word in best.words]
        maxima = row.max(1)
        confidences = {
            "posterior": [confidence_of(word) for word in best.words],
            "product of maxima": [np.exp(maxima[a:b].sum()) for a, b in spikes],
            "... with neighbours": [np.exp(maxima[a:b].sum()) for a, b in widen(spikes, len(row))],
        }
        judged.append(
            Judged(
                item.speaker or item.id,
                np.array([a == b for a, b in pairs if b is not None], dtype=bool),
                {name: np.array(values, np.float64) for name, values in confidences.items()},
            )
        )
    return judged


def confidence_of(word: Word) -> float:
    assert word.confidence is not None
    return word.confidence


def widen(spans: Sequence[tuple[int, int]], num_frames: int) -> list[tuple[int, int]]:
    """Return spans that meet in the middle between their neighbours and fill all frames."""
    middles = [(end + start) // 2 for (_, end), (start, _) in itertools.pairwise(spans)]
    edges = [0, *middles, num_frames]
    return list(itertools.pairwise(edges)) if spans else []


def area(confidences: NDArray[np.float64], is_right: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a right and a wrong word that are in order; ties count half."""
    right, wrong = confidences[is_right], np.sort(confidences[~is_right])
    if not len(right) or not len(wrong):
        return float("nan")
    below = np.searchsorted(wrong, right, "left") + np.searchsorted(wrong, right, "right")
    return float(below.mean() / 2 / len(wrong))


def interval(judged: Sequence[Judged], name: str) -> tuple[float, float]:
    """Return the 95 % interval of the area, from a bootstrap that resamples speakers."""
    speakers = sorted({one.speaker for one in judged})
    by_speaker = [[one for one in judged if one.speaker == speaker] for speaker in speakers]
    random = np.random.default_rng(0)
    areas = []
    for _ in range(DRAWS):
        drawn = [
            one for k in random.integers(len(speakers), size=len(speakers)) for one in by_speaker[k]
        ]
        values = np.concatenate([one.confidences[name] for one in drawn])
        areas.append(area(values, np.concatenate([one.is_right for one in drawn])))
    low, high = np.nanpercentile(areas, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
