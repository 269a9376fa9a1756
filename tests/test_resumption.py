"""Going on with a run: from what it may, from what it must not, and what is said about it."""

import dataclasses
import json
import shutil
import signal
from contextlib import suppress

import pytest
import torch

from ctcasr.alphabet import build_alphabet
from ctcasr.config import load_config
from ctcasr.errors import RunFolderError
from ctcasr.model_file import read_model
from ctcasr.pipeline.resumption import describe_new_setting, describe_run, require_same_run
from ctcasr.pipeline.train import SilentObserver, train
from ctcasr.training.checkpoint import Checkpoint, list_checkpoints, load_checkpoint
from ctcasr.training.computing import Computing
from ctcasr.training.dev_set import DevSet
from ctcasr.training.interruption import Interrupted
from ctcasr.training.loop import TrainingConfig, loss_device

FP32 = Computing(bf16=False, threads=1)
CPU = torch.device("cpu")


class Stopper(SilentObserver):
    """Stops the run by a signal at a step; keeps warnings."""

    def __init__(self, at=None):
        self.at, self.steps, self.warnings = at, [], []

    def on_step(self, report):
        self.steps.append(report.step)
        if report.step == self.at:
            signal.raise_signal(signal.SIGTERM)

    def on_warning(self, message):
        self.warnings.append(message)


@pytest.fixture
def config_of(tone_run):
    """Return a function that gives the tones' configuration for three epochs of four steps."""

    def make(*overrides):
        usual = ("training.epochs=3", "training.average=2", "training.checkpoint_minutes=0")
        return load_config(tone_run.config, overrides=[*usual, *overrides])

    return make


@pytest.fixture
def stopped(config_of, tmp_path):
    """A run that was stopped at its seventh step, with checkpoints of steps 4, 6 and 7."""
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(config_of(), run=run, device="cpu", observer=Stopper(at=7))
    assert [load_checkpoint(folder).facts["step"] for folder in list_checkpoints(run)] == [4, 6, 7]
    return run


@pytest.fixture
def whole(config_of, tmp_path):
    """The model of the same run, had it never stopped."""
    return train(config_of(), run=tmp_path / "whole", device="cpu").read_bytes()


@pytest.mark.parametrize(
    ("override", "steps"),
    [
        ("training.keep_checkpoints=1", [4, 7]),
        ("training.keep_checkpoints=3", [4, 5, 6, 7]),
        ("training.checkpoint_minutes=10", [4, 7]),
    ],
)
def test_checkpoints_within_an_epoch_are_as_many_as_asked_for(config_of, tmp_path, override, steps):
    with pytest.raises(Interrupted):
        train(config_of(override), run=tmp_path, device="cpu", observer=Stopper(at=7))

    found = [load_checkpoint(folder).facts["step"] for folder in list_checkpoints(tmp_path)]
    assert found == steps


def test_the_checkpoint_of_the_last_whole_epoch_is_kept_though_another_is_averaged(
    config_of, tmp_path, monkeypatch
):
    score, errors = DevSet.score, iter([0.1, 0.9, 0.5])

    def judge(self, *arguments):
        return dataclasses.replace(score(self, *arguments), dev_cer=next(errors))

    monkeypatch.setattr(DevSet, "score", judge)
    best = ("training.average_of=best", "training.average=1", "training.keep_checkpoints=1")
    with pytest.raises(Interrupted):
        train(config_of(*best), run=tmp_path, device="cpu", observer=Stopper(at=10))

    found = [load_checkpoint(folder).facts["step"] for folder in list_checkpoints(tmp_path)]
    assert found == [4, 8, 10]


def log_of(run):
    return (run / "log.txt").read_text(encoding="utf-8")


# Damaged checkpoints


def damage(checkpoint):
    content = bytearray((checkpoint / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (checkpoint / "state.safetensors").write_bytes(content)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    ctcasr, tone_run, config_of, stopped, whole
):
    newest = list_checkpoints(stopped)[-1]
    damage(newest)
    line = f"{newest}: state.safetensors does not match its recorded SHA-256; it is passed over"
    sets = [f"training.{key}" for key in ("epochs=3", "average=2", "checkpoint_minutes=0")]

    ended = ctcasr(
        *("train", tone_run.config, "-o", stopped, "--resume", "--device", "cpu"),
        *(word for key in sets for word in ("--set", key)),
    )

    assert ended.status == 0
    assert f"note: {line}\n" in ended.err
    assert log_of(stopped).count(line) == 1
    assert (stopped / "model.safetensors").read_bytes() == whole


def test_a_damaged_checkpoint_takes_no_place_among_those_kept(config_of, stopped):
    for checkpoint in list_checkpoints(stopped)[1:]:
        damage(checkpoint)
    config = config_of("training.keep_checkpoints=1")

    with pytest.raises(Interrupted):
        train(config, run=stopped, device="cpu", resume=True, observer=Stopper(at=5))

    found = [load_checkpoint(folder).facts["step"] for folder in list_checkpoints(stopped)]
    assert found == [4, 5]


def test_where_all_checkpoints_are_damaged_the_run_is_refused_in_one_line(config_of, stopped):
    for checkpoint in list_checkpoints(stopped):
        damage(checkpoint)
    before = log_of(stopped)

    with pytest.raises(RunFolderError, match="none of its 3 checkpoints is whole") as caught:
        train(config_of(), run=stopped, device="cpu", resume=True)

    assert "\n" not in str(caught.value)
    assert log_of(stopped) == before


# Another run's checkpoints


def test_a_checkpoint_of_another_configuration_is_refused_by_its_keys(config_of, stopped, tmp_path):
    other = tmp_path / "other"
    with pytest.raises(Interrupted):
        train(config_of("optim.peak_lr=0.03"), run=other, device="cpu", observer=Stopper(at=1))
    shutil.rmtree(stopped / "checkpoints")
    shutil.copytree(other / "checkpoints", stopped / "checkpoints")

    with pytest.raises(RunFolderError) as caught:
        train(config_of(), run=stopped, device="cpu", resume=True)

    newest = stopped / "checkpoints" / "step-00000001"
    assert str(caught.value) == (
        f"{newest}: of another run, since these keys differ: optim.peak_lr (0.03 -> 0.02); set "
        f"them back, or begin in another folder"
    )


def test_a_checkpoint_of_another_alphabet_is_refused_by_its_labels(config_of, tmp_path):
    config = config_of()
    before = describe_run(config, build_alphabet(["abé"]), CPU, FP32)
    now = describe_run(config, build_alphabet(["abcdefgh"]), CPU, FP32)
    checkpoint = Checkpoint(tmp_path, {"run": before})

    require_same_run(checkpoint, before)
    with pytest.raises(RunFolderError) as caught:
        require_same_run(checkpoint, now)

    assert str(caught.value) == (
        f"{tmp_path}: of another alphabet (4 labels, 9 now; gone: 'é'; new: 'c', 'd', 'e', 'f', "
        f"'g', ...); take the texts that it learned from, or begin in another folder"
    )


def test_another_setting_is_said_and_does_not_stop_the_run(config_of, stopped):
    observer = Stopper()

    train(
        config_of("training.threads=2"),
        run=stopped,
        device="cpu",
        resume=True,
        observer=observer,
    )

    assert torch.get_num_threads() == 1
    (note,) = observer.warnings
    assert note == (
        "threads 1 before, 2 now: the run goes on, but its last bits may differ from those of one "
        "that never stopped"
    )
    assert note in log_of(stopped)


def test_an_equal_setting_is_not_worth_a_line(config_of, tmp_path):
    now = describe_run(config_of(), build_alphabet(["ab"]), CPU, FP32)

    assert describe_new_setting(Checkpoint(tmp_path, {"run": now}), now) == []


def test_search_settings_may_change_and_reach_the_model(config_of, stopped, whole, tmp_path):
    config = config_of("decode.beam=7", "score.rules=[lowercase]")

    model = train(config, run=stopped, device="cpu", resume=True)

    content = read_model(model)
    assert content.header["config"]["decode"]["beam"] == 7
    (tmp_path / "whole.safetensors").write_bytes(whole)
    expected = read_model(tmp_path / "whole.safetensors").tensors
    assert all(torch.equal(tensor, expected[name]) for name, tensor in content.tensors.items())


# Recordings that came or went


@pytest.fixture
def own(tone_run, tmp_path):
    """A copy of the tones that a test may spoil: its recordings, and overrides that name it."""
    shutil.copytree(tone_run.recordings, tmp_path / "recordings")
    shutil.copy(tone_run.manifest, tmp_path / "tones.jsonl")
    chosen = [f"data.{key}={(tmp_path / 'tones.jsonl').as_posix()}" for key in ("train", "dev")]
    return tmp_path / "recordings", chosen


def test_recordings_that_can_be_used_no_longer_are_named_when_the_run_goes_on(
    config_of, own, tmp_path
):
    recordings, chosen = own
    with pytest.raises(Interrupted):
        train(config_of(*chosen), run=tmp_path / "run", device="cpu", observer=Stopper(at=3))
    (recordings / "3-cad.wav").unlink()
    config, observer = config_of(*chosen, "data.max_unreadable=2"), Stopper()
    strict = config_of(*chosen, "data.max_unreadable=1")

    with pytest.raises(RunFolderError) as caught:
        train(strict, run=tmp_path / "run", device="cpu", resume=True)
    assert "cannot go on, since 2 utterances can be used no longer" in str(caught.value)
    assert "data.max_unreadable allows 1; the first: " in str(caught.value)
    train(config, run=tmp_path / "run", device="cpu", resume=True, observer=observer)

    note = "3-cad can be used no longer, 3-cad can be used no longer: the run goes on, but not as"
    assert sum(warning.startswith(note) for warning in observer.warnings) == 1
    assert log_of(tmp_path / "run").count(note) == 1


# Ends


def test_run_json_says_when_a_run_began_and_each_time_it_went_on(config_of, stopped):
    def facts():
        return json.loads((stopped / "run.json").read_text(encoding="utf-8"))

    began = facts()["started"]
    assert "resumed" not in facts()
    for at in (8, None):
        with suppress(Interrupted):
            train(config_of(), run=stopped, device="cpu", resume=True, observer=Stopper(at=at))

    assert facts()["started"] == began
    assert len(facts()["resumed"]) == 2
    assert facts()["status"] == "finished"


def test_going_on_with_a_finished_run_changes_nothing(config_of, tmp_path):
    run = tmp_path / "run"
    train(config_of(), run=run, device="cpu")
    names = ("model.safetensors", "log.txt", "metrics.jsonl", "skipped.jsonl", "config.yaml")
    before = {name: (run / name).read_bytes() for name in names}
    observer = Stopper()

    train(config_of(), run=run, device="cpu", resume=True, observer=observer)

    assert observer.steps == []
    assert {name: (run / name).read_bytes() for name in names} == before


def test_a_finished_model_whose_checkpoints_are_gone_is_not_trained_anew(config_of, tmp_path):
    run = tmp_path / "run"
    model = train(config_of(), run=run, device="cpu")
    before = model.read_bytes()
    shutil.rmtree(run / "checkpoints")

    with pytest.raises(RunFolderError) as caught:
        train(config_of(), run=run, device="cpu", resume=True)

    assert str(caught.value) == (
        f"{run}: holds a finished model, and no checkpoint to go on from; name another folder"
    )
    assert model.read_bytes() == before


def test_an_empty_folder_is_begun_afresh(config_of, tmp_path, whole):
    (tmp_path / "run").mkdir()

    model = train(config_of(), run=tmp_path / "run", device="cpu", resume=True)

    assert model.read_bytes() == whole


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_stop_while_the_dev_set_is_scored_ends_the_run_after_it(
    config_of, tmp_path, monkeypatch, whole, epoch
):
    score, scored = DevSet.score, []

    def interrupt(self, *arguments):
        scored.append(self)
        if len(scored) == epoch:
            signal.raise_signal(signal.SIGINT)
        return score(self, *arguments)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(DevSet, "score", interrupt)
        with pytest.raises(Interrupted):
            train(config_of(), run=run, device="cpu")
    assert len(scored) == epoch
    assert load_checkpoint(list_checkpoints(run)[-1]).facts["step"] == 4 * epoch
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "interrupted"

    model = train(config_of(), run=run, device="cpu", resume=True)

    assert model.read_bytes() == whole
    assert len(log_of(run).splitlines()) == 3


def test_a_warm_start_is_not_repeated(config_of, tone_run, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(tone_run.folder, first)
    config = config_of(f"training.init_from={first}")
    whole = train(config, run=tmp_path / "whole", device="cpu")
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(config, run=run, device="cpu", observer=Stopper(at=5))
    shutil.rmtree(first)

    model = train(config, run=run, device="cpu", resume=True)

    assert model.read_bytes() == whole.read_bytes()
    assert log_of(run).count("started from") == 1


# On a GPU


def test_where_the_loss_is_computed():
    gpu = torch.device("cuda")

    assert loss_device(TrainingConfig(deterministic=True), gpu) == CPU
    assert loss_device(TrainingConfig(), gpu) == gpu
    assert loss_device(TrainingConfig(), CPU) == CPU
    assert loss_device(TrainingConfig(deterministic=True), CPU) == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_deterministic_run_on_a_gpu_goes_on_as_if_it_never_stopped(config_of, tmp_path):
    config, watcher = config_of("training.deterministic=true"), Stopper()
    try:
        whole = train(config, run=tmp_path / "whole", device="cuda", observer=watcher)
        with pytest.raises(Interrupted):
            train(config, run=tmp_path / "run", device="cuda", observer=Stopper(at=7))
        model = train(config, run=tmp_path / "run", device="cuda", resume=True)
    finally:
        torch.use_deterministic_algorithms(False)

    assert model.read_bytes() == whole.read_bytes()
    assert sum("CTC loss is computed on the CPU" in line for line in watcher.warnings) == 1
    assert log_of(tmp_path / "run").count("CTC loss is computed on the CPU") == 1


def test_a_checkpoint_of_other_labels_of_whole_recordings_is_refused(config_of, tmp_path):
    alphabet = build_alphabet(["ab"])
    before = describe_run(config_of(), alphabet, CPU, FP32, classes=("ann", "bob"))
    now = describe_run(config_of(), alphabet, CPU, FP32, classes=("ann", "cy"))

    with pytest.raises(RunFolderError) as caught:
        require_same_run(Checkpoint(tmp_path, {"run": before}), now)

    assert str(caught.value) == (
        f"{tmp_path}: of another set of labels of whole recordings (2 labels, 2 now; gone: 'bob'; "
        f"new: 'cy'); take the manifest that it learned from, or begin in another folder"
    )


def test_a_checkpoint_of_a_release_without_such_labels_is_gone_on_from(config_of, tmp_path):
    now = describe_run(config_of(), build_alphabet(["ab"]), CPU, FP32)
    before = {key: value for key, value in now.items() if key != "classes"}

    require_same_run(Checkpoint(tmp_path, {"run": before}), now)
