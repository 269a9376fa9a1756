"""Texts that cannot be aligned: CTC gives each frame one symbol, so a text needs enough frames.

Adjacent equal labels need a blank between them, or they would collapse into one. An utterance
with fewer frames has probability zero and an infinite loss; torch's `zero_infinity` would hide it.

Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.1.
"""

from collections.abc import Callable, Sequence

from ctcasr.alphabet import frames_needed
from ctcasr.checking.findings import Kind, Unusable
from ctcasr.errors import InfeasibleAlignmentError
from ctcasr.manifest.utterance import Utterance


def infeasible_alignment(
    utterance: Utterance,
    labels: Sequence[int],
    *,
    num_positions: int,
    num_frames: Callable[[int], int],
) -> Unusable | None:
    """Return why `labels` cannot be aligned, or None where they can.

    Args:
        utterance: which item.
        labels: its label ids.
        num_positions: N, the length of its signal.
        num_frames: N -> T', the frames that the encoder gives.
    """
    frames, needed = num_frames(num_positions), frames_needed(labels)
    if frames >= max(1, needed):
        return None
    error = InfeasibleAlignmentError(
        utterance.id, frames=frames, labels=len(labels), repeats=needed - len(labels)
    )
    return Unusable(utterance.id, Kind.TOO_FEW_FRAMES, str(error))
