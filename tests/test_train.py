import dataclasses
import errno
import json
import os
import random
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import ctcasr as package
from ctcasr.config import load_config
from ctcasr.errors import (
    HotwordError,
    LanguageModelError,
    ManifestError,
    OutputError,
    TrainingError,
)
from ctcasr.manifest import read_manifest, write_manifest
from ctcasr.model_file import read_model
from ctcasr.pipeline.train import train
from ctcasr.pipeline.training_sets import prepare_sets
from ctcasr.training.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from ctcasr.training.dev_set import DevSet
from ctcasr.training.interruption import Interrupted
from ctcasr.training.loading import TrainingData
from tests.conftest import speak_tones

RUN_FILES = ["checkpoints", "config.yaml", "log.txt", "metrics.jsonl", "model.safetensors"]
RUN_FILES += ["report.html", "run.json", "skipped.jsonl"]


class Watcher:
    """Keeps what it is told; raises a signal in this process at a step."""

    def __init__(self, *, at=None, number=signal.SIGINT):
        self.at, self.number, self.steps, self.warnings = at, number, [], []

    def on_step(self, report):
        self.steps.append(report.step)
        if report.step == self.at:
            signal.raise_signal(self.number)

    def on_epoch(self, report):
        pass

    def on_warning(self, message):
        self.warnings.append(message)


@pytest.fixture
def config_of(tone_run):
    """Return a function that gives the tones' configuration, short, with keys changed."""

    def make(*overrides, epochs=2):
        return load_config(tone_run.config, overrides=[f"training.epochs={epochs}", *overrides])

    return make


def weights_of(run):
    return read_model(run / "model.safetensors").tensors


def assert_same_weights(some, others):
    assert some.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in some.items())


def status_of(run):
    return json.loads((run / "run.json").read_text(encoding="utf-8"))["status"]


# What a run leaves behind


def test_a_run_folder_holds_what_it_should(tone_run):
    folder = tone_run.folder
    assert sorted(path.name for path in folder.iterdir()) == RUN_FILES
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert list(facts) == [
        *("command", "commit", "versions", "seed", "manifests", "started", "computing"),
        *("status", "scores", "ended"),
    ]
    assert facts["status"] == "finished"
    assert facts["scores"] == {"dev_cer": 0.0, "dev_wer": 0.0}
    assert set(facts["manifests"]) == {"train", "dev"}
    assert (folder / "skipped.jsonl").read_bytes() == b""
    assert len((folder / "log.txt").read_text(encoding="utf-8").splitlines()) == 45
    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert stored["encoder"]["hidden"] == 16
    assert stored["decode"]["beam"] == 0  # defaults are written down too


def test_the_model_says_what_it_learned_from(tone_run):
    training = package.load(tone_run.folder).header["training"]

    assert training == {
        "items": 8,
        "amount": 3.63,
        "unit": "s",
        "manifest_sha256": training["manifest_sha256"],
        "scores": {"dev_cer": 0.0, "dev_wer": 0.0},
    }


def test_a_page_that_cannot_be_written_costs_no_run(config_of, tmp_path, monkeypatch):
    def fail(run):
        raise RuntimeError("no ink")

    monkeypatch.setattr("ctcasr.pipeline.train.write_training_report", fail)
    watcher = Watcher()

    model = train(config_of(), run=tmp_path / "run", device="cpu", observer=watcher)

    assert model.is_file()
    assert status_of(tmp_path / "run") == "finished"
    assert any("report.html: not written (no ink)" in warning for warning in watcher.warnings)


def test_equal_runs_give_equal_files(config_of, tmp_path):
    models = [train(config_of(), run=tmp_path / name, device="cpu") for name in "ab"]

    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_run_needs_no_dev_set(config_of, tmp_path):
    model = train(config_of("data.dev=null"), run=tmp_path / "run", device="cpu")

    assert package.load(model).header["training"]["scores"] == {"dev_cer": None, "dev_wer": None}


# Interrupted and resumed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_weights(config_of, tmp_path, number):
    whole = train(config_of(), run=tmp_path / "whole", device="cpu")
    run = tmp_path / "parts"

    with pytest.raises(Interrupted) as caught:
        train(config_of(), run=run, device="cpu", observer=Watcher(at=3, number=number))
    assert caught.value.signal_number == number
    assert status_of(run) == "interrupted"
    assert not (run / "model.safetensors").exists()
    watcher = Watcher()
    train(config_of(), run=run, device="cpu", resume=True, observer=watcher)

    assert watcher.steps == [4, 5, 6, 7, 8]
    assert status_of(run) == "finished"
    assert_same_weights(weights_of(run), weights_of(whole.parent))


def test_resume_where_nothing_stands_starts_afresh(config_of, tmp_path):
    fresh = train(config_of(), run=tmp_path / "fresh", device="cpu")
    resumed = train(config_of(), run=tmp_path / "resumed", device="cpu", resume=True)

    assert resumed.read_bytes() == fresh.read_bytes()


def test_resuming_a_finished_run_changes_nothing(config_of, tmp_path):
    model = train(config_of(), run=tmp_path / "run", device="cpu")
    before = model.read_bytes()

    train(config_of(), run=tmp_path / "run", device="cpu", resume=True)

    assert model.read_bytes() == before


def test_a_disk_full_at_the_end_loses_nothing(config_of, tmp_path, monkeypatch):
    whole = train(config_of(), run=tmp_path / "whole", device="cpu")
    run = tmp_path / "full"
    replace = Path.replace

    def fill_up(self, target):
        if Path(target).name == "model.safetensors":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fill_up)
        with pytest.raises(OutputError, match=r"model\.safetensors: .*No space left on device"):
            train(config_of(), run=run, device="cpu")
    assert status_of(run) == "failed"
    assert sorted(path.name for path in run.iterdir()) == [
        name for name in RUN_FILES if name != "model.safetensors"
    ]

    train(config_of(), run=run, device="cpu", resume=True)
    assert_same_weights(weights_of(run), weights_of(whole.parent))


# What is left out


@pytest.fixture
def spoilt(tone_run, tmp_path):
    """A manifest of the eight recordings and one of every kind that cannot be learned from."""
    good = read_manifest(tone_run.manifest)

    def recorded(name, samples, text, **fields):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, 8_000)
        return type(good[0])(id=name, path=path, text=text, **fields)

    tone = speak_tones("ab", seed=1)
    bad = [
        recorded("crowded", tone, "ab" * 40),
        recorded("unlabelled", tone, None),
        recorded("stereo", np.stack([tone, -tone], axis=1), "ab"),
        recorded("long", np.tile(tone, 40), "ab"),
        type(good[0])(id="gone", path=tmp_path / "gone.wav", text="ab"),
    ]
    write_manifest(tmp_path / "spoilt.jsonl", [*good, *bad])
    return tmp_path / "spoilt.jsonl", [item.id for item in bad]


def test_what_cannot_be_learned_from_is_left_out_by_name(config_of, spoilt, tone_run, tmp_path):
    manifest, bad = spoilt
    watcher = Watcher()
    config = config_of(f"data.train={manifest}", "data.max_frames=500")

    train(config, run=tmp_path / "run", device="cpu", observer=watcher)

    lines = (tmp_path / "run" / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["id"] for record in records) == sorted(bad)
    assert {record["set"] for record in records} == {"train"}
    reasons = {record["id"]: record["reason"] for record in records}
    assert "encoder frames cannot hold 80 labels" in reasons["crowded"]
    assert "channels that differ" in reasons["stereo"]
    assert "more than data.max_frames 500" in reasons["long"]
    assert "no such file" in reasons["gone"]
    for name in bad:
        assert sum(f" {name}; why: " in message for message in watcher.warnings) == 1
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert all(message in log for message in watcher.warnings)
    assert_same_weights(
        weights_of(tmp_path / "run"),
        weights_of(train(config_of(), run=tmp_path / "good", device="cpu").parent),
    )


def test_training_can_stop_at_what_cannot_be_learned_from(config_of, spoilt, tmp_path):
    config = config_of(f"data.train={spoilt[0]}", "data.on_bad=stop")

    with pytest.raises(ManifestError, match=r"crowded.* \(and 3 more of the train set\); mend"):
        train(config, run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_set_of_which_nothing_is_left_is_refused(config_of, tone_run, tmp_path):
    with pytest.raises(ManifestError, match=r"data\.train: none of 8 utterances can be used; the"):
        train(config_of("data.max_frames=2"), run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_dev_set_is_judged_by_the_alphabet_of_the_training_set(config_of, tone_run, tmp_path):
    lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record["audio"] = str(tone_run.manifest.parent / record["audio"])
    records[0]["text"] = "aé"
    dev = tmp_path / "dev.jsonl"
    dev.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    config = config_of(f"data.dev={dev}")

    sets = prepare_sets(
        config, {"train": read_manifest(tone_run.manifest), "dev": read_manifest(dev)}
    )

    ((name, bad),) = sets.skipped
    assert (name, bad.id) == ("dev", "0-ab")
    assert "U+00E9" in bad.message
    assert len(sets.dev) == 7


# Kinds of model


@pytest.mark.parametrize("unit", ["char", "grapheme", "word", "subword"])
def test_every_unit_trains_and_transcribes(config_of, tone_run, tmp_path, unit):
    config = config_of(f"text.unit={unit}", "text.subwords=8", epochs=1)

    model = package.load(train(config, run=tmp_path / "run", device="cpu"))

    assert model.alphabet.unit == unit
    text = model.transcribe(tone_run.recordings / "3-cad.wav").text
    assert isinstance(text, str)
    for reference in tone_run.texts.values():
        labels = model.alphabet.encode(reference)
        assert model.alphabet.decode(labels) == reference


def test_training_statistics_are_stored_and_used(config_of, tone_run, tmp_path):
    config = config_of("frontend.normalise=training", epochs=1)
    model = package.load(train(config, run=tmp_path / "run", device="cpu"))
    stats = model.header["feature_stats"]

    assert len(stats["mean"]) == len(stats["deviation"]) == 20
    recordings = [model.prepare(path).signal for path in sorted(tone_run.recordings.iterdir())]
    features = [
        model.features(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))[0][0]
        for samples in recordings
    ]
    everything = torch.cat(features)
    assert everything.mean(0).abs().max() < 1e-3
    assert (everything.std(0) - 1).abs().max() < 1e-2


def test_a_model_starts_from_another_label_by_label(config_of, tone_run, tmp_path):
    renamed = tmp_path / "more.jsonl"
    first, *others = read_manifest(tone_run.manifest)
    write_manifest(renamed, [dataclasses.replace(first, text="AB"), *others])
    watcher = Watcher()
    config = config_of(
        f"data.train={renamed}",
        f"training.init_from={tone_run.folder}",
        "optim.peak_lr=1e-30",
        epochs=1,
    )

    model = train(config, run=tmp_path / "run", device="cpu", observer=watcher)

    before, after = package.load(tone_run.folder), package.load(model)
    assert after.alphabet.labels == ("<blank>", "A", "B", "a", "b", "c", "d")
    old = before.network.state_dict()
    new = after.network.state_dict()
    for label in before.alphabet.labels:
        row, column = after.alphabet.labels.index(label), before.alphabet.labels.index(label)
        assert torch.allclose(new["ctc.output.weight"][row], old["ctc.output.weight"][column])
    assert any("output layer for 5 of 7 labels" in message for message in watcher.warnings)
    assert after.transcribe(tone_run.recordings / "3-cad.wav").text == "cad"
    assert after.config.training.init_from is None  # no path is stored


def test_a_search_that_cannot_be_is_refused_before_training(tone_run, tmp_path):
    missing = load_config(tone_run.config, overrides=["decode.lm=nothing.arpa"])
    unspelt = load_config(tone_run.config, overrides=["decode.hotwords.zoo=3"])

    with pytest.raises(LanguageModelError, match=r"nothing\.arpa: no language model"):
        train(missing, run=tmp_path / "run", device="cpu")
    with pytest.raises(HotwordError, match="hotword 'zoo' cannot be spelt"):
        train(unspelt, run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


# What goes wrong on the way


def last_line(run):
    return (run / "log.txt").read_text(encoding="utf-8").splitlines()[-1]


def test_a_training_that_diverges_is_stopped_and_says_which_weights_are_good(config_of, tmp_path):
    run = tmp_path / "run"
    steep = config_of("data.batch_size=8", "optim.peak_lr=1e3", "optim.warmup_steps=0")

    with pytest.raises(TrainingError) as caught:
        train(steep, run=run, device="cpu")

    message = str(caught.value)
    kept = run / "checkpoints" / "step-00000001"
    assert message.startswith("epoch 2: the training diverged: the mean loss is ")
    assert message.endswith(
        f"; lower optim.peak_lr (1000) and begin in another folder; epoch 1 is kept in {kept}"
    )
    assert load_checkpoint(kept).facts["step"] == 1
    assert status_of(run) == "failed"
    assert last_line(run) == f"stopped: {message}"


def test_where_the_dev_set_cannot_be_judged_the_weights_before_are_named(
    config_of, tmp_path, monkeypatch
):
    score, scored = DevSet.score, []

    def fail(self, network, *others):
        scored.append(network)
        if len(scored) == 2:
            network.ctc.output.bias.fill_(torch.nan)
        return score(self, network, *others)

    monkeypatch.setattr(DevSet, "score", fail)
    run = tmp_path / "run"

    with pytest.raises(TrainingError) as caught:
        train(config_of(epochs=3), run=run, device="cpu")

    kept = run / "checkpoints" / "step-00000004"
    assert str(caught.value).startswith("dev set: the network's output for ")
    assert str(caught.value).endswith(f"and train again; epoch 1 is kept in {kept}")
    assert list_checkpoints(run) == [kept]


@pytest.fixture
def own(tone_run, tmp_path):
    """A copy of the tones that a test may spoil: its recordings, and overrides that name it."""
    shutil.copytree(tone_run.recordings, tmp_path / "recordings")
    shutil.copy(tone_run.manifest, tmp_path / "tones.jsonl")
    chosen = f"data.train={(tmp_path / 'tones.jsonl').as_posix()}"
    return tmp_path / "recordings", (chosen, "data.cache_mb=0", "data.workers=2")


class Spoiler(Watcher):
    """Takes recordings away at a step."""

    def __init__(self, *paths, at):
        super().__init__()
        self.paths, self.when = paths, at

    def on_step(self, report):
        if report.step == self.when:
            for path in self.paths:
                path.rename(path.with_suffix(".gone"))


def test_a_recording_that_turns_unreadable_is_named_once_and_counted(config_of, own, tmp_path):
    recordings, chosen = own
    spoiler = Spoiler(recordings / "3-cad.wav", at=4)

    train(config_of(*chosen, epochs=4), run=tmp_path / "run", device="cpu", observer=spoiler)

    named = [message for message in spoiler.warnings if "3-cad" in message]
    assert len(named) == 1
    assert "3-cad left out: " in named[0]
    assert named[0].endswith("(1 unreadable so far, data.max_unreadable allows 10)")
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    skipped = [json.loads(line)["skipped"] for line in metrics]
    assert skipped[0] == 0
    assert skipped[2:] == [1, 1]


def test_more_unreadable_recordings_than_allowed_stop_the_run_before_they_change_it(
    config_of, own, tmp_path
):
    recordings, chosen = own
    config = config_of(*chosen, "data.max_unreadable=0", epochs=3)
    whole = train(config, run=tmp_path / "whole", device="cpu")
    audio, run = recordings / "3-cad.wav", tmp_path / "run"

    with pytest.raises(TrainingError) as caught:
        train(config, run=run, device="cpu", observer=Spoiler(audio, at=4))
    assert str(caught.value) == (
        f"recordings that turned unreadable while training ran: 1, data.max_unreadable allows 0; "
        f"the last: 3-cad: {audio}: no such file; correct the path (in a manifest it counts from "
        f"its folder); put them back, and go on with --resume"
    )
    assert last_line(run) == f"stopped: {caught.value}"
    audio.with_suffix(".gone").rename(audio)
    train(config, run=run, device="cpu", resume=True)

    assert (run / "model.safetensors").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loading_thread_that_dies_ends_the_run_with_its_reason_and_the_state_saved(
    config_of, tmp_path, monkeypatch, workers
):
    config = config_of(f"data.workers={workers}", "data.cache_mb=0", epochs=3)
    whole = train(config, run=tmp_path / "whole", device="cpu")
    load, calls = TrainingData.load_batch, []

    def break_down(self, plans):
        calls.append(plans)
        if len(calls) == 7:
            raise MemoryError("no room for the waveform")
        return load(self, plans)

    run, watcher = tmp_path / "run", Watcher()
    with monkeypatch.context() as patch:
        patch.setattr(TrainingData, "load_batch", break_down)
        with pytest.raises(TrainingError) as caught:
            train(config, run=run, device="cpu", observer=watcher)
    names = ", ".join(plan.id for plan in calls[6])
    assert str(caught.value) == (
        f"the batch of {names} could not be made: MemoryError: no room for the waveform; look at "
        f"these recordings, and go on with --resume"
    )
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "in break_down" in log  # a traceback
    assert watcher.steps == [1, 2, 3, 4, 5, 6]
    assert load_checkpoint(list_checkpoints(run)[-1]).facts["step"] == 6
    train(config, run=run, device="cpu", resume=True)

    assert (run / "model.safetensors").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_a_disk_that_fills_up_anywhere_ends_the_run_in_one_line_and_it_goes_on(
    ctcasr, tone_run, tmp_path, monkeypatch, seed
):
    sets = ("training.epochs=2", "training.checkpoint_minutes=0", f"seed={seed}")
    words = ("train", tone_run.config, "--device", "cpu", *(w for s in sets for w in ("--set", s)))
    calls, fsync = [], os.fsync

    def count(handle):
        calls.append(handle)
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", count)
        assert ctcasr(*words, "-o", tmp_path / "whole").status == 0
    last = random.Random(seed).randrange(len(calls))

    def fill_up(handle):
        calls.append(handle)
        if len(calls) > last:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        ended = ctcasr(*words, "-o", tmp_path / "run")
    assert ended.status == 2
    error = ended.err.splitlines()[-1]
    assert re.match(r"ctcasr: error: .*(cannot be written|No space left).*", error)
    assert "Traceback" not in ended.err
    for checkpoint in list_checkpoints(tmp_path / "run"):
        load_checkpoint(checkpoint)
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert ctcasr(*words, "-o", tmp_path / "run", "--resume").status == 0

    expected, found = (tmp_path / name / "model.safetensors" for name in ("whole", "run"))
    assert found.read_bytes() == expected.read_bytes()


def test_a_full_disk_is_said_where_it_was_met_first(config_of, tmp_path, monkeypatch):
    fsync = os.fsync
    is_full: list[bool] = []

    def write(handle):
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    def fill_up(*arguments, **settings):
        is_full.append(True)
        return save_checkpoint(*arguments, **settings)

    monkeypatch.setattr(os, "fsync", write)
    monkeypatch.setattr("ctcasr.training.loop.save_checkpoint", fill_up)
    run = tmp_path / "run"

    with pytest.raises(OutputError) as caught:
        train(config_of(), run=run, device="cpu")

    folder = run / "checkpoints" / "step-00000004"
    assert str(caught.value).startswith(f"{folder}: cannot be written (No space left on device); ")
