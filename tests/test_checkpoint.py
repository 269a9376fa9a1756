import errno
import json
import os
from pathlib import Path

import pytest
import torch

import ctcasr.training.checkpoint as checkpoint_module
from ctcasr.errors import OutputError, RunFolderError
from ctcasr.training.checkpoint import (
    average_weights,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


def save(run, step, value=0.0):
    tensors = {
        "model.w": torch.full((3, 2), value),
        "model.b": torch.tensor([value, -value]),
        "optimizer.step.w": torch.tensor(7.0),
    }
    return save_checkpoint(run, step=step, tensors=tensors, facts={"progress": {"epoch": step}})


def steps_of(run):
    return [int(folder.name.removeprefix("step-")) for folder in list_checkpoints(run)]


def test_what_was_saved_is_loaded(tmp_path):
    save(tmp_path, 12, value=1.5)

    checkpoint, broken = latest_checkpoint(tmp_path)

    assert checkpoint is not None
    assert broken == []
    assert checkpoint.folder == tmp_path / "checkpoints" / "step-00000012"
    assert checkpoint.facts["step"] == 12
    assert checkpoint.facts["progress"] == {"epoch": 12}
    assert checkpoint.tensors("model.").keys() == {"w", "b"}
    assert checkpoint.tensors("optimizer.")["step.w"].item() == 7
    assert checkpoint.tensors("model.")["b"].tolist() == [1.5, -1.5]


def test_no_run_has_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path / "none") == (None, [])


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_newest_checkpoint_cut_short_anywhere_is_named_and_passed_over(tmp_path, name):
    save(tmp_path, 1)
    newest = save(tmp_path, 2).folder
    content = (newest / name).read_bytes()

    for size in {0, 1, 8, len(content) // 2, len(content) - 2}:
        (newest / name).write_bytes(content[:size])
        checkpoint, broken = latest_checkpoint(tmp_path)
        assert checkpoint is not None
        assert checkpoint.facts["step"] == 1
        assert len(broken) == 1
        assert broken[0].startswith(f"{newest}: ")
        assert broken[0].endswith("; it is passed over")
        assert "\n" not in broken[0]

    (newest / name).unlink()
    checkpoint, broken = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.facts["step"], len(broken)) == (1, 1)


def test_a_single_changed_bit_is_noticed(tmp_path):
    folder = save(tmp_path, 1).folder
    content = bytearray((folder / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "state.safetensors").write_bytes(content)

    with pytest.raises(RunFolderError) as caught:
        load_checkpoint(folder)

    assert str(caught.value) == f"{folder}: state.safetensors does not match its recorded SHA-256"


@pytest.mark.parametrize(("found", "changed"), [('"step": 1', '"step": 2'), ("0.5", "0.25")])
def test_a_changed_fact_is_noticed(tmp_path, found, changed):
    facts = {"progress": {"loss_sum": 0.5}}
    folder = save_checkpoint(tmp_path, step=1, tensors={}, facts=facts).folder
    content = (folder / "state.json").read_text(encoding="utf-8")
    (folder / "state.json").write_text(content.replace(found, changed), encoding="utf-8")

    with pytest.raises(RunFolderError, match=r"state\.json does not match its recorded SHA-256"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", ["[]", "1", "null", "{}", '{"sha256": 1}', "\x00", "[" * 9_999])
def test_facts_that_are_none_are_refused(tmp_path, content):
    folder = save(tmp_path, 1).folder
    (folder / "state.json").write_text(content, encoding="utf-8")

    with pytest.raises(RunFolderError, match=str(folder)):
        load_checkpoint(folder)


def test_where_no_checkpoint_is_whole_the_newest_is_named(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step).folder / "state.safetensors").write_bytes(b"short")

    with pytest.raises(RunFolderError) as caught:
        latest_checkpoint(tmp_path)

    newest = tmp_path / "checkpoints" / "step-00000002"
    assert str(caught.value) == (
        f"{tmp_path}: none of its 2 checkpoints is whole; the newest: {newest}: state.safetensors "
        f"does not match its recorded SHA-256; put one back, or begin in another folder"
    )


def test_a_checkpoint_of_another_format_is_refused_by_name(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_module, "_FORMAT", 2)
    newest = save(tmp_path, 2).folder
    monkeypatch.undo()

    with pytest.raises(RunFolderError) as caught:
        latest_checkpoint(tmp_path)

    assert str(caught.value) == (
        f"{newest}: checkpoint format 2, this release reads 1; go on with the release that wrote "
        f"it, or begin in another folder"
    )


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    save(tmp_path, 3, value=1.0)
    save(tmp_path, 3, value=2.0)

    checkpoint, broken = latest_checkpoint(tmp_path)

    assert checkpoint is not None
    assert broken == []
    assert checkpoint.tensors("model.")["b"].tolist() == [2, -2]


def test_a_checkpoint_that_cannot_be_written_leaves_those_before_it_whole(tmp_path):
    save(tmp_path, 1, value=1.0)
    (tmp_path / "checkpoints" / "step-00000002").touch()  # where a folder should be made

    with pytest.raises(OutputError, match="cannot be written"):
        save(tmp_path, 2)

    checkpoint, broken = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.facts["step"] == 1
    assert len(broken) == 1


def test_a_checkpoint_of_the_same_weights_is_whole_at_every_moment(tmp_path, monkeypatch):
    tensors = {"model.w": torch.ones(3)}
    folder = save_checkpoint(tmp_path, step=1, tensors=tensors, facts={"note": 1}).folder
    replace, seen = Path.replace, []

    def look(path, target):
        seen.append(load_checkpoint(folder).facts["note"])
        replace(path, target)
        seen.append(load_checkpoint(folder).facts["note"])

    monkeypatch.setattr(Path, "replace", look)
    save_checkpoint(tmp_path, step=1, tensors=tensors, facts={"note": 2})

    assert seen == [1, 2]


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_the_checkpoints_before_it_and_no_litter(tmp_path, monkeypatch, written):
    first = save(tmp_path, 1).folder
    calls, fsync = [], os.fsync

    def fill_up(handle):
        calls.append(handle)
        if len(calls) > written:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        with pytest.raises(OutputError) as caught:
            save(tmp_path, 2)

    assert str(caught.value) == (
        f"{tmp_path / 'checkpoints' / 'step-00000002'}: cannot be written (No space left on "
        f"device); the checkpoints before it are whole; free some space, and go on with --resume"
    )
    assert list((tmp_path / "checkpoints").iterdir()) == [first]
    assert load_checkpoint(first).facts["step"] == 1


def test_facts_are_readable_json(tmp_path):
    facts = json.loads((save(tmp_path, 5).folder / "state.json").read_text(encoding="utf-8"))

    assert list(facts) == sorted(facts)
    assert len(facts["sha256"]) == len(facts["tensors_sha256"]) == 64


def test_pruning_keeps_what_it_is_told_and_nothing_of_other_names(tmp_path):
    for step in (1, 20, 300, 4_000):
        save(tmp_path, step)
    stranger = tmp_path / "checkpoints" / "step-00000020 (copy)"
    stranger.mkdir()

    prune_checkpoints(tmp_path, keep={20, 4_000, 77})

    assert steps_of(tmp_path) == [20, 4_000]
    assert stranger.is_dir()


def test_weights_are_averaged_in_double_precision(tmp_path):
    # In float32, 1e8 swallows every 1 that is added to it.
    values = [1e8, 1.0, 1.0, 1.0, 1.0, -1e8]
    checkpoints = [save(tmp_path, step, value) for step, value in enumerate(values)]

    mean = average_weights(checkpoints)

    assert mean.keys() == {"w", "b"}
    assert mean["w"].dtype == torch.float32
    assert mean["b"].tolist() == pytest.approx([4 / 6, -4 / 6])


def test_the_average_of_one_is_itself(tmp_path):
    weights = {"model.w": torch.randn(50)}
    checkpoint = save_checkpoint(tmp_path, step=1, tensors=weights, facts={})

    assert torch.equal(average_weights([checkpoint])["w"], weights["model.w"])


def test_a_checkpoint_that_vanished_before_averaging_is_named(tmp_path):
    checkpoint = save(tmp_path, 1)
    (checkpoint.folder / "state.safetensors").write_bytes(b"short")

    with pytest.raises(RunFolderError, match=r"step-00000001: cannot be read \("):
        average_weights([checkpoint])
