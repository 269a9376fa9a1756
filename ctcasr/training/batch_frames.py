"""How many frames a batch may have: as many as fit into memory, and leave an epoch enough steps.

A step's memory grows with the frames of its batch, padding included, from what the network needs
anyway. So batches of the training set are tried before the first step counts, each at most twice
the size of the last and never more than the budget is thought to hold; a step that runs out of
memory halves it. What was found is written down, and a run that goes on repeats it.
"""

from collections.abc import Callable

from ctcasr.errors import TrainingError

SHARE_OF_MEMORY = 0.5
"""Of what is free at the start; the rest is for decoded recordings, dev set and other programs."""
STEPS_PER_EPOCH = 50
"""At least, since a network learns by its steps: the 4,000 frames found best on AN4 leave 62."""
FEWEST_FRAMES = 1_000
"""Taken however small the training set is."""
_FIRST_FRAMES = 2_000
_WORTH_A_TRY = 1.1  # times what is known to fit


def most_frames(all_frames: int) -> int:
    """Return what a batch may have at most, for the sake of learning, of so many in all."""
    return max(FEWEST_FRAMES, all_frames // STEPS_PER_EPOCH)


def find_batch_frames(
    peak_of: Callable[[int], int | None], *, budget: int, fewest: int, most: int
) -> tuple[int, int]:
    """Return how many frames a batch may have, and the bytes of a step with such a batch.

    Args:
        peak_of: tries a step whose batch has so many frames at most; returns the bytes it took,
            None where there was no memory for it.
        budget: bytes a step may take; the smallest batch may take more.
        fewest: frames of the longest utterance: less makes no batch smaller.
        most: frames a batch may have at most.

    Raises:
        TrainingError: not even the smallest batch fits.
    """
    fits, fitting_bytes = 0, 0
    frames = min(_FIRST_FRAMES, most)
    while frames > _WORTH_A_TRY * fits:
        taken = peak_of(frames)
        too_much = taken is None or taken > budget
        if too_much and fits:
            break
        if too_much and frames > fewest:
            frames = max(fewest, frames // 2)
            continue
        if taken is None:
            raise TrainingError(
                f"out of memory in a batch of one utterance of {fewest:,} frames; leave long ones "
                f"out by data.max_frames, or train a smaller network"
            )
        fits, fitting_bytes = frames, taken
        frames = min(most, _round_down(int(frames * min(2.0, budget / max(1, taken)))))
    return fits, fitting_bytes


def _round_down(frames: int) -> int:
    """Keep two digits, so that two starts on a machine mostly find the same."""
    unit = int(10 ** max(0, len(str(frames)) - 2))
    return frames // unit * unit
