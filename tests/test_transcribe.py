import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctcasr.decoding import estimate_ngrams, write_arpa
from tests.conftest import TONE_TEXTS, speak_tones

TRANSCRIPT_KEYS = [
    *("schema", "id", "source", "channel", "text", "duration", "axis", "model", "decoder"),
    *("segments", "words", "confidence", "confidence_kind", "log_prob", "nbest", "error"),
]


@pytest.fixture
def transcribe(ctcasr, tone_run):
    """Return a function that runs `ctcasr transcribe -m RUN ...`."""

    def run(*arguments, stdin=b""):
        return ctcasr(
            "transcribe", "-m", tone_run.folder, "--device", "cpu", *arguments, stdin=stdin
        )

    return run


def wav(path, samples, *, rate=8_000, subtype="PCM_16"):
    soundfile.write(path, np.asarray(samples), rate, subtype=subtype, format="WAV")
    return path


# Formats


def test_text_comes_one_line_per_input_in_order(transcribe, tone_run):
    backwards = sorted(tone_run.recordings.iterdir(), reverse=True)

    ended = transcribe(*backwards)

    assert ended.status == 0
    assert ended.out.splitlines() == TONE_TEXTS[::-1]
    assert ended.err.startswith("8 recordings, 3.6 s of audio in ")
    assert ", real-time factor " in ended.err


def test_tsv_is_id_and_text(transcribe, tone_run):
    ended = transcribe(tone_run.recordings, "-f", "tsv")

    assert ended.out == "".join(f"{name}\t{text}\n" for name, text in tone_run.texts.items())


def test_a_json_line_has_every_key_of_the_schema(transcribe, tone_run):
    path = tone_run.recordings / "3-cad.wav"

    line = json.loads(transcribe(path, "-f", "jsonl").out)

    assert list(line) == TRANSCRIPT_KEYS
    assert line | {"words": [], "model": {}, "log_prob": 0} == {
        "schema": 1,
        "id": "3-cad",
        "source": str(path),
        "channel": None,
        "text": "cad",
        "duration": 0.51,
        "axis": "s",
        "model": {},
        "decoder": {"search": "best_path"},
        "segments": [{"start": 0.0, "end": 0.51, "text": "cad"}],
        "words": [],
        "confidence": None,
        "confidence_kind": None,
        "log_prob": 0,
        "nbest": [],
        "error": None,
    }
    assert [list(word) for word in line["words"]] == [["text", "start", "end", "confidence"]]
    assert line["words"][0]["text"] == "cad"
    assert line["model"]["name"] == tone_run.folder.name
    assert len(line["model"]["sha256"]) == 64


def test_a_failed_json_line_says_why(transcribe, tmp_path):
    ended = transcribe(tmp_path / "nothing.wav", "-f", "jsonl")

    line = json.loads(ended.out)
    assert list(line) == TRANSCRIPT_KEYS
    assert (line["text"], line["duration"], line["segments"]) == ("", None, [])
    assert line["error"]["kind"] == "AudioError"
    assert ended.err.startswith(f"failed: {line['error']['message']}\n")


def test_the_best_n_stand_in_the_json_line(transcribe, tone_run):
    path = tone_run.recordings / "3-cad.wav"

    line = json.loads(transcribe(path, "-f", "jsonl", "--nbest", 3).out)

    assert line["decoder"] == {"search": "prefix_beam", "beam": 64, "threshold": 1e-6}
    assert [list(other) for other in line["nbest"]] == [["text", "log_prob"]] * 3
    assert line["nbest"][0] == {"text": line["text"], "log_prob": line["log_prob"]}
    assert "beam of at least 4" in transcribe(path, "--nbest", 4, "--beam", 2).err


def test_an_unknown_format_is_refused(transcribe, tone_run):
    ended = transcribe(tone_run.recordings, "-f", "txt,doc")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "ctcasr: error: -f doc: unknown format; choose from txt, tsv, jsonl, srt, vtt, ctm, stm, "
        "trn, textgrid, page, alto\n"
    )


# Language models, lexicons, hotwords


@pytest.fixture
def arpa(tone_run, tmp_path):
    write_arpa(tmp_path / "words.arpa", estimate_ngrams([[t] for t in TONE_TEXTS], order=2).model)
    return tmp_path / "words.arpa"


def decoded(ended):
    assert (ended.status, ended.err.count("failed")) == (0, 0)
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_language_model_is_named_with_its_hash_and_weights(transcribe, tone_run, arpa):
    lines = decoded(transcribe(tone_run.recordings, "-f", "jsonl", "--lm", arpa, "--nbest", 2))

    assert [line["text"] for line in lines] == TONE_TEXTS
    assert lines[0]["decoder"] == {
        "search": "prefix_beam",
        "beam": 64,
        "threshold": 1e-6,
        "lm": {"name": "words.arpa", "sha256": hashlib.sha256(arpa.read_bytes()).hexdigest()},
        "lm_unit": "word",
        "alpha": 0.5,
        "open_vocabulary": True,
        "beta": 0.0,
        "unknown": 0.0,
    }
    for line in lines:
        assert line["confidence_kind"] == "posterior"
        assert 0 < line["confidence"] <= line["words"][0]["confidence"] <= 1
        assert len(line["nbest"]) == 2


def test_words_that_cannot_be_written_are_told_of_once(ctcasr, transcribe, tone_run, arpa):
    note = (
        f"note: {arpa}: 2 of 10 words cannot be written with the recognizer's labels, such as "
        f"'BAD', 'zoo'; they are never recognized\n"
    )
    assert "note" not in transcribe(tone_run.recordings, "--lm", arpa).err
    sentences = [[text] for text in [*TONE_TEXTS, "BAD", "zoo"]]
    write_arpa(arpa, estimate_ngrams(sentences, order=1).model)

    transcribed = transcribe(tone_run.recordings, "--lm", arpa)
    evaluated = ctcasr(
        *("evaluate", "-m", tone_run.folder, tone_run.manifest, "--device", "cpu"),
        *("--lm", arpa, "-o", arpa.parent / "eval"),
    )

    for ended in (transcribed, evaluated):
        assert ended.status == 0
        assert ended.err.count("note") == ended.err.count(note) == 1


def test_only_words_of_the_lexicon_are_said(transcribe, tone_run, tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("bad\ndabc\n", encoding="utf-8")
    path = tone_run.recordings / "3-cad.wav"

    assert transcribe(path, "--lexicon", lexicon).out == "bad\n"
    spelt = ("--set", "decode.open_vocabulary=true", "--nbest", 9, "-f", "jsonl")
    (line,) = decoded(transcribe(path, "--lexicon", lexicon, *spelt))
    assert "cad" in [found["text"] for found in line["nbest"]]


def test_hotwords_are_preferred_by_their_weight(transcribe, tone_run):
    path = tone_run.recordings / "3-cad.wav"

    assert transcribe(path, "--hotword", "bad=90").out == "bad\n"
    assert transcribe(path, "--hotword", "bad=90", "--hotword", "cad=100").out == "cad\n"
    (line,) = decoded(transcribe(path, "-f", "jsonl", "--hotword", "bad", "--hotword", "dab=2.5"))
    assert line["decoder"]["hotwords"] == {"bad": 5.0, "dab": 2.5}


def test_what_the_search_cannot_use_is_refused_before_any_work(transcribe, tone_run, arpa):
    def refuse(*options):
        ended = transcribe(tone_run.recordings, *options)
        assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
        return ended.err.removeprefix("ctcasr: error: ").rstrip("\n")

    assert refuse("--lm", arpa, "--beam", 0).startswith(
        "search settings: decode: a beam of 0 is the best path, which heeds no language model"
    )
    assert refuse("--hotword", "bad=x") == (
        "--hotword bad=x: give WORD or WORD=WEIGHT, the weight in nats, as in kleene=8"
    )
    assert refuse("--hotword", "bad=-1").startswith("search settings: decode.hotwords.bad: ")
    assert refuse("--hotword", "zoo").startswith("hotword 'zoo' cannot be spelt; no label for 'z'")
    assert "no language model that can be read" in refuse("--lm", arpa.with_suffix(".gz"))
    arpa.write_text("\\data\\\nngram 1=2\n", encoding="utf-8")
    assert refuse("--lm", arpa).startswith(f"{arpa}: ends after line 2; needed:")


# Where it goes


def test_a_folder_gets_a_file_for_each_input_and_format(transcribe, tone_run, tmp_path):
    ended = transcribe(tone_run.recordings, "-f", "txt,jsonl", "-o", tmp_path / "out")

    assert (ended.status, ended.out) == (0, "")
    names = [f"{name}.{form}" for name in tone_run.texts for form in ("jsonl", "txt")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert (tmp_path / "out" / "4-bd.txt").read_bytes() == b"bd\n"


def test_existing_outputs_are_refused_then_skipped(transcribe, tone_run, tmp_path):
    out = tmp_path / "out"
    transcribe(tone_run.recordings, "-o", out)
    (out / "4-bd.txt").unlink()

    refused = transcribe(tone_run.recordings, "-o", out)
    assert refused.status == 2
    assert "exists already (and 6 more); add --skip-existing or --overwrite" in refused.err
    assert not (out / "4-bd.txt").exists()
    skipped = transcribe(tone_run.recordings, "-o", out, "--skip-existing")
    assert skipped.status == 0
    assert skipped.err.startswith("7 inputs left out: the output stands already\n1 recording, ")
    both = transcribe(tone_run.recordings, "-o", out, "--skip-existing", "--overwrite")
    assert both.status == 2


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_a_name_that_is_not_unicode_fails_alone(transcribe, tone_run, tmp_path):
    (tmp_path / os.fsdecode(b"na\xefve.wav")).write_bytes(b"RIFF")
    (tmp_path / "z.wav").write_bytes((tone_run.recordings / "3-cad.wav").read_bytes())

    ended = transcribe(tmp_path, "-f", "tsv")
    transcribe(tmp_path, "-f", "jsonl", "-o", tmp_path / "out.jsonl")

    assert (ended.status, ended.out) == (3, "na?ve\t\nz\tcad\n")
    assert "na?ve.wav: a file name that is not Unicode cannot be opened; rename" in ended.err
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["na?ve", "z"]


def test_several_formats_need_a_folder(transcribe, tone_run):
    ended = transcribe(tone_run.recordings, "-f", "txt,tsv")
    assert ended.status == 2
    assert "several formats need a folder to go to: -o DIR" in ended.err


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_what_stood_there_whole(
    transcribe, tone_run, tmp_path, monkeypatch, there
):
    out = tmp_path / "all.txt"
    if there:
        out.write_text("before", encoding="utf-8")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    ended = transcribe(tone_run.recordings, "-o", out, "--overwrite")

    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert str(out) in ended.err
    assert "No space left on device" in ended.err
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["before"] * there


# Bad recordings


def make_bad(folder):
    """Return a recording of every kind that fails, with what its message says."""
    whole = wav(folder / "whole.wav", speak_tones("abcd", seed=1)).read_bytes()
    (folder / "empty.wav").touch()
    (folder / "short.wav").write_bytes(whole[:3_000])
    (folder / "words.wav").write_text("this is no recording" * 9, encoding="utf-8")
    (folder / "talk.m4a").write_bytes(b"\x00\x00\x00\x20ftypM4A ")
    wav(folder / "none.wav", [])
    wav(folder / "nan.wav", [0, np.nan] * 400, subtype="FLOAT")
    m4a = folder / "talk.m4a"
    return {
        folder / "nothing.wav": "no such file",
        folder / "empty.wav": "empty (0 bytes)",
        folder / "short.wav": "cut short or damaged: 0.185 s of 0.660 s can be read",
        folder / "words.wav": "no audio that can be decoded here",
        m4a: f'convert it to WAV: ffmpeg -i "{m4a}" "{m4a.with_suffix(".wav")}"',
        folder / "none.wav": "a header without samples",
        folder / "nan.wav": "NaN or infinite samples: 400, the first at 0.000 s",
    }


def test_a_bad_recording_stops_no_other(transcribe, tone_run, tmp_path):
    bad = make_bad(tmp_path)
    good = tone_run.recordings / "1-dcb.wav"

    ended = transcribe(*[path for one in bad for path in (one, good)])

    assert ended.status == 3
    assert ended.out.splitlines() == ["", "dcb"] * len(bad)
    failures = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    for line, (path, reason) in zip(failures, bad.items(), strict=True):
        assert line.startswith(f"failed: {path}: ")
        assert reason in line
    assert ended.err.splitlines()[-1].startswith("14 recordings, 7 failed, ")


def test_one_sample_and_silence_are_empty_text_not_failures(transcribe, tmp_path):
    one = wav(tmp_path / "one.wav", [0.5])
    minutes = wav(tmp_path / "silence.wav", np.zeros(8_000 * 60 * 5))

    ended = transcribe(one, minutes)

    assert (ended.status, ended.out) == (0, "\n\n")


def test_a_folder_or_glob_without_recordings_is_refused(transcribe, tmp_path):
    assert "no recordings in this folder" in transcribe(tmp_path).err
    assert "matches no file" in transcribe(tmp_path / "*.wav").err
    assert transcribe(tmp_path / "*.wav").status == 2


def test_a_recording_too_long_for_memory_fails_alone(transcribe, tone_run, monkeypatch):
    from ctcasr.recognizer import Recognizer

    hear = Recognizer.hear

    def little_memory(self, waveforms):
        if sum(len(waveform) for waveform in waveforms) > 4_080:
            raise MemoryError
        return hear(self, waveforms)

    monkeypatch.setattr(Recognizer, "hear", little_memory)
    ended = transcribe(tone_run.recordings)

    assert ended.status == 3
    assert ended.out.splitlines() == ["" if len(text) > 3 else text for text in TONE_TEXTS]
    assert "5-dabc.wav: 1 s do not fit in memory; cut the item into shorter ones" in ended.err


# What is heard


def test_channels_that_differ_are_told_apart(transcribe, tmp_path):
    samples = np.stack([speak_tones("abc", seed=1), speak_tones("ddd", seed=2)], axis=1)
    path = wav(tmp_path / "both.wav", samples)

    text = transcribe(path).out.splitlines()
    lines = [json.loads(line) for line in transcribe(path, "-f", "jsonl").out.splitlines()]

    assert [line.split()[:2] for line in text] == [["[channel", "0]"], ["[channel", "1]"]]
    assert [(line["id"], line["channel"]) for line in lines] == [("both#0", 0), ("both#1", 1)]
    assert [f"[channel {line['channel']}] {line['text']}" for line in lines] == text
    assert lines[0]["text"] != lines[1]["text"]


def test_mono_saved_as_stereo_is_mono(transcribe, tmp_path):
    samples = speak_tones("cad", seed=3)

    ended = transcribe(wav(tmp_path / "twice.wav", np.stack([samples, samples], axis=1)))

    assert ended.out == "cad\n"


def test_other_rates_are_resampled_and_said_once(transcribe, tone_run, tmp_path):
    from ctcasr.frontends.sound.waveform import resample

    samples = speak_tones("cad", seed=3).astype(np.float32)
    paths: list[Path] = []
    for rate in (8_000, 44_100, 48_000, 48_000):
        other = resample(samples, from_rate=8_000, to_rate=rate)
        paths.append(wav(tmp_path / f"{len(paths)}.wav", other, rate=rate))

    ended = transcribe(*paths)

    assert ended.out.splitlines() == ["cad"] * 4
    said = [line for line in ended.err.splitlines() if "resampled" in line]
    assert said == ["resampled to the model's 8,000 Hz: 1 at 44,100 Hz, 2 at 48,000 Hz"]


@pytest.mark.parametrize("name", ["3-cad.wav", "5-dabc.wav"])
def test_standard_input_is_read_as_bytes(transcribe, tone_run, name):
    content = (tone_run.recordings / name).read_bytes()

    line = json.loads(transcribe("-", "-f", "jsonl", stdin=content).out)

    assert (line["id"], line["source"]) == ("stdin", "-")
    assert line["text"] == name[2:-4]
    assert line["error"] is None


def test_standard_input_without_a_recording_fails(transcribe):
    ended = transcribe("-", stdin=b"hello" * 50)
    assert ended.status == 3
    assert ended.err.startswith("failed: standard input: 250 bytes that cannot be decoded as audio")
    assert "standard input: empty (0 bytes)" in transcribe("-", stdin=b"").err


def test_a_manifest_is_read_by_segment_and_channel(transcribe, tone_run, tmp_path):
    first, second = speak_tones("cad", seed=3), speak_tones("bd", seed=4)
    silence = np.zeros(len(first) + len(second))
    channels = np.stack([silence, np.concatenate([first, second])], axis=1)
    audio = wav(tmp_path / "long.wav", channels)
    cut = len(first) / 8_000
    lines = [
        {"id": "2", "audio": audio.name, "channel": 1, "offset": cut},
        {"id": "1", "audio": audio.name, "channel": 1, "duration": cut},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    out = [json.loads(line) for line in transcribe(manifest, "-f", "jsonl").out.splitlines()]

    assert [(line["id"], line["text"], line["channel"]) for line in out] == [
        ("2", "bd", 1),
        ("1", "cad", 1),
    ]
    assert out[0]["segments"][0]["start"] == round(cut, 3)
    assert all(word["start"] > cut for word in out[0]["words"])


@pytest.mark.parametrize("workers", [0, 3])
def test_results_do_not_depend_on_batches_or_workers(transcribe, tone_run, workers):
    def lines(*options):
        ended = transcribe(tone_run.recordings, "-f", "jsonl", "--beam", 4, *options)
        return [json.loads(line) for line in ended.out.splitlines()]

    together = lines()
    for batch_size in (1, 3):
        apart = lines("--batch-size", batch_size, "--workers", workers)
        for one, other in zip(together, apart, strict=True):
            assert one.pop("log_prob") == pytest.approx(other.pop("log_prob"), rel=1e-4)
            assert one == other
        together = lines()


def test_only_the_search_can_be_set(transcribe, tone_run):
    path = tone_run.recordings / "3-cad.wav"

    ended = transcribe(path, "--set", "optim.peak_lr=1")
    assert ended.status == 2
    assert "the model has been trained; only decode.* can be set here" in ended.err
    assert "did you mean 'beam'?" in transcribe(path, "--set", "decode.bem=4").err
    assert (
        json.loads(transcribe(path, "--set", "decode.beam=4", "-f", "jsonl").out)["decoder"]["beam"]
        == 4
    )
