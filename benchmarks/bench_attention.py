"""Attention and joint decoding against SpeechBrain's: how many times faster than speech.

    python -m benchmarks.bench_attention --peers exp/training-peers [--quick]

Both search the same encoder frames with decoders of equal size and drawn weights: an LSTM with
location-aware attention, in ours with input feeding, in SpeechBrain's with its context fed back.
Weights that have learned nothing make every hypothesis as good as the next, so that the beam is
always full and nothing is pruned; every text is made to have the same number of labels, so that
both take as many steps. Only the search is timed, from encoder frames to label sequences, in
batches, each side in a process by itself on one thread; the best of several passes counts.

    ctcasr         search_with_attention over AttentionSteps; CTC prefix scores in NumPy
    SpeechBrain    S2SRNNBeamSearcher over AttentionalRNNDecoder; CTCScorer over all symbols

CTC alone, by best path and by prefix beam, is timed on the same log-probabilities, for ours.
SpeechBrain lives in the environment of bench_training (requirements: training_peers.txt).
"""

import argparse
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.bench_training import MODULES, REQUIREMENTS
from benchmarks.peers import prepare_peers, python_of, run_worker

WORKER = Path(__file__).parent / "attention_worker.py"
FRAME_S = 0.03
JOB: dict[str, Any] = {
    "seed": 1,
    "utterances": 32,
    "batch": 16,
    "frames": 90,
    "labels": 20,
    "symbols": 30,
    "encoder": 512,
    "hidden": 256,
    "attention": 128,
    "embedding": 64,
    "channels": 10,
    "reach": 15,
    "beam": 8,
    "ctc_weight": 0.3,
    "repeats": 5,
}
QUICK = {"utterances": 4, "batch": 2, "frames": 20, "labels": 12, "hidden": 32, "repeats": 1}
MODES = {
    "best path": ("ctcasr",),
    "prefix beam": ("ctcasr",),
    "attention": ("ctcasr", "speechbrain"),
    "joint": ("ctcasr", "speechbrain"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="folder of their environment")
    parser.add_argument("--quick", action="store_true", help="a small job, to see that it works")
    args = parser.parse_args()
    prepare_peers(args.peers, requirements=REQUIREMENTS, modules=MODULES)
    job = JOB | (QUICK if args.quick else {})
    speech_s = job["utterances"] * job["frames"] * FRAME_S

    print(
        f"## {platform.machine()}, Python {platform.python_version()}, one thread, beam "
        f"{job['beam']}, {job['labels']} labels in {job['frames'] * FRAME_S:.1f} s, best of "
        f"{job['repeats']}\n"
    )
    print("| search | ctcasr, times real time | SpeechBrain, times real time | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for mode, contestants in MODES.items():
        rates = [_rate(args.peers, job | {"mode": mode}, who, speech_s) for who in contestants]
        theirs = f"{rates[1]:,.0f} | {rates[0] / rates[1]:.1f}" if len(rates) > 1 else " | "
        print(f"| {mode} | {rates[0]:,.0f} | {theirs} |", flush=True)


def _rate(peers: Path, job: dict[str, Any], who: str, speech_s: float) -> float:
    """Return seconds of speech searched per second."""
    print(f"searching: {who}, {job['mode']}", file=sys.stderr, flush=True)
    python = python_of(peers) if who == "speechbrain" else Path(sys.executable)
    answer = run_worker(python, WORKER, job | {"contestant": who}, name=who, threads=1)
    wanted = 0 if job["mode"] in ("best path", "prefix beam") else job["labels"]
    if wanted and set(answer["lengths"]) != {wanted}:
        raise SystemExit(
            f"{who}, {job['mode']}: texts of {sorted(set(answer['lengths']))} labels, not {wanted}"
        )
    return speech_s / float(answer["seconds"])


if __name__ == "__main__":
    main()
