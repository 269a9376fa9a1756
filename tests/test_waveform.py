"""Recordings are read whole, exactly, and never silently shortened, mixed or changed."""

import io
import re
import shutil
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcasr.errors import AudioError
from ctcasr.frontends.sound.waveform import (
    probe_audio,
    read_audio,
    read_audio_bytes,
    resample,
    resampled_length,
    segment_frames,
    select_channel,
)

RATE = 16_000


def noise(num_samples, *, seed=0, channels=None):
    shape = (num_samples,) if channels is None else (num_samples, channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    def write_file(name, samples, rate=RATE, **options):
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return write_file


def message(call, *args, **options):
    with pytest.raises(AudioError) as caught:
        call(*args, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what is read -----------------------------------------------------------------------------


def test_samples_are_channels_first_float32_within_full_scale(write):
    path = write("a.wav", np.array([[0.5, -1.0], [0.25, 0.0], [0.0, 0.5]]))

    samples, rate = read_audio(path)

    assert rate == RATE
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, [[0.5, 0.25, 0.0], [-1.0, 0.0, 0.5]])


def test_header_is_reported(write):
    info = probe_audio(write("a.flac", noise(8_000, channels=2), 8_000))

    assert (info.rate, info.channels, info.frames) == (8_000, 2, 8_000)
    assert (info.format, info.subtype, info.duration) == ("FLAC", "PCM_16", 1.0)


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "au", "ogg", "mp3", "caf", "w64"])
def test_a_segment_is_the_same_samples_as_in_the_whole(write, extension):
    path = write(f"a.{extension}", noise(40_000))
    whole, _ = read_audio(path)

    segment, _ = read_audio(path, offset=0.5, duration=0.75)

    np.testing.assert_allclose(segment, whole[:, 8_000:20_000], atol=1e-6)


@pytest.mark.parametrize("extension", ["wav", "flac"])
@given(first=st.integers(0, 99_999), length=st.integers(1, 5_000))
@settings(max_examples=30, deadline=None)
def test_seeking_is_exact_to_the_sample(tmp_path_factory, extension, first, length):
    path = tmp_path_factory.getbasetemp() / f"long.{extension}"
    if not path.exists():
        soundfile.write(path, noise(100_000), 44_100)
    last = min(first + length, 100_000)
    whole, _ = soundfile.read(path, dtype="float32")

    segment, _ = read_audio(path, offset=first / 44_100, duration=(last - first) / 44_100)

    np.testing.assert_array_equal(segment[0], whole[first:last])


def test_one_sample_is_a_recording(write):
    path = write("a.wav", noise(1))

    assert probe_audio(path).frames == 1
    assert read_audio(path)[0].shape == (1, 1)


def test_bytes_give_what_the_file_gives(write):
    path = write("a.flac", noise(5_000, channels=2))

    samples, rate = read_audio_bytes(path.read_bytes(), "-")

    assert rate == RATE
    np.testing.assert_array_equal(samples, read_audio(path)[0])


def test_a_duration_rounded_past_the_end_stops_at_the_end(write):
    path = write("a.wav", noise(RATE))

    assert read_audio(path, offset=0.5, duration=0.55)[0].shape == (1, RATE // 2)


def test_a_wav_streamed_without_its_length_is_whole(write):
    path = write("a.wav", noise(1_000))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)

    assert probe_audio(path).frames == 1_000


# --- what is refused --------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "a.wav"

    assert message(probe_audio, path) == (
        f"{path}: no such file; correct the path (in a manifest it counts from its folder)"
    )
    assert message(read_audio, path) == message(probe_audio, path)


def test_a_folder_is_no_recording(tmp_path):
    assert message(read_audio, tmp_path) == (
        f"{tmp_path}: a folder, not a recording; name one audio file"
    )


def test_an_empty_file_is_named(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"")

    assert message(read_audio, path) == (
        f"{path}: empty (0 bytes); copy the recording again or leave it out"
    )
    assert message(read_audio_bytes, b"", "-") == (
        "-: empty (0 bytes); give the bytes of one audio file"
    )


def test_a_header_without_samples_is_named(write):
    path = write("a.wav", noise(0))

    assert message(probe_audio, path) == (
        f"{path}: a header without samples; record or export it again"
    )


@pytest.mark.parametrize("extension", ["wav", "aiff", "au", "w64", "rf64"])
@pytest.mark.parametrize("call", [probe_audio, read_audio])
def test_an_uncompressed_file_cut_short_says_how_much_is_left(write, extension, call):
    path = write(f"a.{extension}", noise(RATE))
    path.write_bytes(path.read_bytes()[: -RATE // 2])  # a quarter of its 16-bit samples

    text = message(call, path)

    readable, whole = re.findall(r"([\d.]+) s", text.removeprefix(f"{path}: cut short or damaged:"))
    assert float(readable) == pytest.approx(0.75, abs=0.01)
    assert float(whole) == pytest.approx(1.0, abs=0.01)
    assert text.endswith("can be read; copy the recording again or leave it out")


def test_a_wav_cut_after_its_header_holds_nothing(write):
    path = write("a.wav", noise(RATE))
    path.write_bytes(path.read_bytes()[:44])

    assert "0.000 s of 1.000 s can be read" in message(probe_audio, path)


@pytest.mark.parametrize("extension", ["flac", "mp3"])
@pytest.mark.parametrize("call", [probe_audio, read_audio])
def test_a_compressed_file_cut_short_is_noticed(write, extension, call):
    path = write(f"a.{extension}", noise(2 * RATE))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    text = message(call, path)

    readable = float(text.split("damaged: ")[1].split(" s")[0])
    assert 0.5 < readable < 1.1
    assert "s of 2.000 s can be read" in text


def test_the_intact_part_of_a_flac_cut_short_can_be_read(write):
    path = write("a.flac", noise(2 * RATE))
    whole, _ = read_audio(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    samples, _ = read_audio(path, offset=0.1, duration=0.2)

    np.testing.assert_array_equal(samples, whole[:, RATE // 10 : RATE // 10 * 3])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.raw", "a"])
def test_bytes_that_are_no_audio_are_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"dear diary, " * 100)

    text = message(read_audio, path)

    assert text.startswith(f"{path}: no audio that can be decoded here (")
    assert f'ffmpeg -i "{path}" "' in text


def test_bytes_in_memory_that_are_no_audio_are_named():
    assert message(read_audio_bytes, b"dear diary", "-") == (
        "-: 10 bytes that cannot be decoded as audio (Format not recognised); convert it first: "
        'ffmpeg -i "INPUT" "OUTPUT.wav"'
    )


@pytest.mark.parametrize("extension", ["m4a", "aac", "mp4", "wma", "M4A"])
def test_aac_gets_the_exact_ffmpeg_line_that_keeps_its_channels(tmp_path, extension):
    path = tmp_path / f"a b.{extension}"
    path.write_bytes(b"\x00\x00\x00\x20ftypM4A ")

    text = message(read_audio, path)

    assert text.endswith(f'ffmpeg -i "{path}" "{tmp_path / "a b.wav"}"')
    assert "-ac" not in text


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_what_soundfile_does_not_know_is_read_where_a_decoder_is_installed(write, tmp_path):
    import subprocess

    wav, other = write("a.wav", noise(RATE, channels=2)), tmp_path / "a.wv"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", wav, other], check=True)

    np.testing.assert_allclose(read_audio(other)[0], read_audio(wav)[0], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_named_with_their_time(write, value):
    samples = noise(RATE)
    samples[[4_000, 5_000]] = value
    path = write("a.wav", samples, subtype="FLOAT")

    assert message(read_audio, path, offset=0.125) == (
        f"{path}: NaN or infinite samples: 2, the first at 0.250 s; export the recording again"
    )


@pytest.mark.parametrize(("offset", "duration"), [(1.0, None), (3.0, 0.1), (0.0, 1.2), (0.5, 0.7)])
def test_a_segment_outside_the_recording_is_refused(write, offset, duration):
    path = write("a.wav", noise(RATE))

    text = message(read_audio, path, offset=offset, duration=duration)

    assert "lies outside the recording, which is 1.000 s long" in text
    assert text.startswith(f"{path}: offset {offset:g} s")


@pytest.mark.parametrize(
    ("offset", "duration"), [(-1, None), (np.nan, None), (np.inf, 1), (0, 0), (0, -1), (0, np.nan)]
)
def test_a_time_that_cannot_be_is_refused(write, offset, duration):
    path = write("a.wav", noise(RATE))

    assert "is a number of seconds" in message(
        read_audio, path, offset=float(offset), duration=duration
    )


def test_a_segment_shorter_than_a_sample_is_refused(write):
    info = probe_audio(write("a.wav", noise(RATE)))

    assert "holds no sample at 16000 Hz" in message(
        segment_frames, info, offset=0.5, duration=1e-6, name="a"
    )


# --- channels ---------------------------------------------------------------------------------


def test_one_channel_is_itself():
    samples = noise(10)[None]

    np.testing.assert_array_equal(select_channel(samples, channel=None, item="a"), samples[0])
    np.testing.assert_array_equal(select_channel(samples, channel=0, item="a"), samples[0])


def test_identical_channels_need_no_choice():
    samples = np.stack([noise(10)] * 3)

    np.testing.assert_array_equal(select_channel(samples, channel=None, item="a"), samples[0])


def test_channels_that_differ_in_the_last_bit_are_never_mixed():
    samples = np.stack([noise(10)] * 2)
    samples[1, 7] = np.nextafter(samples[1, 7], np.float32(1))

    assert message(select_channel, samples, channel=None, item="a.wav") == (
        "a.wav: 2 channels that differ; say which one is meant: "
        '"channel": 0 to 1 in its manifest line'
    )
    np.testing.assert_array_equal(select_channel(samples, channel=1, item="a"), samples[1])


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there_is_refused(channel):
    samples = noise(20).reshape(2, 10)

    assert message(select_channel, samples, channel=channel, item="a.wav") == (
        f"a.wav: channel {channel} was asked for but there are 2 (0 to 1); correct `channel` in "
        f"its manifest line"
    )


# --- sample rates -----------------------------------------------------------------------------


@given(
    num_samples=st.integers(0, 3_000),
    from_rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    to_rate=st.sampled_from([8_000, 16_000, 44_100]),
)
@settings(max_examples=60, deadline=None)
def test_resampling_gives_the_length_that_was_promised(num_samples, from_rate, to_rate):
    resampled = resample(noise(num_samples), from_rate=from_rate, to_rate=to_rate)

    promised = resampled_length(num_samples, from_rate=from_rate, to_rate=to_rate)
    assert resampled.dtype == np.float32
    assert len(resampled) == promised
    assert abs(promised - num_samples * to_rate / from_rate) <= 0.5


def test_an_equal_rate_changes_nothing():
    samples = noise(100)

    assert resample(samples, from_rate=RATE, to_rate=RATE) is samples


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_100, 16_000), (8_000, 16_000)])
def test_a_tone_keeps_its_pitch_phase_and_level(from_rate, to_rate):
    tone = np.sin(2 * np.pi * 1_000 * np.arange(from_rate) / from_rate).astype(np.float32)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(to_rate) / to_rate)

    resampled = resample(tone, from_rate=from_rate, to_rate=to_rate)

    inner = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=1e-4)


def test_what_the_new_rate_cannot_hold_is_gone_not_folded_back():
    tone = np.sin(2 * np.pi * 6_000 * np.arange(RATE) / RATE).astype(np.float32)

    assert np.abs(resample(tone, from_rate=RATE, to_rate=8_000)[800:-800]).max() < 1e-4


@pytest.mark.parametrize(("from_rate", "to_rate"), [(0, RATE), (-8_000, RATE), (RATE, 0)])
def test_a_rate_that_is_not_positive_is_refused(from_rate, to_rate):
    assert "a rate is above 0; give the true one" in message(
        resample, noise(5), from_rate=from_rate, to_rate=to_rate
    )


def test_bytes_of_a_cut_file_are_refused():
    file = io.BytesIO()
    soundfile.write(file, noise(2 * RATE), RATE, format="FLAC")

    text = message(read_audio_bytes, file.getvalue()[:-20_000], "-")

    assert text.startswith("-: cut short or damaged: ")
    assert "s of 2.000 s can be read" in text
