import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.frontends.sound import level
from ctcasr.frontends.sound.level import frame_levels


@given(
    num_samples=st.integers(0, 400),
    hop=st.integers(1, 40),
    longer=st.integers(0, 50),
    block=st.integers(1, 9),
)
def test_a_level_is_the_mean_power_of_the_frames_window(num_samples, hop, longer, block):
    samples = np.random.default_rng(num_samples).standard_normal(num_samples).astype(np.float32)
    window = hop + longer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level, "_BLOCK", block)
        levels = frame_levels(samples, hop=hop, window=window)

    assert len(levels) == -(-num_samples // hop)
    for frame, found in enumerate(levels):
        begin = frame * hop - longer // 2
        inside = samples[max(begin, 0) : begin + window].astype(np.float64)
        expected = 10 * np.log10(max(np.square(inside).sum() / window, 1e-10))
        assert found == pytest.approx(expected, abs=1e-6)


def test_digital_silence_has_a_level_too():
    assert frame_levels(np.zeros(10, np.float32), hop=5, window=5).tolist() == [-100.0, -100.0]
