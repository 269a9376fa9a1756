"""A manifest of millions of lines: how fast its index is made, and how soon an item is at hand.

    python -m benchmarks.bench_manifest --lines 10000000 --folder exp/lines

The manifest is written first: ids, paths, a sentence, durations drawn. The index is made in one
process, and opened in another, which sorts all durations, draws items over the whole manifest and
says what memory it had at most. The file was just written, so that it is in the disk's cache.
"""

import argparse
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ctcasr.manifest.index import IndexedManifest, index_path

ITEMS = 100
"""As many as a batch may hold."""
_LINE = (
    '{"id": "train-%08d", "audio": "recordings/%04d/%08d.flac", "duration": %.2f, '
    '"text": "it was not what anybody had thought it would be", "speaker": "s%04d"}\n'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--open", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    manifest = args.folder / "lines.jsonl"
    if args.open:
        open_and_draw(manifest)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    write_lines(manifest, args.lines)
    index_path(manifest).unlink(missing_ok=True)
    started = time.perf_counter()
    IndexedManifest(manifest)
    seconds = time.perf_counter() - started
    print(
        f"{args.lines:,} lines of {manifest.stat().st_size / args.lines:.0f} bytes: index made in "
        f"{seconds:.1f} s, {args.lines / seconds:,.0f} lines/s, {_peak_mb():.0f} MB at most"
    )
    command = [sys.executable, "-m", "benchmarks.bench_manifest", "--open"]
    subprocess.run([*command, "--folder", str(args.folder)], check=True)


def write_lines(path: Path, count: int) -> None:
    """Write a manifest, a line at a time."""
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            folder = number // 1_000
            file.write(_LINE % (number, folder, number, draw.uniform(1, 20), folder % 5_000))


def open_and_draw(path: Path) -> None:
    """Say how long it takes until a batch's items are at hand, and what memory that needs."""
    started = time.perf_counter()
    manifest = IndexedManifest(path)
    opened = time.perf_counter()
    order = np.argsort(manifest.seconds, kind="stable")
    ordered = time.perf_counter()
    drawn = np.random.default_rng(1).integers(len(manifest), size=ITEMS)
    items = [manifest[int(order[place])] for place in drawn]
    done = time.perf_counter()
    print(
        f"opened in {1000 * (opened - started):.1f} ms, all durations sorted in "
        f"{ordered - opened:.2f} s, {len(items)} items in {1000 * (done - ordered):.1f} ms, "
        f"{_peak_mb():.0f} MB at most"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
