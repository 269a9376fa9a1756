import copy
import dataclasses

import numpy as np
import pytest
import soundfile
import torch

import ctcasr
from ctcasr.config import DecodeConfig
from ctcasr.decoding import estimate_ngrams, write_arpa
from ctcasr.errors import AudioError, LanguageModelError, ModelFileError
from ctcasr.model_file import read_model, write_model
from ctcasr.recognizer import find_model, save_recognizer


@pytest.fixture(scope="module")
def recognizer(tone_run):
    return ctcasr.load(tone_run.folder, device="cpu")


@pytest.fixture
def samples(tone_run):
    values, _ = soundfile.read(tone_run.recordings / "3-cad.wav", dtype="float32")
    return values


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


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_another_rate_gives_the_same_text(recognizer, samples, rate):
    from ctcasr.frontends.waveform import resample

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

    first, silent, last = recognizer.emissions(recordings, batch_size=2)

    assert silent.shape == (0, len(recognizer.alphabet))
    assert first.shape == last.shape == (len(first), len(recognizer.alphabet))
    ((best,),) = recognizer.decoder()([first])
    assert best.text == "cad"


# Loading


def test_a_saved_model_is_the_same_model(recognizer, samples, tmp_path):
    save_recognizer(
        tmp_path / "copy.safetensors", recognizer, training={"items": 8}, created_with="a test"
    )

    copy = ctcasr.load(tmp_path / "copy.safetensors", device="cpu")

    assert copy.name == "copy"
    assert copy.transcribe(samples, sample_rate=8_000).log_prob == pytest.approx(
        recognizer.transcribe(samples, sample_rate=8_000).log_prob, rel=1e-6
    )


def test_a_model_holds_no_path_and_no_text(tone_run):
    content = (tone_run.folder / "model.safetensors").read_bytes()

    assert tone_run.manifest.name.encode() not in content
    assert b"dabc" not in content


def test_a_run_folder_means_its_model(tone_run):
    assert find_model(tone_run.folder) == tone_run.folder / "model.safetensors"
    assert ctcasr.load(str(tone_run.folder)).name == tone_run.folder.name


def test_a_folder_without_a_model_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelFileError) as caught:
        ctcasr.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: a folder without model.safetensors; give a run that has finished, or go on "
        f"with it: ctcasr train CONFIG -o {tmp_path} --resume"
    )


def test_a_misspelt_builtin_name_names_the_nearest(monkeypatch):
    monkeypatch.setattr("ctcasr.recognizer.builtin_models", lambda: ["en-alnum"])

    with pytest.raises(ModelFileError) as caught:
        ctcasr.load("en-alnm")
    assert str(caught.value) == (
        "en-alnm: no such model file, run folder or built-in model; did you mean 'en-alnum'?"
    )


def test_a_header_and_tensors_that_do_not_fit_are_refused(recognizer, tone_run, tmp_path):
    stored = read_model(tone_run.folder / "model.safetensors")
    tensors = dict(stored.tensors)
    del tensors["model.ctc.output.bias"]
    write_model(tmp_path / "odd.safetensors", header=stored.header, tensors=tensors)

    with pytest.raises(ModelFileError, match="header and tensors do not fit together") as caught:
        ctcasr.load(tmp_path / "odd.safetensors")
    assert "\n" not in str(caught.value)


# Language models in model files


@pytest.fixture
def words(recognizer, tmp_path):
    """A recognizer that decodes with a language model and a lexicon, and their files."""
    arpa, lexicon = tmp_path / "words.arpa.gz", tmp_path / "words.txt"
    write_arpa(arpa, estimate_ngrams([["cad"], ["bad"], ["cad", "bad"]], order=2).model)
    lexicon.write_text("cad\nbad\n", encoding="utf-8")
    decode = DecodeConfig(lm=str(arpa), lexicon=str(lexicon), beta=1)
    changed = copy.copy(recognizer)
    changed.config = recognizer.config.model_copy(update={"decode": decode})
    return changed, arpa, lexicon


def save(recognizer, path, **options):
    save_recognizer(path, recognizer, training={"items": 8}, created_with="a test", **options)
    return path


def test_a_model_carries_its_language_model_and_lexicon(words, samples, tmp_path):
    recognizer, arpa, lexicon = words
    path = save(recognizer, tmp_path / "whole.safetensors")
    before = recognizer.transcribe(samples, sample_rate=8_000)
    arpa_bytes = arpa.read_bytes()
    arpa.unlink()
    lexicon.unlink()

    loaded = ctcasr.load(path, device="cpu")
    after = loaded.transcribe(samples, sample_rate=8_000)

    assert (after.text, after.decoder) == (before.text, before.decoder)
    assert after.log_prob == pytest.approx(before.log_prob)
    assert after.decoder["lm"]["name"] == "words.arpa.gz"
    assert loaded.header["decoder"] == before.decoder
    assert (loaded.config.decode.lm, loaded.config.decode.lexicon) == ("embedded", "embedded")
    stored = read_model(path)
    assert stored.tensors["lm.arpa"].numpy().tobytes() == arpa_bytes
    assert str(tmp_path).encode() not in path.read_bytes()
    again = save(loaded, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_a_model_that_only_names_its_language_model_is_refused_without(words, samples, tmp_path):
    recognizer, arpa, lexicon = words
    path = save(recognizer, tmp_path / "named.safetensors", name_only=True)
    loaded = ctcasr.load(path, device="cpu")

    assert not any(name.startswith("lm.") for name in read_model(path).tensors)
    with pytest.raises(LanguageModelError, match=r"needs the language model words\.arpa\.gz \(SHA"):
        loaded.transcribe(samples, sample_rate=8_000)
    given = loaded.config.decode.model_copy(update={"lm": str(arpa), "lexicon": str(lexicon)})
    assert loaded.transcribe(samples, sample_rate=8_000, decode=given).decoder == (
        recognizer.decoder().description
    )
    write_arpa(arpa, estimate_ngrams([["bad"]], order=1).model)
    with pytest.raises(LanguageModelError, match="another language model than decoding needs"):
        ctcasr.load(path, device="cpu").transcribe(samples, sample_rate=8_000, decode=given)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_language_model_is_refused(words, tmp_path, damage):
    stored = read_model(save(words[0], tmp_path / "whole.safetensors"))
    tensors = dict(stored.tensors)
    if damage == "missing":
        del tensors["lm.arpa"]
    else:
        tensors["lm.arpa"] = tensors["lm.arpa"].clone()
        tensors["lm.arpa"][-1] += 1
    write_model(tmp_path / "odd.safetensors", header=stored.header, tensors=tensors)

    with pytest.raises(ModelFileError, match="its language model is") as caught:
        ctcasr.load(tmp_path / "odd.safetensors", device="cpu")
    assert "\n" not in str(caught.value)


def test_a_model_from_before_there_were_language_models_is_unchanged(samples):
    builtin = ctcasr.load("en-alnum", device="cpu")

    assert "lm" not in builtin.header["config"]["decode"]
    assert builtin.config.decode == DecodeConfig()
    assert builtin.parts == {}
    transcript = builtin.transcribe(samples, sample_rate=8_000)
    assert transcript.decoder == {"search": "best_path"} == builtin.header["decoder"]
