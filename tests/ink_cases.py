"""Ink made for tests: waves that are much like a line of writing."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ctcasr.frontends.ink.strokes import Ink


def wavy_line(*, letters: int = 40, height: float = 10.0, seed: int = 0) -> Ink:
    """Return letters of one or two humps, some with long strokes, on the baseline y = 0."""
    generator = np.random.default_rng(seed)
    strokes: list[NDArray[np.float64]] = []
    times: list[NDArray[np.float64]] = []
    left, clock = 0.0, 0.0
    for _ in range(letters):
        humps = int(generator.integers(1, 3))
        top = -height * (generator.choice([1.0, 1.0, 1.0, 2.0]))
        turns = [(0.0, top)]
        for hump in range(humps):
            turns += [(hump + 0.1, 0.0), (hump + 1.0, -height)]
        turns[-1] = (humps + 0.1, height * generator.choice([0.0, 0.0, 0.0, 1.0]))
        x, y = np.array(turns).T
        at = np.linspace(0, len(turns) - 1, 12 * len(turns))
        known = np.arange(len(turns))
        strokes.append(
            np.stack([left + height * np.interp(at, known, x), np.interp(at, known, y)], axis=1)
        )
        times.append(clock + 0.01 * np.arange(len(at), dtype=np.float64))
        left += height * (humps + generator.uniform(0.4, 1.2))
        clock = float(times[-1][-1]) + 0.2
    return Ink.from_strokes(strokes, times, item="wave")


NUMBERS = st.floats(-100, 100).map(lambda value: round(value, 3))


@st.composite
def any_ink(draw, *, max_strokes: int = 5, max_points: int = 8) -> Ink:
    """Return ink of any shape: dots, bars, repeated points, strokes on top of each other."""
    point = st.tuples(NUMBERS, NUMBERS) | st.tuples(st.integers(0, 2), st.integers(0, 2))
    strokes = draw(
        st.lists(st.lists(point, min_size=1, max_size=max_points), min_size=1, max_size=max_strokes)
    )
    times: list[NDArray[np.float64]] | None = None
    if draw(st.booleans()):
        steps = draw(st.lists(st.floats(0, 1), min_size=40, max_size=40))
        clock = np.cumsum(steps)
        ends = np.cumsum([len(stroke) for stroke in strokes])
        times = np.split(clock[: ends[-1]], ends[:-1])
    return Ink.from_strokes([np.array(stroke, float) for stroke in strokes], times, item="any")
