"""How a benchmark is run, and on what machine."""

import argparse
import platform
import timeit
from collections.abc import Callable

import torch


def parse_repeats(description: str) -> int:
    """Return --repeats."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    return int(parser.parse_args().repeats)


def machine(device: torch.device) -> str:
    """Name what the numbers were measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of several runs, after one that is not counted."""

    def run() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    run()
    return min(timeit.repeat(run, number=1, repeat=repeats))
