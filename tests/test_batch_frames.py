import itertools
import json
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.config import load_config
from ctcasr.device import free_bytes, peak_bytes
from ctcasr.errors import ConfigError, TrainingError
from ctcasr.pipeline.train import train
from ctcasr.training.batch_frames import find_batch_frames, most_frames
from ctcasr.training.checkpoint import list_checkpoints, load_checkpoint
from tests.test_loop import FRONTEND, Greedy, Watcher, make_trainer

CPU = torch.device("cpu")
TELLING = pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be counted anew")


@given(
    base=st.integers(0, 10**9),
    per_frame=st.integers(1, 10**6),
    budget=st.integers(10**6, 10**11),
    fewest=st.integers(100, 5_000),
    most=st.integers(100, 10**7),
)
def test_steps_fill_the_budget_and_none_exceeds_it_but_the_first(
    base, per_frame, budget, fewest, most
):
    tried = []

    def bytes_of(frames):
        tried.append(base + per_frame * max(frames, fewest))
        return tried[-1]

    frames, taken = find_batch_frames(bytes_of, budget=budget, fewest=fewest, most=most)

    assert 1 <= frames <= most
    assert taken == base + per_frame * max(frames, fewest)
    assert all(later <= budget for one, later in itertools.pairwise(tried) if one <= budget)
    if taken > budget:
        assert frames <= fewest
    else:
        assert 1.25 * taken >= budget or 1.25 * frames >= most


@given(room=st.integers(1, 10**6), most=st.integers(1, 10**7))
def test_a_step_without_memory_halves_the_batch(room, most):
    def bytes_of(frames):
        return None if frames > room else frames

    frames, _ = find_batch_frames(bytes_of, budget=10**12, fewest=1, most=most)

    assert min(most, room) / 2.2 <= frames <= min(most, room)


def test_a_single_utterance_without_memory_is_named():
    with pytest.raises(TrainingError, match=r"a batch of one utterance of 700 frames; leave long"):
        find_batch_frames(lambda frames: None, budget=1, fewest=700, most=10**6)


@pytest.mark.parametrize(("all_frames", "most"), [(10, 1_000), (250_000, 5_000)])
def test_an_epoch_keeps_fifty_steps_unless_there_is_too_little_for_that(all_frames, most):
    assert most_frames(all_frames) == most


def test_a_cpu_has_free_memory():
    assert 10**6 < (free_bytes(CPU) or 0) < 10**14


@TELLING
def test_a_larger_batch_needs_more_memory_and_no_step_is_taken(tone_items, tmp_path):
    many = [
        replace(item, utterance=replace(item.utterance, id=f"{item.utterance.id}-{number}"))
        for item in tone_items
        for number in range(100)
    ]
    trainer = make_trainer(tmp_path, many)
    trainer.data._batch_size = None
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}

    small, large = (
        trainer.bytes_of_step(trainer.data.fullest_batch(frames)) for frames in (100, 30_000)
    )

    assert large - small > 10**7
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_a_step_without_memory_has_no_size(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items)
    trainer.features = Greedy(FRONTEND)

    assert trainer.bytes_of_step(trainer.data.fullest_batch(1_000)) is None


def test_a_batch_is_as_full_as_it_may_be(tone_items, tmp_path):
    data = make_trainer(tmp_path, tone_items).data
    data._batch_size = None

    assert len(data.fullest_batch(1).ids) == 1
    assert len(data.fullest_batch(10**6).ids) == len(tone_items)


def test_what_was_found_is_said_written_down_and_repeated(tone_run, tmp_path, monkeypatch):
    config = load_config(tone_run.config, overrides=["training.epochs=2", "data.batch_frames=auto"])
    found = []

    def find(bytes_of, **limits):
        found.append(limits)
        return 120, bytes_of(120)

    monkeypatch.setattr("ctcasr.pipeline.train.find_batch_frames", find)
    watcher = Watcher()
    train(config, run=tmp_path / "auto", device="cpu", observer=watcher)
    train(
        load_config(tone_run.config, overrides=["training.epochs=2", "data.batch_frames=120"]),
        run=tmp_path / "fixed",
        device="cpu",
    )

    assert any(line.startswith("batches of up to 120 frames: ") for line in watcher.warnings)
    facts = json.loads((tmp_path / "auto/run.json").read_text(encoding="utf-8"))
    assert facts["batch_frames"] == 120
    one, other = (
        load_checkpoint(list_checkpoints(tmp_path / run)[-1]) for run in ("auto", "fixed")
    )
    for name, tensor in one.tensors("model.").items():
        assert torch.equal(tensor, other.tensors("model.")[name])

    (tmp_path / "auto/model.safetensors").unlink()
    train(config, run=tmp_path / "auto", device="cpu", resume=True)
    assert len(found) == 1
    facts = json.loads((tmp_path / "auto/run.json").read_text(encoding="utf-8"))
    assert facts["batch_frames"] == 120


def test_a_system_that_does_not_tell_its_memory_gets_the_default(tone_run, tmp_path, monkeypatch):
    monkeypatch.setattr("ctcasr.pipeline.train.free_bytes", lambda device: None)
    config = load_config(tone_run.config, overrides=["training.epochs=1", "data.batch_frames=auto"])

    train(config, run=tmp_path / "run", device="cpu")

    facts = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert facts["batch_frames"] == 1_000  # fewer than 6,000, for a set this small


@pytest.mark.parametrize("value", ["0", "2.5", "many", "[1]"])
def test_what_is_no_number_of_frames_is_refused(tone_run, value):
    with pytest.raises(ConfigError, match=r"batch_frames: give how many frames a batch may have"):
        load_config(tone_run.config, overrides=[f"data.batch_frames={value}"])


def test_a_peak_is_told_where_the_system_can(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")

    assert peak_bytes(CPU) is None
