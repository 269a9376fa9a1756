"""How much of `transcribe`'s time is search? Its parts, in processor time on one thread.

    python -m benchmarks.search_share -m RUN MANIFEST [--beam K] [--lm FILE --set decode.alpha=A]

The parts, each over all recordings:

    reading      from files to samples
    network      features and log-probabilities
    search       prefix beam search, first without the language model, then with it
    alignment    the frames in which the words of the best text were said
    confidence   posteriors of texts and words: what the search takes longer with them
    other        the rest of `transcribe_batch`: from frames to where words begin and end

The share is that of search, alignment and confidence in the sum of all parts. Medians of several
passes. Prints Markdown to keep.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.setting import machine
from ctcasr.bundle import load
from ctcasr.cli.options import SearchOptions
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import TextDecoder
from ctcasr.manifest import read_manifest
from ctcasr.recognizer import Recognizer

PARTS = ("reading", "network", "search", "alignment", "confidence", "other")
OF_THE_SEARCH = ("search", "alignment", "confidence")

_Result = TypeVar("_Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--beam", type=int, default=64)
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--lexicon", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = load(args.model, device="cpu")
    paths = [item.path for item in read_manifest(args.manifest)]
    searches = {"no language model": SearchOptions(args.beam, None, None, None, {}, ())}
    if args.lm:
        with_lm = SearchOptions(args.beam, None, args.lm, args.lexicon, {}, tuple(args.set))
        searches["language model"] = with_lm
    print(f"## {machine(torch.device('cpu'))}, {len(paths):,} recordings, beam {args.beam}\n")
    print(f"| seconds | {' | '.join(PARTS)} | share of search |")
    print("| --- |" + " ---: |" * (len(PARTS) + 1))
    for name, search in searches.items():
        config = search.config(recognizer.config.decode)
        passes = [measure(recognizer, paths, config) for _ in range(args.repeats)]
        parts = {part: statistics.median(one[part] for one in passes) for part in PARTS}
        share = sum(parts[part] for part in OF_THE_SEARCH) / sum(parts.values())
        cells = (f"{seconds:.3f}" for seconds in parts.values())
        print(f"| {name} | {' | '.join(cells)} | {share:.1%} |", flush=True)


def measure(
    recognizer: Recognizer, paths: Sequence[Path], config: DecodeConfig
) -> dict[str, float]:
    """Return the processor seconds of each part."""
    recordings, reading = timed(lambda: [recognizer.prepare(path) for path in paths])
    rows, network = timed(lambda: recognizer.emissions(recordings).log_probs)
    sources = recognizer.sources(config)
    plain, full = (
        TextDecoder(config, recognizer.alphabet, sources, with_confidence=is_full)
        for is_full in (False, True)
    )
    found, search = timed(lambda: plain(rows))
    _, alignment = timed(lambda: [hypotheses[0].words for hypotheses in found])
    _, searching = timed(lambda: [hypotheses[0].words for hypotheses in full(rows)])
    recognizer.decoder(config)  # made once, not with every recording
    _, whole = timed(lambda: recognizer.transcribe_batch(recordings, decode=config))
    return {
        "reading": reading,
        "network": network,
        "search": search,
        "alignment": alignment,
        "confidence": searching - search - alignment,
        "other": whole - network - searching,
    }


def timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return what the work returns, and the processor seconds that it took."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


if __name__ == "__main__":
    main()
