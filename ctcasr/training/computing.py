"""How a training computes: in which number format, with how many threads.

Which is faster depends on the processor, the network and what else the machine does, so a few steps
of the real network on a real batch are timed before the first one counts. The first candidate, what
is usually right, stays unless another is clearly faster, and they are timed in turns, so that a
machine that is busy for a moment (recordings are read ahead at the start) does not make two runs
differ. What was chosen is written down, and a run that goes on repeats it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

_CLEARLY_FASTER = 0.85
"""Share of the first candidate's time; two timings of the same on a busy machine differ by less."""
_TIMED_STEPS = 4
_OUT_OF_THE_RACE = 1.5
"""Times the fastest: what takes longer in the first timed step is not timed again."""
TIMED_FRAMES = 6_000
"""Most feature frames in a timed step, about: one of a very large batch can take seconds. A small
part of a batch would say something else: in bf16 the recurrence takes as long for few utterances
as for many (docs/log.md)."""


class Precision(StrEnum):
    """Number format of the matrix products in a training step."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Computing:
    """How steps are computed.

    Attributes:
        bf16: whether matrix products run in bf16; in float32 else.
        threads: of torch on the CPU.
    """

    bf16: bool
    threads: int

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{'bf16' if self.bf16 else 'fp32'} with {threads}"


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Return whether matrix products run in bf16, where nothing is timed.

    `auto` takes it where it is measured to pay (benchmarks/RESULTS.md): on a GPU, and on a CPU
    with bf16 instructions.
    """
    if precision is not Precision.AUTO:
        return precision is Precision.BF16
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def candidates(precision: Precision, threads: int | None, device: torch.device) -> list[Computing]:
    """Return what may be fastest; first what is taken unless another is clearly faster.

    Args:
        precision: as asked for.
        threads: as asked for; None: torch's own number, or half of it on a CPU.
        device: where the network is.
    """
    formats = [uses_bf16(precision, device)]
    if precision is Precision.AUTO and formats == [True]:
        formats.append(False)  # without its instructions, bf16 is never faster
    counts = [threads or torch.get_num_threads()]
    if threads is None and device.type == "cpu" and counts[0] > 1:
        counts.append(counts[0] // 2)
    return [Computing(bf16, count) for count in counts for bf16 in formats]


def recall(
    known: Mapping[str, Any], precision: Precision, threads: int | None, device: torch.device
) -> Computing:
    """Return what a run is known to have chosen, where the machine has it and nobody asks else.

    Args:
        known: fields of its `Computing`.
        precision: as asked for.
        threads: as asked for.
        device: where the network is.
    """
    usual = candidates(precision, threads, device)[0]
    is_free = precision is Precision.AUTO and usual.bf16
    fits = threads is None and known["threads"] <= usual.threads
    return Computing(
        bf16=known["bf16"] if is_free else usual.bf16,
        threads=known["threads"] if fits else usual.threads,
    )


def choose(times: Mapping[Computing, float]) -> Computing:
    """Return the fastest, or the first if that is not clearly slower; `times` are seconds."""
    first, fastest = next(iter(times)), min(times, key=lambda one: times[one])
    return fastest if times[fastest] < _CLEARLY_FASTER * times[first] else first


def measure(
    found: Sequence[Computing], seconds_of: Callable[[Computing], float]
) -> tuple[Computing, str]:
    """Time candidates; return which to take, and a line that says why.

    Args:
        found: the candidates; first what is taken unless another is clearly faster.
        seconds_of: takes one step this way, which leaves no trace, and returns its time.
    """
    for one in found:
        seconds_of(one)  # warms up
    times = {one: seconds_of(one) for one in found}
    longest = _OUT_OF_THE_RACE * min(times.values())
    for _ in range(_TIMED_STEPS - 1):
        for one in found:
            if times[one] <= longest:
                times[one] = min(times[one], seconds_of(one))
    chosen = choose(times)
    listed = ", ".join(f"{one}: {1000 * seconds:.0f} ms" for one, seconds in times.items())
    return chosen, (
        f"computing in {chosen}, by the time of a step ({listed}); training.precision and "
        f"training.threads decide it otherwise"
    )
