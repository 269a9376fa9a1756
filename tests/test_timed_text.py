import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import regex
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.manifest.importing import import_manifest
from ctcasr.reporting.subtitles import LINE_WIDTH, LONGEST_S, split_cues
from ctcasr.reporting.transcripts import TranscriptFormat as Format
from ctcasr.reporting.transcripts import render_file
from ctcasr.transcript import Failure, TimedLabel, TimedWord, Transcript

SCLITE = shutil.which("sclite") or next(
    iter(map(str, Path("/usr/lib").glob("sctk/bin/sclite"))), ""
)
NO_WORDS = ["srt", "vtt", "ctm", "stm", "trn", "textgrid"]


def said(text, *, at=0.5, each=0.5, name="talk", labels=(), confidence=None, **fields):
    """A transcript whose words last `each` seconds, one after another, from `at` seconds on."""
    words = tuple(
        TimedWord(word, at + k * each, at + (k + 1) * each, confidence)
        for k, word in enumerate(text.split(" "))
        if word
    )
    about = {"source": None, "model": {}, "decoder": {}, "duration": at + each * len(words) + 0.5}
    return Transcript(id=name, text=text, words=words, labels=labels, **(about | fields))


def failed(name="broken"):
    error = Failure("AudioError", "broken.wav: empty\n(0 bytes)")
    return Transcript(id=name, source=None, model={}, decoder={}, error=error)


def written(form, *transcripts):
    return render_file(Format(form), transcripts)


# Subtitles


def test_srt_numbers_its_cues():
    text = written("srt", said("one two", each=0.25), said("three", at=3_723.5, each=0.0625))

    assert text == (
        "1\n00:00:00,500 --> 00:00:01,000\none two\n\n2\n01:02:03,500 --> 01:02:03,562\nthree\n"
    )


def test_vtt_has_a_head_and_escapes_what_it_reads_as_markup():
    text = written("vtt", said("a-->b <i> R&D"))

    assert text == ("WEBVTT\n\n00:00:00.500 --> 00:00:02.000\na--&gt;b &lt;i&gt; R&amp;D\n")


@pytest.mark.parametrize("word", ["-->", "a-->b", "--->", "-" * 9 + ">"])
def test_an_arrow_in_the_text_is_no_time(word):
    for form in ("srt", "vtt"):
        assert written(form, said(word)).count("-->") == 1


def test_white_space_inside_a_word_breaks_no_cue():
    word = TimedWord("one\n\n\ttwo\u2028three", 0.0, 1.0)
    text = written("srt", Transcript(id="x", source=None, model={}, decoder={}, words=(word,)))

    assert text == "1\n00:00:00,000 --> 00:00:01,000\none two three\n"


def test_right_to_left_text_stays_in_logical_order():
    hebrew = "שלום עולם"

    assert hebrew in written("srt", said(hebrew)).splitlines()
    assert hebrew in written("vtt", said(hebrew)).splitlines()
    assert written("trn", said(hebrew)) == f"{hebrew} (talk)\n"
    assert written("ctm", said(hebrew)).splitlines()[0] == "talk 1 0.500 0.500 שלום"


def test_a_pause_begins_a_new_cue():
    near, far = TimedWord("near", 1.9, 2.0), TimedWord("far", 3.0, 3.5)

    assert [cue.lines for cue in split_cues([near, far])] == [("near",), ("far",)]
    joined = split_cues([near, TimedWord("far", 2.9, 3.5)])
    assert [cue.lines for cue in joined] == [("near far",)]


def test_two_lines_are_about_equally_long():
    text = "the quick brown fox jumps over the lazy dog again"

    (cue,) = split_cues(said(text, each=0.1).words)

    assert cue.lines == ("the quick brown fox jumps", "over the lazy dog again")


def test_a_word_longer_than_a_line_is_cut_with_its_time():
    cues = split_cues([TimedWord("x" * 60, 0.0, 6.0)])

    assert "".join(line for cue in cues for line in cue.lines) == "x" * 60
    assert (cues[0].start, cues[-1].end) == (0.0, 6.0)


def test_a_word_that_never_ends_is_shown_seven_seconds():
    (cue,) = split_cues([TimedWord("well", 1.0, 20.0)])
    assert (cue.start, cue.end) == (1.0, 8.0)


@given(
    lengths=st.lists(st.integers(1, 50), max_size=40),
    steps=st.lists(st.floats(0.01, 3.0), min_size=40, max_size=40),
    channel=st.sampled_from([None, 1]),
)
def test_cues_hold_every_word_in_order_within_their_limits(lengths, steps, channel):
    words, at = [], 0.0
    for length, step in zip(lengths, steps, strict=False):
        words.append(TimedWord("ä" * length, at, at + step))
        at += step

    cues = split_cues(words, channel=channel)

    assert "".join("".join(cue.lines) for cue in cues).replace(" ", "") == "ä" * sum(lengths)
    for cue in cues:
        mark = "" if channel is None else f"[channel {channel}] "
        widths = [len(line) for line in (mark + "\n".join(cue.lines)).split("\n")]
        assert len(widths) <= 2
        assert max(widths) <= LINE_WIDTH
        assert 0 < cue.end - cue.start <= LONGEST_S + 1e-9
    for one, other in itertools.pairwise(cues):
        assert one.end <= other.start + 0.002  # rounded to milliseconds


def test_width_counts_what_a_reader_sees():
    word = "e\u0301" * LINE_WIDTH  # 84 code points, 42 characters

    (cue,) = split_cues([TimedWord(word[:60], 0, 1)])
    assert len(regex.findall(r"\X", cue.lines[0])) == 30
    assert all(
        not line.startswith("\u0301")
        for cue in split_cues([TimedWord(word, 0, 1)])
        for line in cue.lines
    )


def test_channels_are_merged_by_time_and_named():
    left = said("hello", at=1.0, name="both#0", channel=0)
    right = said("hi", at=0.5, each=0.25, name="both#1", channel=1)

    assert re.findall(r"\[channel .*", written("srt", left, right)) == [
        "[channel 1] hi",
        "[channel 0] hello",
    ]
    assert "<v channel 1>hi" in written("vtt", left, right)


# NIST


def test_ctm_has_a_line_for_each_word_sorted_by_recording_and_time():
    text = written("ctm", said("b c", name="y", confidence=0.5), said("a", name="x", at=2.25))

    assert text == "x 1 2.250 0.500 a\ny 1 0.500 0.500 b 0.5000\ny 1 1.000 0.500 c 0.5000\n"


def test_stm_has_a_line_for_each_transcript():
    assert written("stm", said("a b", name="y", offset=2.0), said("", name="x")) == (
        "x 1 x 0.000 1.000\ny 1 y 2.000 4.000 a b\n"
    )


def test_channels_have_a_field_of_their_own_in_ctm_and_stm():
    both = [said("a", name="both#0", channel=0), said("b", name="both#1", channel=1)]

    assert [line.split()[:2] for line in written("ctm", *both).splitlines()] == [
        ["both", "1"],
        ["both", "2"],
    ]
    assert written("stm", *both).splitlines()[1].startswith("both 2 both ")
    assert written("trn", *both) == "a (both#0)\nb (both#1)\n"
    chosen = said("a", name="both", channel=1)
    assert written("ctm", chosen).startswith("both 2 ")


def test_what_has_a_meaning_in_nist_files_is_written_as_in_an_address():
    odd = said("{a/b} (um) <unk> @ me@home 50%", name="my talk (1)%")

    assert written("trn", odd) == (
        "%7Ba/b%7D %28um%29 %3Cunk> %40 me@home 50% (my%20talk%20%281%29%25)\n"
    )
    words = [line.split()[4] for line in written("ctm", odd).splitlines()]
    assert written("stm", odd).split()[5:] == words == written("trn", odd).split()[:-1]


def test_a_failed_item_is_a_comment_or_an_empty_text():
    assert written("ctm", failed()) == ";; broken: failed: broken.wav: empty (0 bytes)\n"
    assert written("stm", failed()) == ";; broken: failed: broken.wav: empty (0 bytes)\n"
    assert written("trn", failed()) == "(broken)\n"


@pytest.mark.skipif(not SCLITE, reason="sclite is not installed")
@pytest.mark.parametrize(("form", "reference"), [("trn", "trn"), ("ctm", "stm")])
def test_sclite_reads_our_files_and_finds_no_error(tmp_path, form, reference):
    items = [
        said("über {den} wolken", name="spk-b c", confidence=0.25),
        said("< @ (a) é", name="spk-a/1", at=1.5),
        said("left", name="spk-x#0", channel=0),
        said("right", name="spk-x#1", channel=1),
    ]
    for name in {form, reference}:
        (tmp_path / f"t.{name}").write_text(written(name, *items), encoding="utf-8")

    options = f"-r t.{reference} {reference} -h t.{form} {form} -i spu_id -e utf-8 -o rsum stdout"
    report = subprocess.run(
        [SCLITE, *options.split()],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    (total,) = re.findall(r"Sum +\| +(.*?)\|(.*?)\|", report.stdout)
    assert total[0].split() == ["4", "9"]
    assert total[1].split()[:6] == ["9", "0", "0", "0", "0", "0"]


# Praat


def test_a_textgrid_covers_the_recording(tmp_path):
    from praatio import textgrid

    labels = (TimedLabel('"', 0.6, 0.63), TimedLabel("b", 1.1, 1.13))
    (tmp_path / "x.TextGrid").write_text(
        written("textgrid", said('"a" b', labels=labels)), encoding="utf-8"
    )

    grid = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=True)

    assert grid.tierNames == ("words", "labels")
    words = [tuple(entry) for entry in grid.getTier("words").entries]
    assert words == [(0.0, 0.5, ""), (0.5, 1.0, '"a"'), (1.0, 1.5, "b"), (1.5, 2.0, "")]
    assert tuple(grid.getTier("labels").entries[1]) == (0.6, 0.63, '"')
    assert (grid.minTimestamp, grid.maxTimestamp) == (0.0, 2.0)


def test_a_textgrid_is_read_back_by_our_own_manifest_reader(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(16_000), 8_000)
    (tmp_path / "x.TextGrid").write_text(written("textgrid", said("one two")), encoding="utf-8")

    imported = import_manifest(tmp_path, source_format=None, columns={"text": "words"})

    assert [(u.text, u.offset, u.duration) for u in imported.utterances] == [
        ("one", 0.5, 0.5),
        ("two", 1.0, 0.5),
    ]


def test_each_channel_has_a_tier():
    text = written(
        "textgrid",
        said("a", name="both#0", channel=0),
        said("b", name="both#1", channel=1),
    )
    assert re.findall('name = "(.*)"', text) == ["words channel 0", "words channel 1"]


# Nothing said


@pytest.mark.parametrize("form", NO_WORDS)
def test_no_words_are_a_valid_file(form):
    text = written(form, said("", duration=2.0))

    assert (
        text.splitlines()[:2]
        == {
            "srt": [],
            "vtt": ["WEBVTT"],
            "ctm": [],
            "stm": ["talk 1 talk 0.000 2.000"],
            "trn": ["(talk)"],
            "textgrid": ['File type = "ooTextFile"', 'Object class = "TextGrid"'],
        }[form]
    )
    written(form, said("", duration=0.0))
