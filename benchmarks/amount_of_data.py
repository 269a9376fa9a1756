"""How good does a model get with so many minutes of recordings, and how long does that take?

    python -m benchmarks.amount_of_data TRAIN.jsonl TEST.jsonl -o exp/amount --minutes 1 2 4

Whole speakers are taken in a fixed order until the minutes are reached, so each set holds the
smaller ones. Every set is learned with the same configuration and judged on the same unheard
speakers. Prints Markdown to keep.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.setting import machine
from ctcasr.config import load_config
from ctcasr.frontends.sound.waveform import probe_audio
from ctcasr.manifest import Utterance, read_manifest, write_manifest
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("-c", "--config", default="speech-small")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()

    utterances = read_manifest(args.train)
    print(f"## {machine(torch.device('cpu'))}, {args.config}\n")
    print("| minutes | speakers | CER % | WER % | wall minutes | processor minutes |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for minutes in args.minutes:
        chosen = take_speakers(utterances, minutes=minutes)
        run = args.out / f"minutes-{minutes:g}"
        manifest = run / "manifests" / "train.jsonl"
        write_manifest(manifest, chosen)
        config = load_config(
            args.config, overrides=[f"data.train={json.dumps(str(manifest))}", *args.set]
        )
        started, cpu_started = time.perf_counter(), time.process_time()
        model = train(config, run=run, resume=True)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        results = evaluate(model, args.test, out=run / "eval" / "test").raw
        print(
            f"| {sum(map(seconds_of, chosen)) / 60:.1f} | {len({u.speaker for u in chosen})} "
            f"| {results.char.counts.rate or 0:.1%} | {results.word.counts.rate or 0:.1%} "
            f"| {wall / 60:.1f} | {cpu / 60:.1f} |",
            flush=True,
        )


def take_speakers(utterances: Sequence[Utterance], *, minutes: float) -> list[Utterance]:
    """Return all utterances of the first speakers, by hashed name, that make up the minutes."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker or utterance.id, []).append(utterance)
    chosen: list[Utterance] = []
    for name in sorted(by_speaker, key=lambda n: hashlib.blake2b(n.encode()).digest()):
        if sum(map(seconds_of, chosen)) >= 60 * minutes:
            break
        chosen += by_speaker[name]
    return chosen


def seconds_of(utterance: Utterance) -> float:
    """Return how long an utterance lasts, from its manifest line or its file."""
    return utterance.duration or probe_audio(utterance.path).duration


if __name__ == "__main__":
    main()
