import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import ctcasr as package
from ctcasr.manifest import read_manifest, write_manifest
from ctcasr.manifest.utterance import Utterance
from ctcasr.pipeline.demo import example_recordings
from tests.conftest import TONE_TEXTS


@pytest.fixture
def align(ctcasr, tone_run):
    """Return a function that runs `ctcasr align -m RUN ...`."""

    def run(*arguments):
        return ctcasr("align", "-m", tone_run.folder, "--device", "cpu", *arguments)

    return run


@pytest.fixture
def write_items(tone_run, tmp_path):
    """Return a function that writes a manifest of good items and the given ones between them."""

    def write(*others, name="m.jsonl"):
        good = read_manifest(tone_run.manifest)[:2]
        write_manifest(tmp_path / name, [good[0], *others, good[1]])
        return tmp_path / name

    return write


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_labels_and_words_stand_where_the_tones_are(align, tone_run, tmp_path):
    ended = align(tone_run.manifest, "-o", tmp_path / "out.jsonl")

    assert (ended.status, ended.out) == (0, "")
    assert ended.err.startswith("8 recordings, 3.6 s of audio in ")
    for line, text in zip(lines_of(tmp_path / "out.jsonl"), TONE_TEXTS, strict=True):
        assert (line["text"], line["decoder"]) == (text, {"search": "forced_align"})
        assert list(line)[10:12] == ["words", "labels"]
        (word,) = line["words"]
        # Tone k sounds from 0.06 + 0.15 k to 0.15 + 0.15 k seconds.
        assert word["start"] == pytest.approx(0.06, abs=0.021)
        assert word["end"] == pytest.approx(0.15 * len(text), abs=0.021)
        assert "".join(label["text"] for label in line["labels"]) == text
        for k, label in enumerate(line["labels"]):
            assert 0.15 * k < label["start"] < label["end"] <= 0.15 * (k + 1) + 0.06


def test_an_alignment_of_what_was_heard_has_the_same_word_times(tone_run):
    recognizer = package.load(tone_run.folder, device="cpu")
    recordings = [recognizer.prepare(path) for path in sorted(tone_run.recordings.iterdir())]

    heard = recognizer.transcribe_batch(recordings)
    aligned = recognizer.align(recordings, [one.text for one in heard], batch_size=3)

    assert [one.words for one in aligned] == [one.words for one in heard]
    assert [one.log_prob for one in aligned] == pytest.approx([t.log_prob for t in heard], rel=1e-4)


def test_a_folder_gets_a_file_for_each_item_and_format(align, tone_run, tmp_path):
    ended = align(tone_run.manifest, "-o", tmp_path / "out", "-f", "ctm,textgrid,jsonl")

    assert ended.status == 0
    names = [f"{name}.{form}" for name in tone_run.texts for form in ("TextGrid", "ctm", "jsonl")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    again = align(tone_run.manifest, "-o", tmp_path / "out", "-f", "ctm,textgrid,jsonl")
    assert again.status == 2
    assert "exists already (and 23 more); add --skip-existing or --overwrite" in again.err


def test_one_file_of_ctm_holds_all_items(align, tone_run, tmp_path):
    align(tone_run.manifest, "-o", tmp_path / "all.ctm", "-f", "ctm")

    rows = [line.split() for line in (tmp_path / "all.ctm").read_text("utf-8").splitlines()]
    assert [(row[0], row[4]) for row in rows] == list(tone_run.texts.items())


def test_one_file_of_textgrid_holds_one_item(align, tone_run, tmp_path):
    ended = align(tone_run.manifest, "-o", tmp_path / "all.TextGrid", "-f", "textgrid")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "ctcasr: error: -f textgrid: one file holds one recording, and there are 8; give a "
        "folder, which gets a file for each: -o DIR\n"
    )
    assert list(tmp_path.iterdir()) == []


def make_bad(folder, good):
    """Return items that cannot be aligned, by what is said of them."""
    soundfile.write(folder / "short.wav", np.full(400, 0.1), 8_000)
    soundfile.write(folder / "silence.wav", np.zeros(8_000), 8_000)
    return {
        "odd: no label for 'x' (U+0078 LATIN SMALL LETTER X)": Utterance(
            id="odd", path=good, text="cxd"
        ),
        "'long': 3 encoder frames cannot hold 5 labels with 1 adjacent repeats": Utterance(
            id="long", path=folder / "short.wav", text="aabcd"
        ),
        "still: digital silence, but the text has 2 labels; mend the recording": Utterance(
            id="still", path=folder / "silence.wav", text="ab"
        ),
        "gone.wav: no such file": Utterance(id="gone", path=folder / "gone.wav", text="a"),
    }


def test_an_item_that_cannot_be_aligned_is_named_and_stops_no_other(
    align, tone_run, write_items, tmp_path
):
    bad = make_bad(tmp_path, tone_run.recordings / "3-cad.wav")
    manifest = write_items(*bad.values())

    ended = align(manifest, "-o", tmp_path / "out.jsonl")

    assert ended.status == 3
    said = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    for line, message in zip(said, bad, strict=True):
        assert message in line
    assert "6 recordings, 4 failed, " in ended.err
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["error"] is None for line in lines] == [True, *[False] * 4, True]
    kinds = ["AlphabetError", "InfeasibleAlignmentError", "AudioError", "AudioError"]
    assert [line["error"]["kind"] for line in lines[1:-1]] == kinds

    folder = tmp_path / "folder"
    assert align(manifest, "-o", folder, "-f", "textgrid,ctm").status == 3
    assert len(list(folder.iterdir())) == 4
    skipped = align(manifest, "-o", folder, "-f", "textgrid,ctm", "--skip-existing")
    assert "2 inputs left out: the output stands already" in skipped.err


def test_empty_texts_align_with_anything(align, tone_run, write_items, tmp_path):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(800), 8_000)
    manifest = write_items(
        Utterance(id="nothing", path=tone_run.recordings / "3-cad.wav", text=""),
        Utterance(id="silence", path=silence, text=""),
    )

    assert align(manifest, "-o", tmp_path / "out.jsonl").status == 0
    nothing = lines_of(tmp_path / "out.jsonl")[1:3]
    assert [(line["words"], line["text"], line["error"]) for line in nothing] == [
        ([], "", None)
    ] * 2
    assert nothing[1]["log_prob"] == 0


def test_items_without_a_text_are_named(align, tone_run, write_items, tmp_path):
    manifest = write_items(Utterance(id="mute", path=tone_run.recordings / "3-cad.wav"))

    ended = align(manifest, "-o", tmp_path / "out.jsonl")

    assert ended.status == 0
    assert ended.err.startswith("1 item left out, without a text: mute\n2 recordings, ")
    write_manifest(manifest, [Utterance(id="mute", path=tone_run.recordings / "3-cad.wav")])
    ended = align(manifest, "-o", tmp_path / "other.jsonl")
    assert ended.status == 2
    assert "none of 1 items has a text to align; use `ctcasr transcribe`" in ended.err


def test_the_texts_go_through_the_models_rules(align, tone_run, tmp_path):
    audio = tone_run.recordings / "3-cad.wav"
    write_manifest(tmp_path / "m.jsonl", [Utterance(id="x", path=audio, text="  cad\n")])

    assert align(tmp_path / "m.jsonl", "-o", tmp_path / "out.jsonl").status == 0
    assert lines_of(tmp_path / "out.jsonl")[0]["text"] == "cad"


def test_times_of_a_piece_count_from_the_files_beginning(align, tone_run, tmp_path):
    audio = tone_run.recordings / "5-dabc.wav"
    piece = Utterance(id="x", path=audio, text="bc", offset=0.3, duration=0.36)
    write_manifest(tmp_path / "m.jsonl", [piece])

    align(tmp_path / "m.jsonl", "-o", tmp_path / "out.jsonl")

    (line,) = lines_of(tmp_path / "out.jsonl")
    assert line["words"][0]["start"] == pytest.approx(0.36, abs=0.021)
    assert line["words"][0]["end"] == pytest.approx(0.6, abs=0.021)
    assert all(0.3 <= label["start"] < label["end"] <= 0.66 for label in line["labels"])


def test_the_installed_command_ends_as_it_says(tone_run, write_items, tmp_path):
    bad = Utterance(id="odd", path=tone_run.recordings / "3-cad.wav", text="cxd")
    manifest = write_items(bad)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ctcasr", "align", "-m", tone_run.folder, manifest, *arguments],
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )

    failed = run("-o", tmp_path / "out.ctm", "-f", "ctm")
    assert failed.returncode == 3
    assert (tmp_path / "out.ctm").read_text("utf-8").startswith(";; odd: failed: odd: no label for")
    refused = run("-o", tmp_path / "out.ctm", "-f", "ctm")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


# What transcribe shares with it


def test_transcribe_prints_timed_formats_whole(ctcasr, tone_run):
    paths = sorted(tone_run.recordings.iterdir(), reverse=True)

    def transcribe(form, *inputs):
        return ctcasr("transcribe", "-m", tone_run.folder, "--device", "cpu", "-f", form, *inputs)

    names = [line.split()[0] for line in transcribe("ctm", *paths).out.splitlines()]
    assert names == sorted(tone_run.texts)
    assert transcribe("vtt", paths[0]).out.startswith("WEBVTT\n\n00:00:00.")
    refused = transcribe("srt", *paths[:2])
    assert (refused.status, refused.out) == (2, "")
    assert "-f srt: one file holds one recording, and there are 2; give a folder" in refused.err
    gone = transcribe("vtt", tone_run.recordings / "gone.wav")
    assert (gone.status, gone.out) == (3, "")


def test_help_names_every_format(ctcasr):
    from ctcasr.reporting.transcripts import TranscriptFormat

    for command in ("align", "transcribe"):
        text = " ".join(ctcasr(command, "--help").out.split())
        assert all(form in text for form in TranscriptFormat)


def test_pieces_are_cut_where_the_words_are(ctcasr, tmp_path):
    example = next(e for e in example_recordings() if len((e.text or "").split()) > 4)
    write_manifest(tmp_path / "m.jsonl", [example])
    command = ("align", "-m", "en-alnum", "--device", "cpu", tmp_path / "m.jsonl")

    ended = ctcasr(*command, "-o", tmp_path / "t.jsonl", "--pieces", tmp_path / "p.jsonl")
    again = ctcasr(*command, "-o", tmp_path / "u.jsonl", "--pieces", tmp_path / "p.jsonl")
    skipping = ctcasr(
        *(*command, "-o", tmp_path / "t.jsonl", "--pieces", tmp_path / "q.jsonl"), "--skip-existing"
    )

    assert ended.status == 0, ended.err
    whole, *pieces = read_manifest(tmp_path / "p.jsonl")
    assert f"{tmp_path / 'p.jsonl'}: 1 item and {len(pieces)} pieces" in ended.err
    assert whole.text == example.text == " ".join(piece.text or "" for piece in pieces)
    (line,) = lines_of(tmp_path / "t.jsonl")
    starts = iter([word["start"] for word in line["words"]])
    for piece in pieces:
        for _ in (piece.text or "").split():
            assert piece.offset <= next(starts) < piece.offset + (piece.duration or 0)
    assert [piece.path for piece in pieces] == [whole.path] * len(pieces)
    assert again.status == 2
    assert f"{tmp_path / 'p.jsonl'}: exists already" in again.err
    assert skipping.status == 2
    assert "--pieces needs every item's times" in skipping.err
