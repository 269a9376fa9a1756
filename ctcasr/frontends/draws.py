"""Random draws, each by a key of its own, and the ranges that they are drawn from.

A draw that depends on (seed, epoch, utterance id) alone is the same in any order, with any number
of loading workers, and in a run that was stopped and goes on.
"""

import hashlib
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field


def rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return a range as it is; refuse one that does not go from low to high."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range {list(bounds)} must go from low to high")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(rising)]
PositiveRange = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(rising)
]


def keyed_generator(*key: object) -> np.random.Generator:
    """Return a generator that depends on the key alone, on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
