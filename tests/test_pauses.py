import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.frontends.sound.pauses import cut_in_pauses

RATE = 8_000


def sound(*stretches, seed=0):
    """Noise of so many seconds at so many dB, one after another."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            10 ** (level / 20) * rng.standard_normal(round(seconds * RATE))
            for seconds, level in stretches
        ]
    ).astype(np.float32)


def cuts_of(*stretches, **how):
    """Seconds at which it is cut."""
    parts = cut_in_pauses(sound(*stretches), rate=RATE, **how)
    return [start / RATE for start, _ in parts[1:]]


def test_a_pause_is_cut_once_inside_it():
    assert cuts_of((2, -20), (0.6, -60), (2, -20)) == [pytest.approx(2.3, abs=0.16)]


@pytest.mark.parametrize("seconds", [1.5, 2.5, 5, 30])
def test_a_pause_of_any_length_is_cut_once(seconds):
    (cut,) = cuts_of((2, -20), (seconds, -60), (2, -20))

    assert 2.1 < cut < 2 + seconds - 0.1


def test_the_closure_of_a_stop_is_no_pause():
    assert cuts_of((2, -20), (0.2, -60), (2, -20)) == []


def test_a_pause_full_of_noise_is_not_cut():
    assert cuts_of((2, -20), (0.6, -35), (2, -20)) == []


def test_a_soft_speaker_beside_a_loud_one_is_not_taken_for_a_pause():
    cuts = cuts_of((3, -15), (0.6, -70), (3, -33), (0.6, -70), (3, -15))

    assert cuts == [pytest.approx(3.3, abs=0.16), pytest.approx(6.9, abs=0.16)]


def test_silence_before_the_first_sound_and_after_the_last_makes_no_long_part_of_its_own():
    parts = cut_in_pauses(sound((5, -70), (2, -20), (5, -70)), rate=RATE)

    samples = sound((5, -70), (2, -20), (5, -70))
    assert np.abs(samples[slice(*parts[0])]).max() > 0.1
    assert len(parts) <= 2


def test_digital_silence_and_what_no_microphone_hears_are_not_cut():
    assert cut_in_pauses(np.zeros(60 * RATE, np.float32), rate=RATE) == [(0, 60 * RATE)]
    assert cuts_of((2, -85), (0.6, -200), (2, -85)) == []


@given(
    st.lists(st.tuples(st.floats(0.05, 3), st.sampled_from([-20, -40, -70])), max_size=8),
    st.sampled_from([1, 240, 640]),
)
def test_parts_cover_every_sample_once_and_are_whole_frames(stretches, multiple):
    samples = sound((0.1, -20), *stretches)

    parts = cut_in_pauses(samples, rate=RATE, multiple_of=multiple)

    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == len(samples)
    assert all((end - start) % multiple == 0 for start, end in parts[:-1])
    assert len(parts) == 1 or min(end - start for start, end in parts) >= RATE
