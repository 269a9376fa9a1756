import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ctcasr.frontends.draws import keyed_generator
from ctcasr.frontends.feature_distortion import distort_spectrum, mask_features
from ctcasr.frontends.sound.augmentation import (
    NO_AUGMENTATION,
    AugmentConfig,
    Distortion,
    batch_distortions,
    distort_waveform,
    draw_distortion,
    join_waveforms,
    part_spans,
    power_law_noise,
    trim_edges,
)

RATE = 8_000
STRONG = AugmentConfig(
    noise_probability=0.5,
    response_db=6,
    warp=(0.8, 1.2),
    time_masks=3,
    freq_masks=2,
    trim_probability=0.5,
)
NEUTRAL = Distortion(
    speed=1.0,
    gain_db=0.0,
    shift_ms=0.0,
    snr_db=None,
    noise_exponent=0.0,
    noise_seed=0,
    narrowband=False,
    response_db=(0.0,) * 4,
    warp=1.0,
    time_masks=(),
    freq_masks=(),
    trim_db=None,
)


def tone(num_samples: int = 4_000, hertz: float = 440.0):
    return np.sin(2 * np.pi * hertz * np.arange(num_samples) / RATE).astype(np.float32) * 0.3


def change(samples, *, sample_rate=RATE, **values):
    distortion = dataclasses.replace(NEUTRAL, **values)
    return distort_waveform(samples, distortion, sample_rate=sample_rate)


def root_mean_square(samples):
    return math.sqrt(np.mean(np.square(samples, dtype=np.float64)))


def on_features(distortions, *, num_frames=(50,), num_features=20, config=STRONG):
    return batch_distortions(
        config, distortions, num_frames, num_features=num_features, hop_ms=10.0
    )


# What is drawn


def test_draws_depend_on_seed_epoch_and_utterance_alone():
    def draw(seed=1, epoch=2, item="a"):
        return draw_distortion(STRONG, seed=seed, epoch=epoch, item=item)

    first = draw()
    np.random.default_rng().random()
    torch.rand(3)

    assert draw() == first
    assert len({draw(), draw(seed=2), draw(epoch=3), draw(item="b")}) == 4


def test_keys_are_told_apart_and_stay_the_same_on_every_machine():
    def draw(*key):
        return int(keyed_generator(*key).integers(2**32))

    assert draw("a", 1, 12) != draw("a", 11, 2)
    assert draw("augment", 1, 0, "seven") == 386_534_979


@given(item=st.text(max_size=5), epoch=st.integers(0, 99))
def test_draws_stay_inside_their_ranges(item, epoch):
    drawn = draw_distortion(STRONG, seed=1, epoch=epoch, item=item)

    assert 0.9 <= drawn.speed <= 1.1
    assert -6 <= drawn.gain_db <= 6
    assert 0 <= drawn.shift_ms <= 20
    assert drawn.snr_db is None or 5 <= drawn.snr_db <= 30
    assert 0 <= drawn.noise_exponent <= 2
    assert 0.8 <= drawn.warp <= 1.2
    assert drawn.trim_db is None or 15 <= drawn.trim_db <= 40
    assert (len(drawn.time_masks), len(drawn.freq_masks)) == (3, 2)


def test_noise_and_cut_edges_come_as_often_as_asked():
    draws = [draw_distortion(STRONG, seed=1, epoch=0, item=str(i)) for i in range(1_000)]

    assert sum(drawn.snr_db is not None for drawn in draws) == pytest.approx(500, abs=60)
    assert sum(drawn.trim_db is not None for drawn in draws) == pytest.approx(500, abs=60)


def test_frequency_response_has_the_size_asked_for():
    draws = [draw_distortion(STRONG, seed=1, epoch=0, item=str(i)) for i in range(500)]
    responses = on_features(draws, num_frames=[1] * 500).response
    features = torch.zeros(500, 1, 200)
    neutral = on_features([NEUTRAL] * 500, num_frames=[1] * 500)

    coloured = distort_spectrum(features, dataclasses.replace(neutral, response=responses))

    in_db = coloured * 10 / math.log(10)
    assert in_db.square().mean().sqrt().item() == pytest.approx(6, rel=0.05)


def test_ranges_must_rise():
    with pytest.raises(ValidationError, match=r"the range \[2.0, 1.0\] must go from low to high"):
        AugmentConfig(speed=(2, 1))
    with pytest.raises(ValidationError, match="greater than 0"):
        AugmentConfig(speed=(0, 1))


# What is done to waveforms


def test_no_augmentation_leaves_samples_and_features_alone():
    samples, features = tone(), torch.randn(1, 50, 20)
    drawn = draw_distortion(NO_AUGMENTATION, seed=1, epoch=0, item="a")

    assert np.array_equal(distort_waveform(samples, drawn, sample_rate=RATE), samples)
    on_batch = on_features([drawn], config=NO_AUGMENTATION)
    assert torch.equal(mask_features(distort_spectrum(features, on_batch), on_batch), features)


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 2.0])
def test_speed_divides_the_length_and_raises_the_pitch(speed):
    faster = change(tone(8_000, hertz=400), speed=speed)

    assert len(faster) == pytest.approx(8_000 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(faster))
    peak = np.argmax(spectrum) * RATE / len(faster)
    assert peak == pytest.approx(400 * speed, abs=2)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_the_drawn_signal_to_noise_ratio(snr_db, exponent):
    samples = tone()

    noise = change(samples, snr_db=snr_db, noise_exponent=exponent, noise_seed=7) - samples

    measured = 20 * math.log10(root_mean_square(samples) / root_mean_square(noise))
    assert measured == pytest.approx(snr_db, abs=0.01)


def test_gain_leaves_the_signal_to_noise_ratio_alone():
    noisy = change(tone(), snr_db=10.0)

    np.testing.assert_allclose(
        change(tone(), snr_db=10.0, gain_db=-20.0), noisy / 10, rtol=1e-5, atol=1e-8
    )


def test_shift_puts_silence_before():
    shifted = change(tone(), shift_ms=15.0)

    assert not shifted[:120].any()
    assert np.array_equal(shifted[120:], tone())


@pytest.mark.parametrize("num_samples", [0, 1, 2, 3])
def test_next_to_nothing_is_distorted_without_complaint(num_samples):
    distorted = change(
        tone(4)[:num_samples], sample_rate=16_000, speed=1.1, narrowband=True, snr_db=5.0
    )

    assert distorted.dtype == np.float32
    assert np.isfinite(distorted).all()


def test_telephone_bandwidth_ends_at_four_kilohertz():
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)

    narrow = change(noise, sample_rate=16_000, narrowband=True)

    power = np.square(np.abs(np.fft.rfft(narrow)))  # 1 Hz per bin
    assert len(narrow) == pytest.approx(16_000, abs=1)
    assert power[4_200:].mean() < 1e-3 * power[:3_000].mean()
    assert power[:3_000].mean() == pytest.approx(16_000, rel=0.1)
    assert np.array_equal(change(noise, sample_rate=8_000, narrowband=True), noise)


def test_noise_on_silence_is_silence():
    assert not change(np.zeros(100, np.float32), snr_db=5.0).any()


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_spectrum_falls_with_its_exponent(exponent):
    noise = np.concatenate([power_law_noise(2**14, exponent, seed=s) for s in range(8)])
    power = np.square(np.abs(np.fft.rfft(noise.reshape(8, -1)))).mean(0)
    bins = np.arange(100, 8_000)

    slope = np.polyfit(np.log(bins), np.log(power[bins]), 1)[0]

    assert slope == pytest.approx(-exponent, abs=0.05)
    assert np.square(noise).mean() == pytest.approx(1, abs=1e-4)


def test_noise_depends_on_its_seed():
    assert np.array_equal(power_law_noise(99, 1, seed=3), power_law_noise(99, 1, seed=3))
    assert not np.array_equal(power_law_noise(99, 1, seed=3), power_law_noise(99, 1, seed=4))


def test_joined_recordings_lie_whole_around_their_pauses():
    parts = [tone(800), tone(400, hertz=900), tone(240)]

    joined = join_waveforms(parts, [50.0, 0.0], sample_rate=RATE, seed=1)

    assert joined.dtype == np.float32
    assert len(joined) == 800 + 400 + 400 + 240
    spans = part_spans([800, 400, 240], [50.0, 0.0], sample_rate=RATE)
    assert spans == [(0, 800), (1_200, 1_600), (1_600, 1_840)]
    for part, (start, end) in zip(parts, spans, strict=True):
        assert np.array_equal(joined[start:end], part)


def test_a_pause_is_as_loud_as_the_quietest_moment_beside_it():
    noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    quiet_at_end = noise * np.where(np.arange(8_000) < 7_000, 0.3, 0.01).astype(np.float32)

    joined = join_waveforms([quiet_at_end, noise], [500.0], sample_rate=RATE, seed=1)

    assert root_mean_square(joined[8_000:12_000]) == pytest.approx(0.01, rel=0.2)


def test_only_the_quiet_edges_are_cut_off():
    loud, pause = tone(800), np.zeros(400, dtype=np.float32)
    lead, tail = tone(240) / 30, tone(160) / 30  # 30 dB below
    samples = np.concatenate([pause, lead, loud, pause, loud, tail])

    def cut(below_db):
        return trim_edges(samples, below_db=below_db, sample_rate=RATE).tolist()

    assert cut(25) == np.concatenate([loud, pause, loud]).tolist()
    assert cut(35) == samples[len(pause) :].tolist()
    assert cut(200) == samples.tolist()


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(999, np.float32), tone(1)])
def test_what_has_no_edges_stays_as_it_is(samples):
    assert trim_edges(samples, below_db=15, sample_rate=RATE).tolist() == samples.tolist()


# What is done to features


@given(
    at=st.floats(0, 1, exclude_max=True),
    width=st.floats(0, 1, exclude_max=True),
    num_frames=st.integers(0, 300),
)
def test_masks_stay_inside_the_utterance_and_under_the_widest(at, width, num_frames):
    spans = ((at, width),)
    drawn = dataclasses.replace(NEUTRAL, time_masks=spans, freq_masks=spans)

    masks = on_features([drawn], num_frames=[num_frames])

    first, last = masks.time_masks[0, 0].tolist()
    assert 0 <= first <= last <= num_frames
    assert last - first <= min(20, 0.2 * num_frames)  # 200 ms of 10 ms frames, a fifth at most
    first, last = masks.freq_masks[0, 0].tolist()
    assert 0 <= first <= last <= 20
    assert last - first <= 5  # a quarter of the features


def test_the_widest_mask_is_drawn_too():
    drawn = dataclasses.replace(NEUTRAL, time_masks=((0.0, 0.999),), freq_masks=((0.999, 0.999),))

    masks = on_features([drawn], num_frames=[300])

    assert masks.time_masks.tolist() == [[[0, 20]]]
    assert masks.freq_masks.tolist() == [[[15, 20]]]


def test_masked_spans_are_zero_and_the_rest_is_untouched():
    features = torch.randn(2, 6, 5)
    neutral = on_features([NEUTRAL, NEUTRAL], num_frames=[6, 6], num_features=5)
    masks = dataclasses.replace(
        neutral,
        time_masks=torch.tensor([[[1, 3]], [[0, 0]]]),
        freq_masks=torch.tensor([[[0, 0]], [[3, 5]]]),
    )

    masked = mask_features(features, masks)

    wanted = features.clone()
    wanted[0, 1:3] = 0
    wanted[1, :, 3:] = 0
    assert torch.equal(masked, wanted)


@pytest.mark.parametrize("warp", [0.8, 1.25])
def test_warp_moves_a_peak_along_the_feature_axis(warp):
    axis = torch.arange(101.0)
    features = torch.exp(-((axis - 50) ** 2) / 50)[None, None]
    drawn = dataclasses.replace(NEUTRAL, warp=warp)

    warped = distort_spectrum(features, on_features([drawn], num_features=101))

    assert warped.argmax().item() == round(50 / warp)


def test_warp_of_one_beside_a_warped_neighbour_changes_nothing():
    features = torch.randn(2, 6, 80)
    drawn = [NEUTRAL, dataclasses.replace(NEUTRAL, warp=0.9)]

    warped = distort_spectrum(features, on_features(drawn, num_frames=[6, 6], num_features=80))

    torch.testing.assert_close(warped[0], features[0], rtol=0, atol=1e-4)
    assert not torch.allclose(warped[1], features[1], atol=1e-2)


def test_a_response_of_one_cosine_tilts_from_plus_to_minus():
    drawn = dataclasses.replace(NEUTRAL, response_db=(10.0, 0.0, 0.0, 0.0))

    tilted = distort_spectrum(torch.zeros(1, 1, 21), on_features([drawn], num_features=21))[0, 0]

    assert tilted[[0, 10, 20]].tolist() == pytest.approx([math.log(10), 0, -math.log(10)], abs=1e-6)
