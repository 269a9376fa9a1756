import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import InkError
from ctcasr.frontends.ink import features as module
from ctcasr.frontends.ink.features import (
    CELL,
    DELAYED,
    GRAVES_FEATURES,
    VICINITY,
    X_MEAN_FRAMES,
    InkFrontendConfig,
    graves_features,
    ink_frames,
    pen_speed,
    prepare_ink,
    resample_ink,
)
from ctcasr.frontends.ink.strokes import Ink
from tests.ink_cases import any_ink, wavy_line

L_SHAPE = [np.array([[0.0, 0], [0, 3], [4, 3]])]
RAW = InkFrontendConfig(normalisation=(), step=1.0)


def ink_of(*strokes, times=None):
    return Ink.from_strokes([np.array(stroke, float) for stroke in strokes], times, item="a")


def test_frames_stand_at_equal_steps_along_the_way():
    sampled, points = resample_ink(ink_of(*L_SHAPE), step=1.0, by_time=False, item="a")
    assert sampled.points.tolist() == [[0, n] for n in range(4)] + [[n, 3] for n in range(1, 5)]
    assert points.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]


def test_by_time_frames_stand_at_equal_times():
    ink = ink_of([[0, 0], [8, 0], [9, 0]], times=[np.array([5.0, 5.1, 5.4])])
    sampled, _ = resample_ink(ink, step=0.1, by_time=True, item="a")
    assert sampled.times == pytest.approx(np.array([5.0, 5.1, 5.2, 5.3, 5.4]))
    assert sampled.points[:, 0] == pytest.approx(np.array([0, 8, 8 + 1 / 3, 8 + 2 / 3, 9]))


@given(any_ink(), st.floats(0.5, 100), st.booleans())
def test_every_stroke_keeps_its_ends_and_nothing_is_drawn_in_the_air(ink, step, by_time):
    by_time = by_time and ink.times is not None
    sampled, points = resample_ink(ink, step=step, by_time=by_time, item="a")
    assert sampled.num_strokes == ink.num_strokes
    spans = itertools.zip_longest(ink.stroke_spans(), sampled.stroke_spans())
    for (first, end), (frame, last) in spans:
        np.testing.assert_array_equal(sampled.points[frame], ink.points[first])
        assert ((points[frame:last] >= first) & (points[frame:last] < end)).all()
        if last - frame > 1:
            np.testing.assert_array_equal(sampled.points[last - 1], ink.points[end - 1])
        box = ink.points[first:end]
        assert (sampled.points[frame:last] >= box.min(axis=0) - 1e-6).all()
        assert (sampled.points[frame:last] <= box.max(axis=0) + 1e-6).all()


def test_offsets_add_up_to_where_the_pen_ends():
    frames = ink_frames(prepare_ink(wavy_line(), RAW, item="a"), RAW)
    way = frames.features[:, :2].sum(axis=0)
    np.testing.assert_allclose(way, np.ptp(wavy_line().points[[0, -1]], axis=0), atol=1e-2)


def test_offsets_by_hand():
    ink = ink_of([[0, 1], [2, 1]], [[5, 5]], times=[np.array([0.0, 1.0]), np.array([4.0])])
    config = RAW.model_copy(update={"use_times": True})
    frames = ink_frames(prepare_ink(ink, config, item="a"), config)
    assert config.feature_names == ("dx", "dy", "height", "elapsed", "pen_down", "pen_up")
    half, three = math.log(1.5), math.log(4)
    np.testing.assert_allclose(
        frames.features,
        np.array(
            [
                [0, 0, 1, 0, 1, 0],
                [1, 0, 1, half, 0, 0],
                [1, 0, 1, half, 0, 1],
                [3, 4, 5, three, 1, 1],
            ]
        ),
        rtol=1e-6,
    )
    assert frames.points.tolist() == [0, 0, 1, 2]
    assert frames.strokes.tolist() == [0, 0, 0, 1]


def plain_graves(ink: Ink, speed) -> list[list[float]]:
    """The features of Graves et al. 2009, frame by frame, as the sources tell them."""
    points, ids, ups = ink.points.tolist(), ink.stroke_ids.tolist(), ink.pen_up.tolist()
    spans, size = ink.stroke_spans(), len(ink)

    def direction(a, b):
        length = math.dist(a, b)
        return ((b[0] - a[0]) / length, (b[1] - a[1]) / length) if length else (1.0, 0.0)

    delayed = []
    for number, (first, end) in enumerate(spans):
        if number and points[first][0] < max(x for x, _ in points[:first]) - DELAYED:
            xs = [x for x, _ in points[first:end]]
            delayed.append((number, min(xs), max(xs)))
    rows = []
    for t, (x, y) in enumerate(points):
        hat = any(low <= x <= high and ids[t] != n for n, low, high in delayed)
        window = points[max(0, t - X_MEAN_FRAMES // 2) : t + X_MEAN_FRAMES // 2 + 1]
        ways = [direction(points[i], points[i + 1]) for i in range(size - 1)] or [(1.0, 0.0)]
        on = ways[min(t, len(ways) - 1)]
        here = ways[t - 1] if t else on
        turn = math.atan2(on[1], on[0]) - math.atan2(here[1], here[0])
        near = points[max(0, t - VICINITY) : t + VICINITY + 1]
        width = max(p[0] for p in near) - min(p[0] for p in near)
        height = max(p[1] for p in near) - min(p[1] for p in near)
        slope = direction(near[0], near[-1])
        way = sum(math.dist(a, b) for a, b in itertools.pairwise(near))
        squares = [
            ((p[0] - near[0][0]) * slope[1] - (p[1] - near[0][1]) * slope[0]) ** 2 for p in near
        ]
        close = [p for p in points if abs(p[0] - x) <= CELL]
        context = [[0] * 3 for _ in range(3)]
        for p in points:
            column = math.floor((p[0] - x + 1.5 * CELL) / CELL)
            row = math.floor((p[1] - y + 1.5 * CELL) / CELL)
            if 0 <= column < 3 and 0 <= row < 3:
                context[row][column] += 1
        rows.append(
            [
                float(ups[t]),
                float(hat),
                math.log1p(speed[t]),
                x - sum(p[0] for p in window) / len(window),
                y,
                *on,
                math.cos(turn),
                math.sin(turn),
                (height - width) / (height + width) if height + width else 0.0,
                *slope,
                way / max(width, height) if width or height else 1.0,
                sum(squares) / len(near),
                math.log1p(sum(p[1] < -1 for p in close)),
                math.log1p(sum(p[1] > 0 for p in close)),
                *(math.log1p(n) for row in context for n in row),
            ]
        )
    return rows


@given(any_ink(), st.integers(0, 3))
def test_graves_features_agree_with_plain_loops(ink, scale):
    # Quarters of a unit: exact in binary, so that no pair lies on two sides of a border.
    ink = ink.moved(np.round(ink.points / 10**scale * 4) / 4)
    speed = np.arange(len(ink), dtype=float)
    found = graves_features(ink, speed=speed)
    expected = np.array(plain_graves(ink, speed))
    assert found.shape == (len(ink), len(GRAVES_FEATURES))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_graves_features_agree_with_plain_loops_on_a_line():
    frames = ink_frames(
        prepare_ink(wavy_line(letters=12), InkFrontendConfig(kind="graves"), item="a"),
        InkFrontendConfig(kind="graves"),
    )
    speed = np.expm1(frames.features[:, GRAVES_FEATURES.index("speed")].astype(float))
    expected = np.array(plain_graves(frames.sampled, speed))
    np.testing.assert_allclose(frames.features, expected, rtol=1e-3, atol=1e-4)


def test_a_dot_set_later_is_a_hat_over_what_it_dots():
    ink = ink_of([[0, 0], [1, 0], [2, 0]], [[1, -2]])
    assert graves_features(ink, speed=np.zeros(4))[:, 1].tolist() == [0, 1, 0, 0]


def test_speed_is_way_over_time_within_a_stroke():
    ink = ink_of([[0, 0], [2, 0], [4, 0]], [[9, 0]], times=[np.array([0, 1, 2.0]), np.array([9.0])])
    assert pen_speed(ink).tolist() == [2, 2, 2, 0]
    assert pen_speed(ink_of([[0, 0], [2, 0], [4, 0]])).tolist() == [2, 2, 2]


@given(any_ink(), st.sampled_from(["offsets", "graves"]))
def test_any_ink_gives_finite_frames_that_know_where_they_came_from(ink, kind):
    config = InkFrontendConfig(kind=kind)
    frames = ink_frames(prepare_ink(ink, config, item="a"), config)
    assert frames.features.dtype == np.float32
    assert frames.features.shape[1] == config.num_features
    assert np.isfinite(frames.features).all()
    assert len(frames.features) == len(frames.points) == len(frames.strokes) == len(frames.sampled)
    np.testing.assert_array_equal(ink.stroke_ids[frames.points], frames.strokes)


def test_frames_name_strokes_as_given_where_some_were_left_out():
    line = wavy_line()
    far = np.array([[0.0, 400.0]])
    ink = Ink.from_strokes([far, *line.strokes()], item="a")
    frames = ink_frames(prepare_ink(ink, InkFrontendConfig(), item="a"), InkFrontendConfig())
    assert sorted(set(frames.strokes.tolist())) == list(range(1, ink.num_strokes))


def test_times_that_are_missing_and_frames_that_are_too_many_are_refused(monkeypatch):
    ink = ink_of(*L_SHAPE)
    for changed in ({"resampling": "time"}, {"use_times": True}):
        with pytest.raises(InkError, match="a: no times"):
            ink_frames(
                prepare_ink(ink, RAW.model_copy(update=changed), item="a"),
                RAW.model_copy(update=changed),
            )
    monkeypatch.setattr(module, "MAX_FRAMES", 5)
    with pytest.raises(InkError, match="a: 8 frames, at most 5"):
        ink_frames(prepare_ink(ink, RAW, item="a"), RAW)
