import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding.word_boundaries import find_word_spans
from ctcasr.frontends.sound.level import frame_levels

HOP_S = 0.01


def levels_of(*parts):
    """Levels in dB from (frames, dB)."""
    return np.concatenate([np.full(frames, float(level)) for frames, level in parts])


def test_words_end_where_the_sound_does():
    levels = levels_of((20, -70), (40, -20), (30, -70), (50, -25), (20, -70))

    assert find_word_spans([(30, 33), (110, 113)], levels, frame_s=HOP_S) == [(20, 60), (90, 140)]


def test_a_short_dip_inside_a_word_is_no_pause():
    levels = levels_of((40, -20), (2, -70), (40, -20), (60, -70), (40, -20))

    assert find_word_spans([(10, 13), (150, 153)], levels, frame_s=HOP_S) == [(0, 82), (142, 182)]


def test_words_without_a_pause_meet():
    ((_, end), (start, _)) = find_word_spans(
        [(10, 13), (50, 53)], levels_of((80, -20)), frame_s=HOP_S
    )
    assert 13 <= end == start <= 50


def test_noise_between_words_is_a_pause():
    levels = levels_of((30, -40), (40, -20), (60, -40), (40, -20), (30, -40))

    assert find_word_spans([(40, 43), (140, 143)], levels, frame_s=HOP_S) == [(30, 70), (130, 170)]


def test_a_sound_before_or_after_all_words_is_none_of_them():
    levels = levels_of((80, -20), (30, -70), (40, -20), (30, -70), (80, -20))

    assert find_word_spans([(120, 123)], levels, frame_s=HOP_S) == [(110, 150)]


def test_a_recording_cut_at_the_word_is_all_word():
    assert find_word_spans([(30, 33)], levels_of((75, -20)), frame_s=HOP_S) == [(0, 75)]


def test_a_finer_grid_gives_the_same_times():
    levels = levels_of((20, -70), (40, -20), (30, -70), (50, -25), (20, -70))
    coarse = find_word_spans([(30, 33), (110, 113)], levels, frame_s=HOP_S)

    fine = find_word_spans([(60, 66), (220, 226)], levels.repeat(2), frame_s=HOP_S / 2)

    assert fine == [(2 * start, 2 * end) for start, end in coarse]


def test_no_words_have_no_spans():
    assert find_word_spans([], levels_of((9, -20)), frame_s=HOP_S) == []
    assert find_word_spans([], np.zeros(0), frame_s=HOP_S) == []


@given(
    cuts=st.lists(st.integers(0, 60), unique=True, max_size=12).map(sorted),
    levels=st.lists(st.floats(-100, 0), min_size=60, max_size=60),
)
def test_times_rise_inside_the_recording_and_hold_the_spikes(cuts, levels):
    spikes = list(zip(cuts[::2], cuts[1::2], strict=False))

    spans = find_word_spans(spikes, np.array(levels), frame_s=HOP_S)

    edges = [0, *(edge for span in spans for edge in span), 60]
    assert edges == sorted(edges)
    for (start, end), (first, last) in zip(spans, spikes, strict=True):
        assert start <= first < last <= end


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 400])
def test_there_is_a_level_for_every_hop(length):
    assert len(frame_levels(np.zeros(length, np.float32), hop=80, window=200)) == -(-length // 80)


def test_levels_are_in_decibels_below_full_scale():
    samples = np.concatenate([np.full(800, 0.1), np.zeros(800), np.full(800, 1.0)])

    levels = frame_levels(samples.astype(np.float32), hop=80, window=80)

    assert levels == pytest.approx(levels_of((10, -20), (10, -100), (10, 0)), abs=1e-4)
