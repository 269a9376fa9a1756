import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding.segmentation import LONG_SECONDS
from ctcasr.errors import AudioError
from ctcasr.frontends.sound.pauses import cut_in_pauses
from ctcasr.hearing import Heard
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from ctcasr.recognizer import Recognizer
from tests.conftest import tone_alphabet

# What transcribe takes


def test_a_path_and_its_samples_give_the_same_text(recognizer, tone_run, samples):
    path = tone_run.recordings / "3-cad.wav"
    ways = [
        recognizer.transcribe(path),
        recognizer.transcribe(str(path)),
        recognizer.transcribe(samples, sample_rate=8_000),
        recognizer.transcribe(samples.astype(np.float64), sample_rate=8_000),
        recognizer.transcribe(np.stack([samples, samples]), sample_rate=8_000),
        recognizer.transcribe(torch.from_numpy(samples), sample_rate=8_000),
        recognizer.transcribe(samples.tolist(), sample_rate=8_000),
    ]

    assert [way.text for way in ways] == ["cad"] * 7
    assert len({way.log_prob for way in ways}) == 1
    assert (ways[0].id, ways[0].source) == ("3-cad", str(path))
    assert (ways[2].id, ways[2].source) == ("array", None)


def test_words_have_times_from_the_beginning(recognizer, samples):
    recording = recognizer.prepare(samples, sample_rate=8_000)
    piece = dataclasses.replace(recording, offset=2.0)

    first, later = (t.words[0] for t in recognizer.transcribe_batch([recording, piece]))

    assert first.text == later.text == "cad"
    assert 0 < first.start < 0.15  # the first tone is from 0.06 to 0.15 s
    assert 0.36 < first.end <= 0.51  # the last from 0.36 to 0.45 s of 0.51 s
    assert (later.start, later.end) == (first.start + 2, first.end + 2)


def test_frames_reduced_between_layers_count_in_every_time(recognizer, samples):
    torch.manual_seed(0)
    encoder = EncoderConfig(layers=3, hidden=16, stride=2, reduce_after=(1, 2))
    config = recognizer.config.model_copy(update={"encoder": encoder})
    num_labels = len(recognizer.alphabet)
    reduced = Recognizer(
        config, recognizer.alphabet, Network(encoder, num_features=20, num_labels=num_labels)
    )
    recording = reduced.prepare(samples, sample_rate=8_000)

    (rows,) = reduced.emissions([recording]).log_probs
    (aligned,) = reduced.align([recording], ["cad"])

    assert reduced.frame_shift == pytest.approx(8 * 0.01)
    assert len(rows) == config.num_encoder_frames(len(samples)) == 7  # 0.51 s
    edges = [edge for label in aligned.labels for edge in (label.start, label.end)]
    whole = [edge / 0.08 for edge in edges if edge < 0.5]
    assert whole == pytest.approx([round(edge) for edge in whole])
    assert 0.15 <= aligned.labels[-1].end <= 0.51
    assert 0 <= aligned.words[0].start < aligned.words[0].end <= 0.51


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_another_rate_gives_the_same_text(recognizer, samples, rate):
    from ctcasr.frontends.sound.waveform import resample

    other = resample(samples, from_rate=8_000, to_rate=rate)

    assert recognizer.transcribe(other, sample_rate=rate).text == "cad"


def test_a_channel_can_be_chosen(recognizer, samples):
    both = np.stack([np.zeros_like(samples), samples])

    assert recognizer.transcribe(both, sample_rate=8_000, channel=1).text == "cad"
    assert recognizer.transcribe(both, sample_rate=8_000, channel=0).text == ""


@pytest.mark.parametrize("count", [0, 1, 7])
def test_next_to_nothing_is_silence(recognizer, count):
    transcript = recognizer.transcribe(np.full(count, 0.5, np.float32), sample_rate=8_000)

    assert transcript.text == ""
    assert transcript.duration == count / 8_000


@pytest.mark.parametrize(
    ("given", "rate", "message"),
    [
        (np.zeros(9, np.float32), None, "array: no sample rate; give sample_rate=..., in Hz"),
        (
            np.zeros(9, np.int16),
            8_000,
            (
                "array: samples are int16; give floats with full scale at -1 and 1, such as int16 "
                "samples divided by 32768"
            ),
        ),
        (
            np.zeros((9, 2), np.float32),
            8_000,
            "array: shape (9, 2) would be 9 channels; give (channels, samples), as in samples.T",
        ),
        (
            np.zeros((2, 2, 2)),
            8_000,
            "array: shape (2, 2, 2); give (samples,) or (channels, samples)",
        ),
        (
            np.array([0, np.nan]),
            8_000,
            "array: holds NaN or infinite samples; repair the recording",
        ),
        (np.zeros(9), 0, "sample rate 0 Hz: a rate is above 0; give the true one"),
    ],
)
def test_what_is_no_recording_is_refused(recognizer, given, rate, message):
    with pytest.raises(AudioError) as caught:
        recognizer.transcribe(given, sample_rate=rate)
    assert str(caught.value) == message


def test_channels_that_differ_are_refused_where_none_is_chosen(recognizer, samples):
    with pytest.raises(AudioError, match="2 channels that differ"):
        recognizer.transcribe(np.stack([samples, -samples]), sample_rate=8_000)


# Batches


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_batches_equal_singles(recognizer, tone_run, batch_size):
    paths = sorted(tone_run.recordings.iterdir())
    singles = [recognizer.transcribe(path) for path in paths]

    batch = recognizer.transcribe_batch(
        [recognizer.prepare(path) for path in paths], batch_size=batch_size
    )

    assert [t.text for t in batch] == list(tone_run.texts.values())
    for one, other in zip(singles, batch, strict=True):
        assert (one.id, one.text, one.words) == (other.id, other.text, other.words)
        assert one.log_prob == pytest.approx(other.log_prob, rel=1e-4)


def test_no_recordings_give_no_transcripts(recognizer):
    assert recognizer.transcribe_batch([]) == []


# Search


def test_the_best_n_come_in_order(recognizer, samples):
    decode = DecodeConfig(beam=8, nbest=4)

    transcript = recognizer.transcribe(samples, sample_rate=8_000, decode=decode)

    scores = [other.log_prob for other in transcript.nbest]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert transcript.nbest[0].text == transcript.text == "cad"
    assert transcript.decoder == {"search": "prefix_beam", "beam": 8, "threshold": 1e-6}


def test_a_search_is_built_once_for_its_settings(recognizer):
    decode = DecodeConfig(hotwords={"bad": 2})

    assert recognizer.decoder(decode) is recognizer.decoder(DecodeConfig(hotwords={"bad": 2}))
    assert recognizer.decoder(decode) is not recognizer.decoder(DecodeConfig(hotwords={"bad": 3}))
    assert recognizer.decoder() is recognizer.decoder(recognizer.config.decode)


def test_few_searches_are_kept(recognizer):
    for beam in range(1, 9):
        recognizer.decoder(DecodeConfig(beam=beam))
    assert len(recognizer._decoders) == 4


def test_confidences_are_posteriors_where_there_was_a_search(recognizer, samples):
    plain = recognizer.transcribe(samples, sample_rate=8_000).to_json()
    assert (plain["confidence"], plain["confidence_kind"]) == (None, None)
    assert [word["confidence"] for word in plain["words"]] == [None]

    decode = DecodeConfig(beam=8, nbest=8)
    searched = recognizer.transcribe(samples, sample_rate=8_000, decode=decode)

    scores = np.array([other.log_prob for other in searched.nbest])
    share = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert searched.confidence == pytest.approx(share[0])
    assert searched.words[0].confidence == pytest.approx(share[0])  # the only word is the text
    line = searched.to_json()
    assert (line["confidence"], line["confidence_kind"]) == (round(share[0], 4), "posterior")


def test_emissions_are_what_is_searched(recognizer, samples):
    recordings = [
        recognizer.prepare(values, sample_rate=8_000) for values in (samples, samples * 0, samples)
    ]

    found = recognizer.emissions(recordings, batch_size=2)
    first, silent, last = found.log_probs

    assert silent.shape == (0, len(recognizer.alphabet))
    assert first.shape == last.shape == (len(first), len(recognizer.alphabet))
    texts = [best.text for (best,) in recognizer.decoder()(*found)]
    assert texts == ["cad", "", "cad"]


@pytest.fixture
def talkative(recognizer):
    """The recognizer, hearing "ab" and "cd" in turn, each after two seconds, for 70 seconds."""
    hearing = copy.copy(recognizer)
    alphabet = hearing.alphabet = tone_alphabet()
    hearing._decoders = {}
    a, b, c, d, space = (alphabet.encode(char)[0] for char in "abcd ")
    pause = [alphabet.blank] * 97
    said = [*pause, a, b, space, *pause, c, d, space] * 18
    probs = np.full((len(said), len(alphabet)), 1e-6)
    probs[np.arange(len(said)), said] = 1.0
    log_probs = np.log(probs / probs.sum(1, keepdims=True)).astype(np.float32)
    nothing = np.zeros((0, 0), np.float32)
    hearing.hear = lambda waveforms: Heard(
        [log_probs for _ in waveforms], [nothing for _ in waveforms], [nothing for _ in waveforms]
    )
    return hearing


def test_a_long_recording_is_cut_into_segments_at_its_pauses(talkative):
    noise = 0.01 * np.random.default_rng(0).standard_normal(72 * 8_000)
    assert len(noise) / 8_000 > LONG_SECONDS

    cut, whole = (
        talkative.transcribe(
            noise, sample_rate=8_000, decode=DecodeConfig(beam=4, segment=segmenting)
        )
        for segmenting in ("auto", "none")
    )

    segments = cut.to_json()["segments"]
    assert [one["text"] for one in segments] == ["ab", "cd"] * 18
    assert cut.text == " ".join(["ab", "cd"] * 18) == whole.text.rstrip()
    assert all(one["start"] < one["end"] for one in segments)
    assert all(before["end"] <= after["start"] for before, after in itertools.pairwise(segments))
    assert [one["text"] for one in whole.to_json()["segments"]] == [whole.text]
    assert "segment" not in cut.decoder
    assert whole.decoder["segment"] == "none"


@pytest.fixture
def long_recording(recognizer, samples):
    """A minute and more of "cad", soft and loud in turn, with pauses, and the parts of it."""
    pause = 1e-4 * np.random.default_rng(0).standard_normal(6_000).astype(np.float32)
    said = [np.concatenate([level * samples, pause]) for level in (1.0, 0.1) * 30]
    whole = np.concatenate(said)
    per_frame = round(recognizer.frame_shift * 8_000)
    return whole, cut_in_pauses(whole, rate=8_000, multiple_of=per_frame)


def test_a_long_recording_is_heard_from_pause_to_pause_as_its_parts_are(recognizer, long_recording):
    whole, parts = long_recording
    assert len(whole) > LONG_SECONDS * 8_000
    assert len(parts) > 50

    alone = [recognizer.transcribe(whole[a:b], sample_rate=8_000) for a, b in parts]
    together = recognizer.transcribe(whole, sample_rate=8_000)

    texts = [one.text.strip() for one in alone]
    assert together.text == "".join(texts)  # the alphabet has no space
    assert together.log_prob == pytest.approx(sum(one.log_prob for one in alone), rel=1e-3)
    said = [part for part, text in zip(parts, texts, strict=True) if text]
    for segment, (start, end) in zip(together.segments, said, strict=True):
        assert start / 8_000 <= segment.start < segment.end <= end / 8_000


def test_long_and_short_recordings_keep_their_order(recognizer, long_recording, samples):
    recordings = [
        recognizer.prepare(one, sample_rate=8_000)
        for one in (samples, long_recording[0], samples * 0, samples)
    ]

    texts = [one.text for one in recognizer.transcribe_batch(recordings, batch_size=2)]

    assert [texts[0], *texts[2:]] == ["cad", "", "cad"]
    assert texts[1] == recognizer.transcribe_batch(recordings[1:2])[0].text != ""


def test_a_long_recording_is_heard_whole_where_nothing_is_to_be_cut(recognizer, long_recording):
    heard: list[int] = []
    hearing = copy.copy(recognizer)

    def hear(signals):
        heard.extend(map(len, signals))
        return recognizer.hear(signals)

    hearing.hear = hear
    for segment in ("none", "auto"):
        hearing.transcribe(
            long_recording[0], sample_rate=8_000, decode=DecodeConfig(segment=segment)
        )

    assert heard[0] == len(long_recording[0])
    assert len(heard) == 1 + len(long_recording[1])
