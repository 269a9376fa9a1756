"""Blocks of a recording as they come, held against the same recording read at once."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.errors import AudioError
from ctcasr.frontends.sound.live_audio import LiveAudio, open_file, open_samples, open_wav
from ctcasr.frontends.sound.waveform import read_audio_bytes, resample

NOISE = np.random.default_rng(0).uniform(-0.9, 0.9, 6_000).astype(np.float32)


class Pipe(io.BytesIO):
    """Bytes that come as a writer happens to write them: up to so many at a time."""

    def __init__(self, data, burst=1_000):
        super().__init__(data)
        self.burst = burst

    def read1(self, size=-1):
        return super().read1(min(size, self.burst))


def wav_bytes(samples=NOISE, *, subtype="PCM_16", rate=8_000, kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def joined(blocks):
    return np.concatenate([np.zeros(0, np.float32), *blocks])


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("burst", [7, 10_000])
def test_a_wav_file_from_a_pipe_has_the_samples_that_libsndfile_reads(kind, subtype, burst):
    data = wav_bytes(subtype=subtype, kind=kind)
    expected, rate = read_audio_bytes(data, "wav")

    audio = open_wav(Pipe(data, burst), name="pipe")

    assert audio.rate == rate
    np.testing.assert_array_equal(joined(audio.blocks), expected[0])


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_header_may_leave_the_length_open(size):
    data = wav_bytes()
    at = data.index(b"data") + 4
    data = data[:at] + struct.pack("<I", size) + data[at + 4 :]

    assert len(joined(open_wav(Pipe(data), name="pipe").blocks)) == len(NOISE)


def test_other_chunks_around_the_samples_are_no_samples():
    data = wav_bytes()
    note = b"note" + struct.pack("<I", 3) + b"abc\0"  # of odd size, so filled up
    at = data.index(b"fmt ")

    audio = open_wav(Pipe(data[:at] + note + data[at:] + note), name="pipe")

    assert len(joined(audio.blocks)) == len(NOISE)


def test_bare_samples_may_come_in_halves():
    values = (NOISE * 32_768).astype("<i2")

    audio = open_samples(Pipe(values.tobytes(), 3), rate=8_000, name="pipe")

    np.testing.assert_array_equal(joined(audio.blocks), values.astype(np.float32) / 32_768)


def test_a_file_has_the_samples_that_reading_it_at_once_gives(write_wav):
    blocks = list(open_file(write_wav("noise", NOISE)).blocks)

    assert len(blocks) > 1
    np.testing.assert_array_equal(joined(blocks), read_audio_bytes(wav_bytes(), "wav")[0][0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
@given(cuts=st.lists(st.integers(0, 6_000), max_size=8))
def test_resampling_bit_by_bit_gives_what_resampling_at_once_does(rate, cuts):
    audio = LiveAudio("noise", rate, iter(np.split(NOISE, sorted(cuts))))

    found = joined(audio.resampled(8_000))

    np.testing.assert_allclose(found, resample(NOISE, from_rate=rate, to_rate=8_000), atol=1e-6)


STEREO = np.stack([NOISE, -NOISE], axis=1)
BAD = np.array([0.1, np.nan], np.float32)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"fLaC" + bytes(50), "begins with b'fLaC'.*--rate HZ"),
        (wav_bytes()[:30], "a WAV file without a format|a WAV header without samples"),
        (wav_bytes(NOISE[:0]), "no sample came"),
        (wav_bytes()[:-1_000], r"cut short: 0\.688 s of 0\.750 s came"),
        (wav_bytes(subtype="ULAW"), "WAV format 7 with 8 bits.*pcm_s16le"),
        (wav_bytes(STEREO), "2 channels that differ"),
        (wav_bytes(BAD, subtype="FLOAT"), "NaN or infinite samples"),
    ],
)
def test_what_cannot_be_used_is_named(data, found):
    with pytest.raises(AudioError, match=f"^pipe: .*({found})"):
        joined(open_wav(Pipe(data), name="pipe").blocks)


def test_equal_channels_are_one():
    data = wav_bytes(np.stack([NOISE, NOISE], axis=1))

    assert len(joined(open_wav(Pipe(data), name="pipe").blocks)) == len(NOISE)


def test_a_file_that_ends_early_is_named(tmp_path):
    path = tmp_path / "short.wav"
    path.write_bytes(wav_bytes()[:-1_000])

    with pytest.raises(AudioError, match=r"short\.wav: cut short or damaged"):
        open_file(path)
