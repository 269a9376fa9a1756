"""A manifest of millions of lines: how fast its index is made, and how soon training has a batch.

    python -m benchmarks.bench_manifest --lines 10000000 --folder exp/lines

The manifest is written first: ids, a sentence, speakers, and paths of a hundred recordings of
noise, over and over, with their durations. The index is made in one process. Another does what
`train` does until the first batch is at hand, and says how long that took, imports counted apart,
and what memory it had at most. Times are those of the processor where other work runs beside it,
and of the clock. The files were just written, so that they are in the disk's cache.
"""

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ctcasr.manifest.index import IndexedManifest, index_path

RECORDINGS = 100
RATE = 16_000
_LINE = (
    '{"id": "train-%08d", "audio": "recordings/%04d.wav", "duration": %.2f, '
    '"text": "it was not what anybody had thought it would be", "speaker": "s%04d"}\n'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    manifest = args.folder / "lines.jsonl"
    if args.train:
        take_first_batch(manifest)
        return
    write_lines(manifest, args.lines, write_recordings(args.folder / "recordings"))
    index_path(manifest).unlink(missing_ok=True)
    clock = Clock()
    IndexedManifest(manifest)
    made = clock.lap()
    print(
        f"{args.lines:,} lines of {manifest.stat().st_size / args.lines:.0f} bytes: index made in "
        f"{made}, {args.lines / made.processor:,.0f} lines per second of processor, "
        f"{_peak_mb():.0f} MB at most",
        flush=True,
    )
    command = [sys.executable, "-m", "benchmarks.bench_manifest", "--train"]
    subprocess.run([*command, "--folder", str(args.folder)], check=True)


def write_recordings(folder: Path) -> list[float]:
    """Write noise of 1 to 16 s; return how long each lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(1)
    lasting = [round(float(draw.uniform(1, 16)), 2) for _ in range(RECORDINGS)]
    for number, seconds in enumerate(lasting):
        noise = 0.1 * draw.standard_normal(round(seconds * RATE))
        soundfile.write(folder / f"{number:04d}.wav", noise, RATE, subtype="PCM_16")
    return lasting


def write_lines(path: Path, count: int, lasting: list[float]) -> None:
    """Write a manifest, a line at a time."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            recording = number * 7 % RECORDINGS
            speaker = number // 1_000 % 5_000
            file.write(_LINE % (number, recording, lasting[recording], speaker))


def take_first_batch(path: Path) -> None:
    """Do what training does until it has its first batch, and say what that took."""
    from ctcasr.config import parse_config
    from ctcasr.pipeline.train import training_data
    from ctcasr.pipeline.training_sets import prepare_sets, read_manifests

    letters = sorted({*"it was not what anybody had thought it would be"})
    config = parse_config({"data": {"train": str(path)}, "text": {"alphabet": letters}})
    imported = Lap(time.process_time(), 0.0)
    clock = Clock()
    manifests = {key: items for key, (_, items) in read_manifests(config).items()}
    sets = prepare_sets(config, manifests)
    opened = clock.lap()
    batches = training_data(config, sets).epoch(0)
    planned = clock.lap()
    batch = next(iter(batches))
    read = clock.lap()
    print(
        f"imports {imported.processor:.2f} s of processor; opened in {opened}, the first round "
        f"planned in {planned}, {len(batch.ids)} utterances read in {read}: first batch after "
        f"{opened + planned + read}; {_peak_mb():.0f} MB at most"
    )


@dataclass(frozen=True, slots=True)
class Lap:
    """Seconds of the processor and of the clock."""

    processor: float
    wall: float

    def __add__(self, other: "Lap") -> "Lap":
        return Lap(self.processor + other.processor, self.wall + other.wall)

    def __str__(self) -> str:
        return f"{self.processor:.2f} s of processor ({self.wall:.2f} s)"


class Clock:
    """Measures laps."""

    def __init__(self) -> None:
        self._last = Lap(time.process_time(), time.perf_counter())

    def lap(self) -> Lap:
        """Return what went by since the last one."""
        before, self._last = self._last, Lap(time.process_time(), time.perf_counter())
        return Lap(self._last.processor - before.processor, self._last.wall - before.wall)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
