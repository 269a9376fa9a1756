"""Kill trainings, resume them, and hold what they leave behind against runs that never stopped.

    python -m tests.soak.resume --kills 200 --seed 0

Each run is killed up to five times, half of the times at a line of Python drawn by place
(tests/kills.py), half at a moment by the clock, then goes on to its end. It must leave behind what
an unbroken run does: model, checkpoints, metrics and log, bit for bit, clocks aside. Ends with a
table of the kills; at the first difference, with the seed and the kills that led to it and status
1. Not collected by pytest; tests/test_exact_resume.py holds a short version.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import record_tones
from tests.kills import PLACES, Kill, left_behind, run_command, write_config

MINUTES = (0, 10)  # between checkpoints: after every step, or at the ends of epochs alone
MOST_KILLS = 5  # of one run


def main() -> int:
    """Run until so many kills have happened; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return soak(Path(folder), kills=arguments.kills, seed=arguments.seed)


def soak(root: Path, *, kills: int, seed: int) -> int:
    record_tones(root)
    expected: dict[int, dict[str, Any]] = {}
    for minutes in MINUTES:
        run = root / f"whole-{minutes}"
        done = run_command("train", write_config(root, minutes=minutes), "-o", run, aside=root)
        expected[minutes], lines = left_behind(run), done.lines
    draw = random.Random(seed)
    happened: Counter[str] = Counter()
    runs = 0
    while happened.total() < kills:
        runs += 1
        minutes = draw.choice(MINUTES)
        run, story = root / "run", []
        train = ("train", write_config(root, minutes=minutes), "-o", run, "--resume")
        for _ in range(draw.randint(1, MOST_KILLS)):
            kill: Kill | float = draw.uniform(0.05, 1.5)
            if draw.random() < 0.5:
                place = draw.choice(PLACES)
                kill = Kill(place, draw.randint(1, lines[place]))
            story.append(kill)
            done = run_command(*train, aside=root, kill=kill)
            if done.status == -signal.SIGKILL:
                happened[kill.place if isinstance(kill, Kill) else "by the clock"] += 1
            elif done.status != 0:
                return _fail(runs, story, done.said)
        done = run_command(*train, aside=root)
        left = left_behind(run) if done.status == 0 else {}
        whole = expected[minutes]
        different = [name for name in whole if left.get(name) != whole[name]]
        if different:
            said = f"{done.said}different: {', '.join(different)}; files: {left.get('names')}"
            return _fail(runs, story, said)
        shutil.rmtree(run)
        print(f"\r{happened.total()} kills, {runs} runs", end="", file=sys.stderr, flush=True)
    print("\n| killed | times |\n| --- | ---: |")
    print("\n".join(f"| {place} | {times} |" for place, times in sorted(happened.items())))
    print(f"\n{runs} runs, {happened.total()} kills, seed {seed}: all as if they never stopped")
    return 0


def _fail(run: int, story: list[Kill | float], said: str) -> int:
    print(f"\nrun {run}, killed at {story}:\n{said}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
