"""What is heard when: one label per frame, from configuration to report."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.batching import Stretch, classify_frames, pad_classes
from ctcasr.bundle import load
from ctcasr.config import load_config
from ctcasr.errors import ConfigError
from ctcasr.frontends.sound.augmentation import AugmentConfig
from ctcasr.frontends.sound.recordings import Recordings
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.manifest import read_manifest
from ctcasr.model_file import read_model
from ctcasr.models.encoder import EncoderConfig
from ctcasr.pipeline.train import train
from ctcasr.pipeline.training_sets import prepare_sets
from ctcasr.training.loading import Labelled, TrainingData

FRAME_ONLY = ["heads.ctc.weight=0", "heads.frame.field=tones", "training.epochs=30"]


def tones_of(text):
    """When each letter sounds; see `speak_tones`."""
    starts = [0.06 + 0.15 * position for position in range(len(text))]
    return [
        {"text": letter, "start": start, "end": start + 0.09}
        for letter, start in zip(text, starts, strict=True)
    ]


def write_timed(tone_run, path, changes=None):
    """Write the tones' manifest with `tones`: what sounds when; and changes, by line number."""
    lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for number, record in enumerate(records):
        record["audio"] = (tone_run.manifest.parent / record["audio"]).as_posix()
        record["tones"] = tones_of(record["text"])
        record |= (changes or {}).get(number, {})
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def configured(tone_run, manifest, *overrides):
    named = [f"data.train={manifest.as_posix()}", f"data.dev={manifest.as_posix()}"]
    return load_config(tone_run.config, overrides=[*named, *overrides])


@pytest.fixture(scope="module")
def timed(tone_run, tmp_path_factory):
    return write_timed(tone_run, tmp_path_factory.mktemp("timed") / "tones.jsonl")


@pytest.fixture(scope="module")
def frame_run(tone_run, timed, tmp_path_factory):
    """A model that says which tone sounds in each frame, and nothing else."""
    run = tmp_path_factory.mktemp("frames") / "run"
    train(configured(tone_run, timed, *FRAME_ONLY), run=run, device="cpu")
    return run


# Which class a frame has


@given(
    edges=st.lists(st.floats(0, 1), min_size=0, max_size=8).map(sorted),
    num_frames=st.integers(0, 30),
)
def test_a_frame_has_the_class_of_what_its_middle_lies_in(edges, num_frames):
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    stretches = [Stretch(start, end, n) for n, (start, end) in enumerate(pairs, start=1)]

    classes = classify_frames(stretches, num_frames, frame_s=0.04)

    assert len(classes) == num_frames
    for frame, found in enumerate(classes):
        middle = (frame + 0.5) * 0.04
        inside = [one.label for one in stretches if one.start <= middle < one.end]
        assert found == (inside[-1] if inside else 0)


def test_padding_has_no_class():
    padded = pad_classes([np.array([1, 0, 2]), np.array([3])])

    assert padded.tolist() == [[1, 0, 2], [3, -1, -1]]


@pytest.mark.parametrize("join_items", [1, 3])
def test_classes_follow_what_training_does_to_a_recording(make_utterance, join_items):
    samples = np.zeros(4_800)
    samples[1_200:2_800] = 0.5  # what sounds from 0.15 to 0.35 s
    utterance = make_utterance("a", samples, speaker="x")
    items = [Labelled(utterance, (), 0.6, stretches=(Stretch(0.15, 0.35, 1),))]
    frontend, encoder = FrontendConfig(sample_rate=8_000), EncoderConfig(stride=2)
    data = TrainingData(
        items,
        frontend=frontend,
        medium=Recordings(
            frontend,
            AugmentConfig(
                speed=(0.7, 1.4),
                shift_ms=50,
                join_items=join_items,
                join_seconds=9,
                gain_db=(0, 0),
            ),
        ),
        num_encoder_frames=lambda n: encoder.num_frames(frontend.num_frames(n)),
        frame_s=0.02,
        space=(),
        batch_frames=10_000,
        seed=3,
        workers=0,
        cache_mb=1,
    )

    for epoch in range(8):
        (batch,) = data.epoch(epoch)
        assert batch.frame_classes is not None
        (classes,) = batch.frame_classes.numpy()
        middles = np.arange(80, batch.signals.shape[1], 160)
        sounds = batch.signals[0, middles].numpy() > 0.25
        wrong = (classes[: len(sounds)] != sounds).sum()
        assert classes.any()
        assert wrong <= 2 * join_items  # an edge may fall on the other side of a middle


# What it learns, and what it says


def test_a_model_without_a_ctc_head_learns_what_sounds_when(frame_run, tone_run):
    lines = (frame_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    recognizer = load(frame_run, device="cpu")

    assert last["dev_frame_error"] < 0.06
    assert last["dev_frame_error"] < 0.3 * first["dev_frame_error"]
    assert last["dev_cer"] is None
    right = 0
    for name, text in tone_run.texts.items():
        transcript = recognizer.transcribe(tone_run.recordings / f"{name}.wav")
        right += transcript.text == " ".join(text)
        if transcript.text == " ".join(text):
            for word, tone in zip(transcript.frames, tones_of(text), strict=True):
                assert word.start == pytest.approx(tone["start"], abs=0.03)
                assert word.end == pytest.approx(tone["end"], abs=0.03)
                assert word.confidence is not None
                assert 0 < word.confidence <= 1
    assert right >= 7


def test_transcripts_say_what_sounds_when(ctcasr, frame_run, timed):
    ended = ctcasr("transcribe", "-m", frame_run, timed, "-f", "jsonl")

    for line in ended.out.splitlines():
        record = json.loads(line)
        assert record["decoder"] == {"search": "label of each frame", "field": "tones"}
        assert record["frames"] == record["words"] != []
        assert record["text"] == " ".join(word["text"] for word in record["words"])
        assert list(record["frames"][0]) == ["text", "start", "end", "confidence"]


def test_times_count_from_the_files_beginning(frame_run, samples):
    recognizer = load(frame_run, device="cpu")
    recording = recognizer.prepare(samples, sample_rate=8_000)
    piece = dataclasses.replace(recording, offset=2.0)

    first, later = recognizer.transcribe_batch([recording, piece])

    assert [word.start + 2 for word in first.frames] == [word.start for word in later.frames]


def test_evaluation_counts_wrong_frames(ctcasr, tone_run, frame_run, tmp_path):
    nothing = write_timed(tone_run, tmp_path / "nothing.jsonl", {0: {"tones": []}})

    right = ctcasr("evaluate", "-m", frame_run, nothing, "-o", tmp_path / "eval")

    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    recognizer = load(frame_run, device="cpu")
    heard = recognizer.transcribe(tone_run.recordings / "0-ab.wav").frames
    invented = round(sum(word.end - word.start for word in heard) / recognizer.frame_shift)
    assert right.status == 0
    assert f"of {results['frames']['n']} frames wrong" in right.out
    assert results["frames"]["wrong"] >= invented > 5
    assert sum(count for *_, count in results["frames"]["confusions"]) == results["frames"]["wrong"]
    assert results["frames"]["ci95"] is not None
    assert "## Labels of frames" in (tmp_path / "eval" / "report.md").read_text(encoding="utf-8")


def test_the_times_of_an_alignment_are_what_it_can_learn_from(ctcasr, tone_run, tmp_path):
    out = tmp_path / "timed.jsonl"

    where = ["-o", tmp_path / "aligned.jsonl", "--timed", out]

    ended = ctcasr("align", "-m", tone_run.folder, tone_run.manifest, *where)

    assert "timed.jsonl: 8 items with the times of their words" in ended.err
    config = configured(tone_run, out, "heads.frame.field=words")
    sets = prepare_sets(config, {"train": read_manifest(out)})
    assert sets.frame_classes == ("", *sorted(tone_run.texts.values()))
    assert isinstance(sets.train, tuple)
    assert all(len(item.stretches) == 1 for item in sets.train)
    spoken = [item.stretches[0] for item in sets.train]
    assert all(0 <= one.start < one.end <= 1 for one in spoken)


def test_three_heads_train_together_and_all_are_told_of(ctcasr, tone_run, timed, tmp_path):
    config = configured(
        tone_run,
        timed,
        "heads.frame.field=tones",
        "heads.utterance.field=speaker",
        "training.epochs=2",
    )

    train(config, run=tmp_path / "run", device="cpu")

    facts = ctcasr("info", tmp_path / "run").out
    (*_, line) = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8").splitlines()
    header = read_model(tmp_path / "run" / "model.safetensors").header
    assert "label of each frame  tones: a b c d" in facts
    assert "label of the whole   speaker: x y" in facts
    assert "dev CER" in line
    assert "dev frame error" in line
    assert "dev class error" in line
    assert header["classes"] == {"frame": ["", "a", "b", "c", "d"], "utterance": ["x", "y"]}
    transcript = load(tmp_path / "run", device="cpu").transcribe(tone_run.recordings / "3-cad.wav")
    assert transcript.decoder == {"search": "best_path"}
    assert transcript.label is not None


# What cannot be


@pytest.mark.parametrize(
    "tones",
    [None, "cad", [{"text": "a", "start": 0.2}], [{"text": "a", "start": 0.2, "end": 0.1}], [3]],
)
def test_recordings_without_readable_times_are_left_out_by_name(tone_run, tmp_path, tones):
    manifest = write_timed(tone_run, tmp_path / "some.jsonl", {3: {"tones": tones}})
    config = configured(tone_run, manifest, *FRAME_ONLY)

    sets = prepare_sets(config, {"train": read_manifest(manifest)})

    ((_, bad),) = sets.skipped
    assert (bad.id, bad.kind) == ("3-cad", "no labels of frames")
    assert "ctcasr align --timed writes one" in bad.message


def test_a_label_that_training_never_hears_is_named(tone_run, timed, tmp_path):
    tones = [{"text": "z", "start": 0, "end": 1}]
    other = read_manifest(write_timed(tone_run, tmp_path / "dev.jsonl", {3: {"tones": tones}}))
    config = configured(tone_run, timed, *FRAME_ONLY)

    sets = prepare_sets(config, {"train": read_manifest(timed), "dev": other})

    ((name, bad),) = sets.skipped
    assert (name, bad.id, bad.kind) == ("dev", "3-cad", "unknown label of frames")
    assert "tones has 'z', which is not in the training set" in bad.message


def test_check_names_them_too(ctcasr, tone_run, tmp_path):
    manifest = write_timed(tone_run, tmp_path / "some.jsonl", {3: {"tones": None}})

    ended = ctcasr("check", manifest, "-c", tone_run.config, "--set", "heads.frame.field=tones")

    assert ended.status == 3
    assert "utterance '3-cad': `tones` (heads.frame.field) is no list" in ended.out


def test_recordings_whose_edges_are_cut_off_have_no_times(tone_run, timed):
    with pytest.raises(ConfigError, match=r"augment.trim_probability 0.5 moves what 'tones'"):
        configured(tone_run, timed, *FRAME_ONLY, "augment.trim_probability=0.5")
