"""Recipes: every layout of a corpus becomes the same manifests, and no speaker leaks."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ctcasr.config import load_config
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding import read_arpa
from ctcasr.errors import AudioError, ConfigError, InkError, ManifestError
from ctcasr.frontends.image.line_image import read_line_image
from ctcasr.frontends.ink.files import read_ink
from ctcasr.frontends.sound.waveform import read_audio
from ctcasr.manifest import Modality, read_manifest, write_manifest
from ctcasr.pipeline.run_folder import changed_keys
from ctcasr.scoring import Reference, score_utterances
from ctcasr.training.interruption import Interrupted
from recipes.an4.choices import CHOICES, choose, settings_of
from recipes.an4.prepare import prepare as prepare_an4
from recipes.an4.prepare import read_an4, write_out
from recipes.an4.run import make_searches
from recipes.copiste.prepare import FORMULA, is_formula
from recipes.copiste.prepare import prepare as prepare_copiste
from recipes.en_alnum.conditions import (
    CHANNELS,
    add_noise,
    send_through,
    write_conditions,
)
from recipes.en_alnum.noise import write_noise
from recipes.en_alnum.prepare import NUM_FOLDS, Corpora, assign_folds
from recipes.en_alnum.prepare import prepare as prepare_en_alnum
from recipes.en_alnum.speech_commands import read_speech_commands
from recipes.en_alnum.speechocean import is_digit_string, read_speechocean
from recipes.experiment import CONF, configure, run_recipe
from recipes.fsdd.prepare import DIGITS, LONGEST_STRING, STRINGS_PER_SPEAKER
from recipes.fsdd.prepare import prepare as prepare_fsdd
from recipes.gw_online.prepare import prepare as prepare_gw
from recipes.iam_ondb.prepare import prepare as prepare_iam
from recipes.iam_ondb.prepare import tidy
from recipes.iam_ondb.render import render_manifest
from recipes.librispeech.prepare import prepare as prepare_librispeech
from recipes.rescoring import score_together
from recipes.timit.phones import PHONES_39, PHONES_48, counted_phones, learned_phones
from recipes.timit.prepare import CORE_TEST_SPEAKERS, DEV_SPEAKERS
from recipes.timit.prepare import prepare as prepare_timit
from recipes.yesno.prepare import prepare as prepare_yesno

CORPORA = Path(
    os.environ.get("CTCASR_CORPORA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)


def tone(num_samples=400, *, rate=8_000, pitch=200.0):
    """A quiet tone, (N,) float32; smooth, as speech is from one sample to the next."""
    return (0.3 * np.sin(2 * np.pi * pitch / rate * np.arange(num_samples))).astype(np.float32)


def write_recording(path, samples=None, *, rate=8_000, **kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if samples is None else samples, rate, **kind)


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


def write_pack(folder, rows):
    """Write a pack: rows of fields, a recording made for each."""
    for row in rows:
        write_recording(folder / row["audio"])
    write_lines(folder / "manifest.jsonl", [json.dumps(row) for row in rows])


def read(manifest):
    return read_manifest(manifest)


def content(manifest):
    """What a manifest says, whatever format the recordings are in."""
    return [(u.id, u.text, u.speaker, u.split, u.duration) for u in read(manifest)]


def ids(manifest):
    return [utterance.id for utterance in read(manifest)]


def speakers(manifest):
    return {utterance.speaker for utterance in read(manifest)}


# --- yesno


YESNO_NAMES = sorted({"_".join(f"{number:08b}") for number in range(40, 100)})  # from 0_0_1_0_...


def write_yesno(root, samples=None):
    for name in YESNO_NAMES:
        write_recording(root / "waves_yesno" / f"{name}.wav", samples)
    return root


@pytest.fixture
def yesno_release(tmp_path):
    return write_yesno(tmp_path / "yesno")


def test_yesno_is_split_by_sorted_file_name(yesno_release, tmp_path):
    manifests = prepare_yesno(yesno_release, tmp_path / "out")

    assert ids(manifests.train_all) == YESNO_NAMES[:30]
    assert ids(manifests.test) == YESNO_NAMES[30:]
    assert read(manifests.train_all)[1].text == "no no yes no yes no no yes"


def test_yesno_dev_begins_otherwise_than_what_is_learned_from(yesno_release, tmp_path):
    manifests = prepare_yesno(yesno_release, tmp_path / "out")

    nodev, dev = ids(manifests.train_nodev), ids(manifests.train_dev)
    assert {name[:3] for name in nodev} == {"0_0"}
    assert {name[:3] for name in dev} == {"0_1"}
    assert sorted(nodev + dev) == ids(manifests.train_all)


def test_yesno_pack_and_release_give_the_same(yesno_release, tmp_path):
    write_pack(tmp_path / "pack", [{"audio": f"audio/{name}.flac"} for name in YESNO_NAMES])

    from_release = prepare_yesno(yesno_release, tmp_path / "a")
    from_pack = prepare_yesno(tmp_path / "pack", tmp_path / "b")
    inside = prepare_yesno(yesno_release / "waves_yesno", tmp_path / "c")

    for split in ("train_all", "train_nodev", "train_dev", "test"):
        assert content(getattr(from_pack, split)) == content(getattr(from_release, split))
        assert content(getattr(inside, split)) == content(getattr(from_release, split))


def test_a_wrong_folder_is_told_where_the_corpus_is(tmp_path):
    with pytest.raises(ManifestError) as caught:
        prepare_yesno(tmp_path, tmp_path / "out")

    assert str(caught.value) == (
        f"{tmp_path}: yesno is not in this folder; looked for waves_yesno/0_0_0_0_1_1_1_1.wav or "
        f"manifest.jsonl; get yesno from https://www.openslr.org/1/ (waves_yesno.tar.gz) (0.1 h of "
        f"speech; licence: see the page; the files came with Kaldi, which is Apache-2.0; checksum: "
        f"SHA-256 c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73)"
    )


@pytest.mark.parametrize(
    "prepare", [prepare_yesno, prepare_an4, prepare_fsdd, prepare_librispeech, prepare_timit]
)
@pytest.mark.parametrize("holds", ["nothing", "another pack", "no folder"])
def test_no_recipe_takes_another_folder_for_its_corpus(tmp_path, prepare, holds):
    folder = tmp_path / "corpus"
    if holds == "another pack":
        write_pack(folder, [{"audio": "audio/x.flac", "text": "a"}])
    elif holds == "nothing":
        folder.mkdir()

    with pytest.raises(ManifestError, match=r"looked for .*; get .* from http") as caught:
        prepare(folder, tmp_path / "out")

    assert ("no such folder" in str(caught.value)) == (holds == "no folder")
    assert "\n" not in str(caught.value)


def test_yesno_with_a_missing_recording_is_refused(yesno_release, tmp_path):
    (yesno_release / "waves_yesno" / f"{YESNO_NAMES[7]}.wav").unlink()

    with pytest.raises(ManifestError, match="59 recordings of yesno, but it has 60"):
        prepare_yesno(yesno_release, tmp_path / "out")


def test_a_damaged_recording_is_named(yesno_release, tmp_path):
    damaged = yesno_release / "waves_yesno" / f"{YESNO_NAMES[7]}.wav"
    damaged.write_bytes(b"")

    with pytest.raises(AudioError, match=YESNO_NAMES[7]):
        prepare_yesno(yesno_release, tmp_path / "out")


# --- AN4


AN4_TRAIN = [f"an{number}-f{letter}aa-b" for letter in "cba" for number in range(250, 285)]
AN4_TEST = ["cen8-mmxg-b", "an1-mmxg-b"]


def write_an4(root, suffix=".wav", order=None):
    """A release of AN4: 105 utterances by three women, and two by a man for the test."""
    halves = {"train": ("an4_clstk", AN4_TRAIN), "test": ("an4test_clstk", AN4_TEST)}
    for half, (folder, names) in halves.items():
        files = [f"{folder}/{name.split('-')[1]}/{name}" for name in names]
        for index, file in enumerate(files):
            path = root / "wav" / f"{file}{suffix}"
            samples = (tone(pitch=100.0 + index, rate=16_000) * 32767).astype(np.int16)
            if suffix == ".raw":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(samples.astype(order).tobytes())
            elif suffix == ".sph":
                write_recording(path, samples, rate=16_000, format="NIST")
            else:
                write_recording(path, samples, rate=16_000)
        write_lines(root / "etc" / f"an4_{half}.fileids", files)
        lines = [f"<s> GO  {index:03} </s> ({name})" for index, name in enumerate(names)]
        if half == "test":
            lines = [line.removeprefix("<s> ").replace(" </s>", "") for line in lines]
        write_lines(root / "etc" / f"an4_{half}.transcription", lines)
    return root


def test_an4_training_set_is_divided_as_in_espnet(tmp_path):
    manifests = prepare_an4(write_an4(tmp_path / "an4"), tmp_path / "out")

    by_speaker = sorted(AN4_TRAIN, key=lambda name: (name.split("-")[1], name))
    assert ids(manifests.train_all) == sorted(AN4_TRAIN)
    assert set(ids(manifests.train_dev)) == set(by_speaker[:100])
    assert set(ids(manifests.train_nodev)) == set(by_speaker[100:])
    assert ids(manifests.test) == sorted(AN4_TEST)


def test_an4_text_is_bare_and_in_lower_case(tmp_path):
    manifests = prepare_an4(write_an4(tmp_path / "an4"), tmp_path / "out")

    texts = {utterance.id: utterance.text for utterance in read(manifests.train_all)}
    assert texts["an250-fcaa-b"] == "go 000"
    assert {u.text for u in read(manifests.test)} == {"go 000", "go 001"}
    assert {u.speaker for u in read(manifests.test)} == {"mmxg"}


@pytest.mark.parametrize(("suffix", "order"), [(".sph", None), (".raw", ">i2"), (".raw", "<i2")])
def test_every_release_of_an4_holds_the_same_samples(tmp_path, suffix, order):
    riff = read_an4(write_an4(tmp_path / "riff"), converted=tmp_path / "none")
    other = read_an4(write_an4(tmp_path / "other", suffix, order), converted=tmp_path / "wav")

    assert [(u.id, u.text, u.speaker, u.split, u.duration) for u in other] == [
        (u.id, u.text, u.speaker, u.split, u.duration) for u in riff
    ]
    for left, right in zip(riff[::20], other[::20], strict=True):
        (expected, rate), (found, other_rate) = read_audio(left.path), read_audio(right.path)
        np.testing.assert_array_equal(found, expected)
        assert rate == other_rate == 16_000


def test_an4_pack_and_release_give_the_same(tmp_path):
    write_an4(tmp_path / "data" / "an4")
    released = read_an4(tmp_path / "data", converted=tmp_path / "none")
    write_pack(
        tmp_path / "pack",
        [
            {"audio": f"audio/{u.speaker}/{u.id}.flac", "text": u.text, "official_split": u.split}
            for u in released
        ],
    )

    packed = read_an4(tmp_path / "pack", converted=tmp_path / "none")

    assert [(u.id, u.text, u.speaker, u.split) for u in packed] == [
        (u.id, u.text, u.speaker, u.split) for u in released
    ]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("", ""),
        ("yes", "yes"),
        ("t h r e e", "three"),
        ("twenty three", "23"),
        ("twenty", "20"),
        ("thirteen", "13"),
        ("zero oh ten", "0010"),
        ("five one oh two", "5102"),
        ("seven twenty nine fifty eight", "72958"),
        ("one hundred", "100"),
        ("two thousand five hundred and fifty two", "2552"),
        ("six hundred forty nine", "649"),
        ("forty nine hundred", "4900"),
        ("rubout g m e f three nine", "rubout gmef 39"),
        ("september sixth nineteen sixty seven", "september sixth 1967"),
    ],
)
def test_an4_is_written_as_a_person_would(said, written):
    assert write_out(said) == written


def test_an4_may_be_learned_as_it_is_written(tmp_path):
    root = write_an4(tmp_path / "an4")

    said = prepare_an4(root, tmp_path / "said")
    written = prepare_an4(root, tmp_path / "written", written=True)

    for one, other in zip(
        read_manifest(said.train_all), read_manifest(written.train_all), strict=True
    ):
        assert other.text == write_out(one.text or "")


def test_an4_names_a_recording_that_is_not_there(tmp_path):
    root = write_an4(tmp_path / "an4")
    (root / "wav" / "an4_clstk" / "faaa" / "an251-faaa-b.wav").unlink()

    with pytest.raises(ManifestError, match=r"an251-faaa-b\.wav: AN4 lists this recording"):
        prepare_an4(root, tmp_path / "out")


def test_an4_names_an_utterance_without_text_and_a_line_without_id(tmp_path):
    root = write_an4(tmp_path / "an4")
    transcripts = root / "etc" / "an4_test.transcription"

    transcripts.write_text("GO (an1-mmxg-b)\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"cen8-mmxg-b stands in an4_test\.fileids but has no"):
        prepare_an4(root, tmp_path / "out")

    transcripts.write_text("GO (an1-mmxg-b)\nGO\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="line 2: found 'GO'"):
        prepare_an4(root, tmp_path / "out")


# --- FSDD


def write_fsdd(root, names=("ann", "bob"), digits=range(10)):
    for name in names:
        for digit in digits:
            for number in (0, 4, 5, 10):
                samples = tone(500 + 10 * digit + number, pitch=100.0 + 20 * digit)
                write_recording(root / "recordings" / f"{digit}_{name}_{number}.wav", samples)
    return root


def test_fsdd_tests_on_recordings_0_to_4(tmp_path):
    official = prepare_fsdd(write_fsdd(tmp_path / "fsdd"), tmp_path / "out").official

    assert {name.split("_")[2] for name in ids(official.test)} == {"0", "4"}
    assert {name.split("_")[2] for name in ids(official.train)} == {"5", "10"}
    assert all(u.text == DIGITS[int(u.id[0])] for u in read(official.train))


def test_fsdd_settings_are_chosen_inside_the_training_set(tmp_path):
    manifests = prepare_fsdd(write_fsdd(tmp_path / "fsdd"), tmp_path / "out")

    assert {name.split("_")[2] for name in ids(manifests.choice.test)} == {"5"}
    assert {name.split("_")[2] for name in ids(manifests.choice.train)} == {"10"}


def test_fsdd_folds_leave_one_speaker_out(tmp_path):
    manifests = prepare_fsdd(write_fsdd(tmp_path / "fsdd", ("ann", "bob", "cy")), tmp_path / "out")

    assert list(manifests.folds) == ["ann", "bob", "cy"]
    for name, fold in manifests.folds.items():
        assert speakers(fold.test) == {name}
        assert speakers(fold.train) == {"ann", "bob", "cy"} - {name}
        assert len(ids(fold.test)) == 40


def test_joined_digits_are_of_one_speaker_and_of_the_test_set(tmp_path):
    manifests = prepare_fsdd(write_fsdd(tmp_path / "fsdd"), tmp_path / "out")
    strings = read(manifests.strings)

    assert len(strings) == 2 * STRINGS_PER_SPEAKER
    lengths = [len(string.text.split()) for string in strings]
    assert set(lengths) == set(range(1, LONGEST_STRING + 1))
    for string, length in zip(strings, lengths, strict=True):
        samples, rate = read_audio(string.path)
        shortest = sum(500 + 10 * DIGITS.index(word) for word in string.text.split())
        longest_pauses = (length - 1) * 0.3 * rate
        # Recordings numbered 4 are four samples longer than those numbered 0; no other is a test's.
        assert shortest <= samples.shape[1] <= shortest + 4 * length + longest_pauses
        assert string.speaker in string.id


def test_joined_digits_know_their_joints(tmp_path):
    corpus = write_fsdd(tmp_path / "fsdd")
    manifests = prepare_fsdd(corpus, tmp_path / "out")
    lengths = {500 + 10 * digit + number for digit in range(10) for number in (0, 4)}

    for string in read(manifests.strings):
        words = string.extra["words"]
        assert " ".join(word["text"] for word in words) == string.text
        edges = [edge for word in words for edge in (word["start"], word["end"])]
        assert edges == sorted(edges)
        assert (edges[0], edges[-1]) == (0, string.duration)
        assert {round((word["end"] - word["start"]) * 8_000) for word in words} <= lengths


def test_joined_digits_depend_on_the_seed_alone(tmp_path):
    corpus = write_fsdd(tmp_path / "fsdd")
    first = prepare_fsdd(corpus, tmp_path / "a")
    again = prepare_fsdd(corpus, tmp_path / "b")
    other = prepare_fsdd(corpus, tmp_path / "c", seed=2)

    def recordings(manifests):
        return [utterance.path.read_bytes() for utterance in read(manifests.strings)]

    assert recordings(again) == recordings(first)
    assert recordings(other) != recordings(first)


def test_fsdd_pack_and_release_give_the_same(tmp_path):
    released = prepare_fsdd(write_fsdd(tmp_path / "fsdd"), tmp_path / "a").official
    names = [*ids(released.train), *ids(released.test)]
    rows = [{"audio": f"audio/{name.split('_')[1]}/{name}.flac", "split": "dev"} for name in names]
    write_pack(tmp_path / "pack", rows)

    packed = prepare_fsdd(tmp_path / "pack", tmp_path / "b").official

    assert [row[:4] for row in content(packed.train)] == [
        row[:4] for row in content(released.train)
    ]
    assert [row[:4] for row in content(packed.test)] == [row[:4] for row in content(released.test)]


# --- Speech Commands, speechocean762, en-alnum


def write_speech_commands(root):
    for word in ("down", "go", "marvin"):
        for speaker in ("0a7c2a8d", "1d1fe0a0", "ffffffff"):
            write_recording(root / word / f"{speaker}_nohash_0.wav", rate=16_000)
    write_lines(
        root / "testing_list.txt", ["go/ffffffff_nohash_0.wav", "down/ffffffff_nohash_0.wav"]
    )
    return root


def write_speechocean(root):
    for split, people in (("train", ("0001", "0005", "0006")), ("test", ("0003",))):
        names = {f"{person}{item:05}": person for person in people for item in (10035, 10113)}
        files = {name: f"WAVE/SPEAKER{person}/{name}.WAV" for name, person in names.items()}
        for file in files.values():
            write_recording(root / file, rate=16_000, format="WAV")
        texts = {name: "ZERO THREE" if name.endswith("35") else "THEN HE WENT" for name in names}
        for table, values in (("wav.scp", files), ("text", texts), ("utt2spk", names)):
            write_lines(root / split / table, [f"{key}\t{value}" for key, value in values.items()])
    return root


@pytest.fixture(scope="module")
def four_corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("four")
    return Corpora(
        an4=write_an4(root / "an4"),
        fsdd=write_fsdd(root / "fsdd", ("ann", "bob", "cy", "di", "ed", "flo"), digits=(3,)),
        speech_commands=write_speech_commands(root / "speech_commands"),
        speechocean=write_speechocean(root / "speechocean762"),
    )


@pytest.fixture(scope="module")
def en_alnum(four_corpora, tmp_path_factory):
    return prepare_en_alnum(four_corpora, tmp_path_factory.mktemp("en_alnum"))


def test_speech_commands_takes_the_words_that_are_asked_for(tmp_path):
    corpus = write_speech_commands(tmp_path)

    nine = read_speech_commands(corpus)
    marvin = read_speech_commands(corpus, words=["marvin"])

    assert [u.id for u in nine if u.split == "test"] == ["down/ffffffff_0", "go/ffffffff_0"]
    assert {u.text for u in nine} == {"down", "go"}
    assert [u.id for u in marvin] == ["marvin/0a7c2a8d_0", "marvin/1d1fe0a0_0", "marvin/ffffffff_0"]
    with pytest.raises(ManifestError, match="Speech Commands is not in this folder"):
        read_speech_commands(corpus, words=["sheila"])


def test_speechocean_needs_a_text_and_a_speaker_for_every_recording(tmp_path):
    corpus = write_speechocean(tmp_path)
    assert {u.text for u in read_speechocean(corpus)} == {"zero three", "then he went"}

    write_lines(corpus / "train" / "text", ["000110035\tZERO THREE"])
    with pytest.raises(ManifestError, match=r"000110113 stands in wav\.scp, but not in text"):
        read_speechocean(corpus)


def test_every_fold_keeps_its_speakers_apart_and_judges_each_once(en_alnum):
    judged = []
    for fold in en_alnum.folds:
        assert not speakers(fold.train) & speakers(fold.test)
        assert sorted(ids(fold.train) + ids(fold.test)) == ids(en_alnum.train)
        judged += ids(fold.test)
    assert len(en_alnum.folds) == NUM_FOLDS
    assert sorted(judged) == ids(en_alnum.train)


def test_folds_are_of_equal_size_in_every_corpus(en_alnum):
    folds = assign_folds(read(en_alnum.train))

    sizes = [
        sum(fold == k for name, fold in folds.items() if "fsdd/" in name) for k in range(NUM_FOLDS)
    ]
    assert sorted(sizes) == [1, 1, 2, 2]


def test_what_a_corpus_reserves_for_its_test_is_never_learned_from(en_alnum):
    assert ids(en_alnum.test) == [
        "an4/an1-mmxg-b",
        "an4/cen8-mmxg-b",
        "speech_commands/down/ffffffff_0",
        "speech_commands/go/ffffffff_0",
        "speechocean/000310035",
    ]
    assert not speakers(en_alnum.train) & speakers(en_alnum.test)
    listed = en_alnum.training_ids.read_text(encoding="utf-8").splitlines()
    assert listed == ids(en_alnum.train)
    assert {u.extra["corpus"] for u in read(en_alnum.train)} == {
        "an4", "fsdd", "speech_commands", "speechocean", "noise"
    }  # fmt: skip


def test_a_corpus_that_is_not_named_is_left_out(four_corpora, tmp_path):
    only = dataclasses.replace(four_corpora, fsdd=None, an4=None)

    manifests = prepare_en_alnum(only, tmp_path / "out")

    assert {name.split("/")[0] for name in ids(manifests.train)} == {
        "speech_commands", "speechocean", "noise"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no corpus to learn from; name at least one: --an4 DIR"):
        prepare_en_alnum(Corpora(), tmp_path / "none")


def test_noise_says_nothing_and_is_the_same_when_made_again(tmp_path):
    first, again = (list(write_noise(tmp_path / name)) for name in "ab")

    assert {utterance.text for utterance in first} == {""}
    assert len({utterance.speaker for utterance in first}) == len(first)
    assert [u.path.read_bytes() for u in first] == [u.path.read_bytes() for u in again]
    levels = [20 * np.log10(np.std(soundfile.read(u.path)[0])) for u in first]
    assert -65 < min(levels) < -50
    assert -30 < max(levels) < -15


def test_conditions_change_the_channel_and_nothing_else(en_alnum, tmp_path):
    chosen = {
        "an4/an250-faaa-b": "AN4",
        "fsdd/3_ann_4": "FSDD digits",
        "speech_commands/go/1d1fe0a0_0": "single commands",
        "speechocean/000110035": "learners' digit strings",
    }
    held_out = [u for u in read(en_alnum.train) if u.id in chosen]
    write_manifest(tmp_path / "held_out.jsonl", held_out)

    conditions = write_conditions(tmp_path / "held_out.jsonl", tmp_path / "variants")

    rates = {"8 kHz": 8_000, "16 kHz": 16_000, "48 kHz": 48_000, "16 kHz, noise at 10 dB": 16_000}
    subsets = {subset: name for name, subset in chosen.items()}
    assert set(conditions) == {f"{subset}, {rate}" for subset in subsets for rate in rates}
    originals = {utterance.id: utterance for utterance in held_out}
    for condition, manifest in conditions.items():
        subset, channel = condition.split(", ", 1)
        (utterance,) = read(manifest)
        original = originals[subsets[subset]]
        assert (utterance.text, utterance.speaker) == (original.text, original.speaker)
        assert soundfile.info(utterance.path).samplerate == rates[channel]
        assert utterance.duration == pytest.approx(original.duration, abs=1e-3)


def test_conditions_are_the_same_when_made_again(en_alnum, tmp_path):
    utterance = next(u for u in read(en_alnum.train) if u.id == "an4/an250-faaa-b")
    channel = CHANNELS["16 kHz, noise at 10 dB"]

    first = send_through(utterance, channel, tmp_path / "a").path.read_bytes()
    again = send_through(utterance, channel, tmp_path / "b").path.read_bytes()
    clean = send_through(utterance, CHANNELS["16 kHz"], tmp_path / "c").path.read_bytes()

    assert again == first != clean


def test_noise_has_the_asked_level_and_is_keyed_by_the_item():
    speech = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1

    noise = add_noise(speech, snr_db=10.0, item="a") - speech

    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=0.01)
    np.testing.assert_array_equal(add_noise(speech, snr_db=10.0, item="a") - speech, noise)
    assert not np.array_equal(add_noise(speech, snr_db=10.0, item="b") - speech, noise)


# --- LibriSpeech, TIMIT


def write_librispeech(root):
    for part, reader in (("train-clean-100", 19), ("dev-clean", 1272), ("test-other", 7)):
        for chapter in (198, 128104):
            folder = root / "LibriSpeech" / part / str(reader) / str(chapter)
            names = [f"{reader}-{chapter}-{number:04}" for number in range(2)]
            for name in names:
                write_recording(folder / f"{name}.flac", rate=16_000)
            lines = [f"{name} MISTER QUILTER'S" for name in names]
            write_lines(folder / f"{reader}-{chapter}.trans.txt", lines)
    return root


def test_librispeech_reads_the_parts_that_are_there(tmp_path):
    manifests = prepare_librispeech(write_librispeech(tmp_path / "data"), tmp_path / "out")

    assert list(manifests.tests) == ["test-other"]
    assert ids(manifests.dev) == [
        "1272-128104-0000", "1272-128104-0001", "1272-198-0000", "1272-198-0001"
    ]  # fmt: skip
    utterance = read(manifests.train)[0]
    assert (utterance.text, utterance.speaker) == ("mister quilter's", "19")
    assert utterance.group == "19-128104"


def test_librispeech_names_a_recording_that_is_not_there(tmp_path):
    root = write_librispeech(tmp_path / "data")
    (root / "LibriSpeech" / "dev-clean" / "1272" / "198" / "1272-198-0001.flac").unlink()

    with pytest.raises(ManifestError, match=r"1272-198-0001\.flac: LibriSpeech lists this"):
        prepare_librispeech(root, tmp_path / "out")


def write_timit(root, case=str.upper):
    people = (("train", "dr1", "fcjf0"), ("test", "dr1", "mdab0"), ("test", "dr2", "fcmh0"),
              ("test", "dr3", "mzzz0"))  # fmt: skip
    for half, region, speaker in people:
        for sentence in ("sa1", "si648", "sx37"):
            folder = root / case(half) / case(region) / case(speaker)
            write_recording(folder / case(f"{sentence}.wav"), rate=16_000, format="NIST")
            labels = ["0 3050 h#", "3050 4559 sh", "4559 5723 ix", "5723 6642 q", "6642 8772 dcl"]
            write_lines(folder / case(f"{sentence}.phn"), labels)
    return root


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_timit_is_split_by_the_published_speakers(tmp_path, case):
    manifests = prepare_timit(write_timit(tmp_path / "data", case), tmp_path / "out")

    assert ids(manifests.train) == ["fcjf0-si648", "fcjf0-sx37"]
    assert ids(manifests.dev) == ["fcmh0-si648", "fcmh0-sx37"]
    assert ids(manifests.test) == ["mdab0-si648", "mdab0-sx37"]
    assert read(manifests.test)[0].text == "sil sh ix vcl"
    assert read(manifests.test)[0].group == "dr1"


def test_timit_has_the_published_numbers_of_phones_and_speakers():
    assert (len(PHONES_48), len(PHONES_39)) == (48, 39)
    assert {counted_phones(phone) for phone in PHONES_48} == PHONES_39
    assert (len(CORE_TEST_SPEAKERS), len(DEV_SPEAKERS)) == (24, 50)
    assert not CORE_TEST_SPEAKERS & DEV_SPEAKERS
    # TIMIT's own description: two men and a woman from each of eight regions.
    assert sum(name.startswith("m") for name in CORE_TEST_SPEAKERS) == 16


@given(phones=st.lists(st.sampled_from(sorted(PHONES_48 | {"q", "h#", "kcl", "axr"})), max_size=8))
@settings(max_examples=50, deadline=None)
def test_phones_are_mapped_one_by_one_and_only_q_is_dropped(phones):
    learned = learned_phones(" ".join(phones), "x.phn").split()
    counted = counted_phones(" ".join(learned)).split()

    assert len(counted) == len(learned) == len(phones) - phones.count("q")
    assert set(learned) <= PHONES_48
    assert set(counted) <= PHONES_39


def test_all_61_labelled_phones_are_known():
    labelled = (
        "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# "
        "hh hv ih ix iy jh k kcl l m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
    )

    assert len(labelled.split()) == 61
    assert set(learned_phones(labelled, "x.phn").split()) == PHONES_48


def test_an_unknown_phone_is_named_with_its_file():
    with pytest.raises(ManifestError, match=r"x\.phn: 'zz' is none of TIMIT's 61 phones"):
        learned_phones("h# zz", "x.phn")


# --- what the run.py files share


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_loads(path):
    assert load_config(path).training.epochs >= 1


def test_what_is_set_by_hand_is_strongest():
    args = argparse.Namespace(seed=7, set=["seed=9", "optim.peak_lr=3e-4"])

    config = configure("an4", args, train=Path("a b") / 'c"#.jsonl', dev=Path("d.jsonl"))

    assert (config.seed, config.optim.peak_lr) == (9, 3e-4)
    assert config.data.train == str(Path("a b") / 'c"#.jsonl')
    assert config.data.dev == "d.jsonl"


def test_a_seed_given_by_hand_is_the_runs():
    config = configure("an4", argparse.Namespace(seed=7, set=[]), train=Path("a.jsonl"))

    assert config.seed == 7


def test_the_words_of_an4s_searches_are_those_it_learned_from(tmp_path):
    rows = [{"id": str(n), "audio": f"{n}.wav", "text": t} for n, t in enumerate(["a b", "b c"])]
    write_lines(tmp_path / "train.jsonl", map(json.dumps, rows))

    weights = DecodeConfig(alpha=0.3, beta=2)
    searches = make_searches(tmp_path / "train.jsonl", tmp_path / "lm", weights=weights)

    assert [one.beam for one in searches.values()] == [0, 16, 64, 64]
    *_, soft, closed = searches.values()
    assert soft.model_copy(update={"lexicon": closed.lexicon}) == closed
    assert (soft.alpha, soft.beta) == (0.3, 2)
    assert Path(str(closed.lexicon)).read_text(encoding="utf-8") == "a\nb\nc\n"
    assert {"a", "b", "c"} < set(read_arpa(Path(str(soft.lm))).words)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_a_choice_on_an4_changes_its_own_keys_and_no_other(choice):
    def keys(one):
        args = argparse.Namespace(seed=1, set=settings_of(one, Path("out")))
        return configure("an4_first", args, train=Path("a.jsonl")).model_dump(mode="json")

    changed = {line.partition(" ")[0] for line in changed_keys(keys(CHOICES[0]), keys(choice))}

    own = {setting.partition("=")[0] for setting in choice.settings}
    assert changed == own | ({"training.init_from"} if choice.after else set())


def test_a_choice_that_is_none_is_refused():
    assert [choice.name for choice in choose(["ema", "base"])] == ["base", "ema"]
    with pytest.raises(ConfigError, match="--only emma: no such row; there are: base, input-he"):
        choose(["ema", "emma"])


def test_without_a_seed_the_configuration_decides():
    args = argparse.Namespace(seed=None, set=["seed=5"])

    config = configure("an4", args, train=Path("a.jsonl"))

    assert config.seed == 5
    assert config.data.dev is None


@pytest.mark.parametrize(
    ("mistake", "status", "message"),
    [
        (None, 0, ""),
        (ManifestError("a: no such folder"), 2, "error: a: no such folder\n"),
        (Interrupted(2), 130, "interrupted by SIGINT; the same command goes on from here\n"),
        (Interrupted(15), 143, "interrupted by SIGTERM; the same command goes on from here\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_recipe_ends_in_one_line_and_a_status(capsys, mistake, status, message):
    def main():
        if mistake is not None:
            raise mistake

    assert run_recipe(main) == status
    assert capsys.readouterr().err == message


def results_of(**said_and_heard):
    return score_utterances(
        [Reference(name, said, speaker=name[0]) for name, (said, _) in said_and_heard.items()],
        {name: heard for name, (_, heard) in said_and_heard.items() if heard is not None},
    )


def test_scoring_together_adds_the_counts_of_the_parts():
    first = results_of(a1=("one two", "one"), b1=("six", "six"))
    second = results_of(c1=("five", None), d1=("four", "four four"))

    together = score_together([first, second])

    added = first.raw.word.counts + second.raw.word.counts
    assert together.raw.word.counts == added
    assert (together.raw.sentence.total, together.raw.sentence.wrong) == (4, 3)
    assert together.failed == second.failed == (("c1", "no hypothesis"),)


def test_phones_that_count_as_one_are_no_error():
    learned = results_of(a1=("sil sh ix vcl d", "sil zh ih cl b"))

    counted = score_together([learned], change=counted_phones)

    assert learned.raw.word.counts.errors == 4
    assert counted.raw.word.counts.errors == 1


@pytest.mark.slow
def test_the_yesno_recipe_trains_judges_and_goes_on(tmp_path):
    corpus = write_yesno(tmp_path / "yesno", tone(16_000))  # room for eight words
    small = ("training.epochs=2", "encoder.hidden=8", "data.workers=0", "frontend.num_mels=16")
    command = [
        *(sys.executable, "-m", "recipes.yesno.run", "--corpus", str(corpus)),
        *("-o", str(tmp_path / "run"), "--device", "cpu"),
        *(word for pair in small for word in ("--set", pair)),
    ]
    repository = CONF.parent

    first = subprocess.run(command, cwd=repository, capture_output=True, encoding="utf-8")
    again = subprocess.run(command, cwd=repository, capture_output=True, encoding="utf-8")

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert first.stderr.count("epoch ") == 2 * 2  # two models
    assert "epoch " not in again.stderr
    assert "test" in first.stdout
    assert first.stdout == again.stdout
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "eval" / "test" / "results.json").is_file()


# --- pen strokes


def write_gw(root):
    """Three words on pages 0, 2 and 6 of eight, as they are downloaded."""
    for page in range(8):
        lines = ["the", "10 20 0", "12.6 18 0", "14 20 1", "20 20 0"]
        write_lines(root / f"27{page}027{page}" / f"14266198598{page}_the.txt", lines)
    return root


def test_gw_online_is_split_by_page(tmp_path):
    manifests = prepare_gw(write_gw(tmp_path / "gw"), tmp_path / "out")

    assert ids(manifests.test) == ["2720272-142661985982_the", "2770277-142661985987_the"]
    assert ids(manifests.dev) == ["2760276-142661985986_the"]
    assert len(ids(manifests.train)) == 5
    (word,) = read(manifests.dev)
    assert (word.text, word.group, word.modality) == ("the", "2760276", Modality.INK)
    ink = read_ink(word.path, item=word.id, index=word.index)
    assert (ink.points - ink.points[0]).tolist() == [[0, 0], [3, -2], [4, 0], [10, 0]]
    assert ink.pen_up.tolist() == [False, False, True, True]  # the last point ends a stroke


def test_a_damaged_word_of_gw_online_is_named(tmp_path):
    write_lines(write_gw(tmp_path) / "2700270" / "1_bad.txt", ["bad", "1 2"])

    with pytest.raises(InkError, match=r"1_bad\.txt: no lines of x, y and pen state"):
        prepare_gw(tmp_path, tmp_path / "out")


IAM_FORMS = {"trainset": "a01-000u", "testset_v": "a01-001w", "testset_t": "b02-000x"}


def write_iam(root, forms=IAM_FORMS):
    """Two lines of each form, in the layout of the downloads."""
    stroke = '<Stroke><Point x="1" y="2" time="0.1"/><Point x="3" y="2" time="0.2"/></Stroke>'
    session = (
        f"<WhiteboardCaptureSession><StrokeSet>{stroke}</StrokeSet></WhiteboardCaptureSession>"
    )
    for name, form in forms.items():
        place = Path(form[:3]) / form[:7]
        for line in (1, 2):
            write_lines(root / "lineStrokes" / place / f"{form}-{line:02}.xml", [session])
        text = ["OCR:", "", "not THIS", "", "CSR:", "", f"Mr . {name} said :", '" yes "']
        write_lines(root / "ascii" / place / f"{form}.txt", text)
        write_lines(root / f"{name}.txt", [f" {form}", " "])
    return root


def test_iam_ondb_is_split_by_the_lists_and_its_texts_are_tidied(tmp_path):
    manifests = prepare_iam(write_iam(tmp_path / "iam"), tmp_path / "out")

    assert ids(manifests.train) == ["a01-000u-01", "a01-000u-02"]
    assert [u.text for u in read(manifests.dev)] == ["Mr. testset_v said:", '"yes"']
    assert ids(manifests.dev2) == ["b02-000x-01", "b02-000x-02"]
    assert manifests.test is None
    assert read_ink(read(manifests.dev)[0].path, item="x").num_strokes == 1
    assert manifests.lm_text.read_text(encoding="utf-8").splitlines()[0] == "Mr. trainset said:"


def test_texts_of_other_sets_stay_out_of_the_language_model(tmp_path):
    forms = {**IAM_FORMS, "testset_f": "a01-000x"}  # the text of the training form again
    manifests = prepare_iam(write_iam(tmp_path / "iam", forms), tmp_path / "out")

    assert manifests.test is not None
    assert manifests.lm_text.read_text(encoding="utf-8") == ""


def test_a_form_with_other_lines_than_strokes_is_named(tmp_path):
    root = write_iam(tmp_path / "iam")
    (root / "lineStrokes/a01/a01-000/a01-000u-02.xml").unlink()

    with pytest.raises(
        ManifestError, match=r"a01-000u\.txt: 2 lines of text, and 1 files of strok"
    ):
        prepare_iam(root, tmp_path / "out")


def test_ink_is_drawn_black_on_white_and_keeps_its_id(tmp_path):
    manifests = prepare_iam(write_iam(tmp_path / "iam"), tmp_path / "out")

    images = render_manifest(manifests.dev, tmp_path / "images")

    items = read(images)
    assert [item.id for item in items] == ids(manifests.dev)
    assert {item.modality for item in items} == {Modality.IMAGE}
    pixels = np.asarray(Image.open(items[0].path))
    assert (pixels.max(), pixels.min()) == (255, 0)
    assert (pixels[0] == 255).all()  # a margin


COPISTE = ("0022", "0009", "0064", "0006")
"""Texts: the MD5 of the second puts it into dev, that of the last into test."""


def write_copiste(root, texts=COPISTE):
    """A page of each text: a heading, two lines of the consent, a line, and what is left out."""
    root.mkdir(parents=True)
    for text in texts:
        page = f"wikitexte_{text}"
        lines = [page, FORMULA[:45], FORMULA[46:90], f"Texte  {text}.", ">biffé<", "- 2 -", ""]
        elements = "".join(
            f'<TextLine ID="l{n}" HPOS="5" VPOS="{10 * n}" WIDTH="80" HEIGHT="9">'
            f"<String CONTENT={quoteattr(line)}/></TextLine>"
            for n, line in enumerate(lines)
        )
        alto = f"<alto><Layout><Page><PrintSpace>{elements}</PrintSpace></Page></Layout></alto>"
        (root / f"{page}.xml").write_text(alto, encoding="utf-8")
        Image.new("L", (100, 100), 255).save(root / f"{page}.jpg")
    return root


def test_copiste_is_split_by_text_and_the_consent_stays_in_train(tmp_path):
    manifests = prepare_copiste(write_copiste(tmp_path / "copiste"), tmp_path / "out")

    assert [(u.id, u.text) for u in read(manifests.dev)] == [("wikitexte_0009-003", "Texte 0009.")]
    assert [u.text for u in read(manifests.test)] == ["Texte 0006."]
    train = read(manifests.train)
    assert [(u.id, u.extra["formula"]) for u in train[:3]] == [
        ("wikitexte_0022-001", True),
        ("wikitexte_0022-002", True),
        ("wikitexte_0022-003", False),
    ]
    assert (train[0].modality, train[0].group) == (Modality.IMAGE, "0022")
    assert train[0].polygon is not None
    assert manifests.lm_text.read_text(encoding="utf-8") == "Texte 0022.\nTexte 0064.\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("JE COMPRENDS QUE MON MANUSCRIT SERA ANONYMISÉ", True),
        ("commerciales.", True),
        ("j'y consens. Je compreds par BAnQ pour", True),
        ("La Fédération du Laos de football est une association", False),
    ],
)
def test_the_consent_is_known_however_it_was_copied(text, found):
    assert is_formula(text) == found


@pytest.mark.parametrize("prepare", [prepare_gw, prepare_iam])
def test_a_folder_without_ink_says_where_to_get_it(prepare, tmp_path):
    with pytest.raises(ManifestError, match="licence: for non-commercial research"):
        prepare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("written", "tidied"),
    [
        ("Mr . Foot ' s line , as it was ( once ) .", "Mr. Foot's line, as it was (once)."),
        ('"That cannot be" , he said', '"That cannot be", he said'),
        ('to " prop up " an', 'to "prop up" an'),
        ("the Foot - Griffiths line", "the Foot - Griffiths line"),
    ],
)
def test_tidy_attaches_punctuation(written, tidied):
    assert tidy(written) == tidied


# --- the packs


def pack(name):
    folder = CORPORA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.mark.corpus
def test_yesno_pack_has_30_and_30_that_begin_otherwise(tmp_path):
    manifests = prepare_yesno(pack("yesno"), tmp_path)

    sets = (manifests.train_all, manifests.train_nodev, manifests.train_dev, manifests.test)
    assert [len(ids(m)) for m in sets] == [30, 17, 13, 30]
    assert all(u.text.startswith("no") for u in read(manifests.train_all))
    assert sum(u.text.startswith("yes") for u in read(manifests.test)) == 29
    packed = {u.path.stem: u for u in read(pack("yesno") / "manifest.jsonl")}
    for path in (manifests.train_all, manifests.test):
        for utterance in read(path):
            assert packed[utterance.id].text == utterance.text


@pytest.mark.corpus
def test_an4_pack_has_espnets_division_and_totals(tmp_path):
    manifests = prepare_an4(pack("an4"), tmp_path)

    packed = read(pack("an4") / "manifest.jsonl")
    for split in ("train_nodev", "train_dev", "test"):
        expected = {u.path.stem for u in packed if u.extra["espnet_split"] == split}
        assert set(ids(getattr(manifests, split))) == expected
    totals = {"test": (130, 773, 2565), "train_dev": (100, 591, 1915)}
    for split, total in totals.items():
        texts = [utterance.text for utterance in read(getattr(manifests, split))]
        words = sum(len(text.split()) for text in texts)
        assert (len(texts), words, sum(map(len, texts))) == total
    assert len(ids(manifests.train_all)) == 948
    assert len(speakers(manifests.train_all)) == 74
    assert not speakers(manifests.train_nodev) & speakers(manifests.train_dev)


@pytest.mark.corpus
def test_fsdd_pack_has_2700_300_and_six_speakers(tmp_path):
    manifests = prepare_fsdd(pack("fsdd"), tmp_path)

    official, choice = manifests.official, manifests.choice
    assert (len(ids(official.train)), len(ids(official.test))) == (2700, 300)
    assert (len(ids(choice.train)), len(ids(choice.test))) == (2400, 300)
    assert {name: len(ids(fold.test)) for name, fold in manifests.folds.items()} == dict.fromkeys(
        ("george", "jackson", "lucas", "nicolas", "theo", "yweweler"), 500
    )
    assert len(ids(manifests.strings)) == 300


@pytest.mark.corpus
def test_en_alnum_learns_from_all_that_no_pack_reserves(tmp_path):
    corpora = Corpora(
        an4=pack("an4"),
        fsdd=pack("fsdd"),
        speech_commands=pack("speech_commands9_small"),
        speechocean=pack("speechocean762_small"),
    )

    manifests = prepare_en_alnum(corpora, tmp_path)

    utterances = read(manifests.train)
    by_corpus = dict.fromkeys(("an4", "fsdd", "speech_commands", "speechocean", "noise"), 0)
    for utterance in utterances:
        by_corpus[utterance.extra["corpus"]] += 1
    assert by_corpus == {
        "an4": 948, "fsdd": 3000, "speech_commands": 1035, "speechocean": 77, "noise": 80
    }  # fmt: skip
    assert len(ids(manifests.test)) == 130
    packed = read(pack("speechocean762_small") / "manifest.jsonl")
    assert {u.path.stem for u in packed if u.extra["digits"]} == {
        u.id.split("/")[1] for u in utterances
        if u.extra["corpus"] == "speechocean" and is_digit_string(u)
    }  # fmt: skip


@pytest.mark.corpus
def test_the_packs_of_ink_have_their_splits_and_readable_ink(tmp_path):
    words = prepare_gw(pack("gwonline"), tmp_path / "gw")
    lines = prepare_iam(pack("iamondb"), tmp_path / "iam")

    assert [len(ids(m)) for m in (words.train, words.dev, words.test)] == [3_421, 448, 991]
    assert [len(ids(m)) for m in (lines.train, lines.dev, lines.dev2)] == [5_364, 1_438, 1_518]
    for manifest in (words.test, lines.dev):
        for item in read(manifest)[::50]:
            assert len(read_ink(item.path, item=item.id, index=item.index)) > 1


@pytest.mark.corpus
def test_the_pack_of_copiste_has_its_splits_and_readable_lines(tmp_path):
    manifests = prepare_copiste(pack("copiste"), tmp_path)

    sets = (manifests.train, manifests.dev, manifests.test)
    assert [len(ids(m)) for m in sets] == [4_651, 394, 762]
    packed = {u.id: u.split for u in read(pack("copiste") / "manifest.jsonl")}
    for name, manifest in zip(("train", "dev", "test"), sets, strict=True):
        items = read(manifest)
        assert {packed[u.id] for u in items} == {name}
        for item in items[::50]:
            assert read_line_image(item.path, item=item.id).ink.any()
    formula = [u for u in read(manifests.train) if u.extra["formula"]]
    assert len(formula) == 516
    assert all(is_formula(u.text) for u in formula)
