"""Several processes that train, by the real command: gloo, two to four of them, tiny networks."""

import itertools
import json
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ctcasr.batching import Batch
from ctcasr.device import pick_device
from ctcasr.distributed import ALONE, World, is_first_process, join_world
from ctcasr.errors import ConfigError
from ctcasr.training.checkpoint import list_checkpoints, load_checkpoint
from tests.conftest import TONE_TEXTS, record_tones
from tests.processes import Mishap, run_together

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")

CPU = torch.device("cpu")
NAMES = {f"{number}-{text}" for number, text in enumerate(TONE_TEXTS)}
CONFIG = """
data: {{train: {root}/tones.jsonl, dev: {root}/tones.jsonl, batch_size: 3, workers: 1}}
frontend: {{sample_rate: 8000, num_mels: 20}}
augment: {{speed: [0.9, 1.1], noise_probability: 0.5, join_items: 2}}
encoder: {{layers: 1, hidden: 8, stride: 2, dropout: 0.0}}
heads: {{utterance: {{field: speaker, weight: 0.5}}}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training: {{epochs: 2, average: 2, precision: fp32, checkpoint_minutes: 1000}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with recordings, their manifest, and tones.yaml: three utterances in a batch."""
    folder = tmp_path_factory.mktemp("tones")
    record_tones(folder)
    text = CONFIG.format(root=folder.as_posix())
    (folder / "tones.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def train(root, tmp_path):
    """Return a function that trains in several processes, into tmp_path/run."""

    def train(size, *options, run="run", **others):
        words = ("train", root / "tones.yaml", "-o", tmp_path / run, "--device", "cpu", *options)
        return run_together(size, *words, aside=tmp_path / f"{run}-aside", **others)

    return train


@pytest.fixture(scope="module")
def gradients_of_one(root, tmp_path_factory):
    """What the first step of one process computes, in float64."""
    folder = tmp_path_factory.mktemp("one")
    words = ("train", root / "tones.yaml", "-o", folder / "run", "--device", "cpu")
    (ended,) = run_together(1, *words, "--set", "training.epochs=1", aside=folder, wide=True)
    assert ended.status == 0, ended.err
    return load_file(folder / "process-0" / "gradients.safetensors")


def seen(ended):
    """The utterances of each epoch, whichever process took them."""
    epochs: dict[int, Counter] = {}
    for epoch, ids in itertools.chain.from_iterable(one.taken for one in ended):
        epochs.setdefault(epoch, Counter()).update(ids)
    return epochs


# What is shared


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_every_item_is_in_one_share(items, size):
    shares = [World(rank, size).share_of(items) for rank in range(size)]

    assert Counter(itertools.chain.from_iterable(shares)) == Counter(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(0, 7), st.integers(1, 5))
def test_the_parts_of_a_batch_hold_each_utterance_once(count, parts):
    numbers = torch.arange(count)
    rows = numbers[:, None]
    names = tuple(map(str, range(count)))

    split = Batch(names, rows, numbers, rows, numbers).split(parts)

    assert all(part.ids for part in split)
    assert len(split) == min(count, parts)
    assert sorted(itertools.chain.from_iterable(part.ids for part in split)) == sorted(names)
    for part in split:
        expected = [int(name) for name in part.ids]
        for tensor in (part.signals[:, 0], part.lengths, part.labels[:, 0], part.label_lengths):
            assert tensor.tolist() == expected


def test_alone_there_is_nobody_to_ask():
    weights = torch.nn.Parameter(torch.zeros(2))
    ALONE.sum_gradients([weights])
    ALONE.copy_from_first([weights])

    with join_world(CPU) as world:
        assert world is ALONE
    assert ALONE.is_first
    assert is_first_process()
    assert (ALONE.gather("a"), ALONE.sum(3), ALONE.largest(-1)) == (["a"], 3, -1)
    assert ALONE.from_first(lambda: 7) == 7
    assert weights.grad is None
    with pytest.raises(ZeroDivisionError), ALONE.agreed():
        1 / 0  # noqa: B018


def test_two_processes_cannot_have_one_gpu(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for count in (1, 2):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        if count == 2:
            assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
            continue
        with pytest.raises(ConfigError, match="one GPU for each of 2 processes"):
            pick_device("auto")


# Training


@pytest.mark.parametrize(("size", "parts"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_processes_and_parts_have_the_gradient_of_one(
    gradients_of_one, train, tmp_path, size, parts
):
    options = ("--set", "training.epochs=1", "--set", f"training.accumulate={parts}")
    ended = train(size, *options, wide=True)

    assert [one.status for one in ended] == [0] * size, ended
    for rank in range(size):
        found = load_file(tmp_path / f"run-aside/process-{rank}/gradients.safetensors")
        assert found.keys() == gradients_of_one.keys()
        for name, gradient in gradients_of_one.items():
            assert gradient.dtype is torch.float64
            np.testing.assert_allclose(found[name], gradient, rtol=1e-9, atol=1e-12)


def test_a_run_of_several_processes_leaves_what_one_leaves(train, tmp_path):
    (one,) = train(1, run="one")
    ended = train(3, run="three")

    assert [process.status for process in (one, *ended)] == [0, 0, 0, 0], ended
    assert [process.err for process in ended[1:]] == ["", ""]
    assert "model: " in ended[0].err
    assert seen(ended) == {0: Counter(NAMES), 1: Counter(NAMES)}
    assert any(not ids for process in ended for _, ids in process.taken)  # who had nothing to do
    names, metrics, weights = zip(
        *(left_by(tmp_path / run) for run in ("one", "three")), strict=True
    )
    assert names[0] == names[1]
    for mine, others in zip(*metrics, strict=True):
        assert mine == pytest.approx(others, rel=1e-4)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0.02, atol=1e-3)


def left_by(run):
    """Names of files, metrics without clocks, weights of the last checkpoint."""
    names = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    keys = ("epoch", "step", "loss", "grad_norm", "dev_loss", "dev_cer", "padding", "skipped")
    metrics = [{key: json.loads(line)[key] for key in keys} for line in lines]
    for record in metrics:
        del record["padding"]  # each process pads its own share
    return names, metrics, load_checkpoint(list_checkpoints(run)[-1]).tensors("model.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_process_stops_all_and_any_number_goes_on(train, tmp_path, number):
    ended = train(2, mishap=Mishap(1, 2, number))

    assert [one.status for one in ended] == [128 + number] * 2, ended
    assert f"interrupted by {number.name}; state saved" in ended[0].err
    assert ended[1].err == ""
    assert [folder.name for folder in list_checkpoints(tmp_path / "run")] == ["step-00000002"]

    resumed = train(3, "--resume")

    assert [one.status for one in resumed] == [0, 0, 0], resumed
    assert "processes 2 before, 3 now" in resumed[0].err
    assert seen([*ended, *resumed]) == {0: Counter(NAMES), 1: Counter(NAMES)}


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all_and_is_told_once(train, tmp_path, rank):
    ended = train(2, mishap=Mishap(rank, 2, "error"))

    assert [one.status for one in ended] == [2, 2]
    assert ended[0].err.count("ctcasr: error: no luck today; try again tomorrow") == 1
    assert ended[1].err == ""
    facts = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert (facts["status"], facts["reason"]) == ("failed", "no luck today; try again tomorrow")


def test_a_bug_in_another_process_is_told_with_its_traceback(train, tmp_path):
    ended = train(2, mishap=Mishap(1, 2, "bug"))

    assert [one.status for one in ended] == [1, 1]
    assert "in process 1:" in ended[0].err
    assert "ValueError: nobody thought of this" in ended[0].err
    assert ended[1].err == ""


def test_a_process_that_is_killed_ends_the_others_with_a_checkpoint(train, tmp_path):
    ended = train(2, mishap=Mishap(1, 3, signal.SIGKILL))

    assert [one.status for one in ended] == [2, -signal.SIGKILL]
    assert "another process of the run is gone" in ended[0].err
    assert [folder.name for folder in list_checkpoints(tmp_path / "run")] == ["step-00000002"]


@pytest.mark.parametrize(("limit", "status"), [(1, 0), (0, 2)])
def test_a_recording_that_turns_unreadable_is_named_once_whoever_wanted_it(
    train, root, tmp_path, limit, status
):
    name = min(NAMES)
    recording = root / "recordings" / f"{name}.wav"
    content = recording.read_bytes()
    settings = [f"data.max_unreadable={limit}", "data.cache_mb=0", "augment.join_items=1"]
    options = itertools.chain.from_iterable(("--set", setting) for setting in settings)
    try:
        ended = train(2, *options, mishap=Mishap(1, 2, recording))
    finally:
        recording.write_bytes(content)

    assert [one.status for one in ended] == [status, status], ended
    assert ended[0].err.count(f"{name} left out" if limit else f"the last: {name}") == 1
    assert ended[1].err == ""
    if limit:
        assert seen(ended)[1] == Counter(NAMES - {name})
    assert list_checkpoints(tmp_path / "run")


# Evaluating and transcribing


def test_several_processes_write_the_evaluation_of_one(tone_run, tmp_path):
    results = []
    for size in (1, 3):
        out = tmp_path / f"out-{size}"
        words = ("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", out, "--beam", "4")
        ended = run_together(size, *words, aside=tmp_path / f"aside-{size}")
        assert [one.status for one in ended] == [0] * size, ended
        assert [one.out + one.err for one in ended[1:]] == [""] * (size - 1)
        found = json.loads((out / "results.json").read_text(encoding="utf-8"))
        lines = (out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
        results.append((found, [json.loads(line)["id"] for line in lines], ended[0].out))

    (one, ids, table), (three, other_ids, other_table) = results
    assert (ids, table) == (other_ids, other_table)
    for key in ("raw", "normalised", "items"):
        assert one[key] == three[key]
    for mine, others in zip(one["utterances"], three["utterances"], strict=True):
        assert mine.pop("measured", {}).keys() == others.pop("measured", {}).keys()
        assert mine["hyp"] == others["hyp"]


def test_several_processes_print_transcripts_in_the_order_of_inputs(tone_run, tmp_path):
    names = [*sorted(tone_run.texts, reverse=True), "missing"]
    files = [tone_run.recordings / f"{name}.wav" for name in names]

    ended = run_together(3, "transcribe", "-m", tone_run.folder, *files, aside=tmp_path)

    assert [one.status for one in ended] == [3, 3, 3], ended
    assert ended[0].out.splitlines() == [*(tone_run.texts[name] for name in names[:-1]), ""]
    assert ended[0].err.count("failed: ") == 1
    assert "9 recordings, 1 failed" in ended[0].err
    assert [one.out + one.err for one in ended[1:]] == ["", ""]


def test_what_several_processes_cannot_have_is_said_once(tone_run, tmp_path):
    manifest = tone_run.manifest
    for words, message in (
        (("transcribe", "-m", tone_run.folder, "-"), "several processes cannot share standard"),
        (("transcribe", "-m", tmp_path / "none", manifest), "none"),
        (("evaluate", "-m", tone_run.folder, tmp_path / "no.jsonl", "-o", tmp_path), "no.jsonl"),
    ):
        ended = run_together(2, *words, aside=tmp_path / "aside")

        assert ended[0].status == 2
        assert ended[0].err.count("error") == 1
        assert message in ended[0].err
        assert ended[1].err == ""


@pytest.mark.slow
def test_a_signal_to_torchrun_ends_its_processes_with_their_state_saved(root, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["-m", "ctcasr", "train", str(root / "tones.yaml"), "-o", str(tmp_path / "run")]
    command += ["--device", "cpu", "--set", "training.epochs=100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        said = ""
        while "epoch 2/" not in said:
            said += process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()

    assert said.count("interrupted by SIGTERM; state saved, go on with: torchrun") == 1
    assert list_checkpoints(tmp_path / "run")
    facts = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert facts["status"] == "interrupted"
    assert facts["command"].startswith("torchrun --nproc-per-node 2 -m ctcasr train ")


@pytest.mark.parametrize("words", [("lm", "train", "texts.txt", "-o", "words.arpa"), ("tune",)])
def test_a_command_that_shares_no_work_is_refused_once(tmp_path, words):
    first, second = run_together(2, *words, aside=tmp_path)

    assert (first.status, second.status) == (2, 2)
    assert first.err == (
        f"ctcasr: error: ctcasr {words[0]} works in one process, and torchrun has started 2, which "
        f"would each do all of it; start it without torchrun, which is for train, transcribe and "
        f"evaluate\n"
    )
    assert second.err == ""


def test_an_epoch_of_a_large_manifest_is_seen_once_by_all_together(train, root, tmp_path):
    lines = [json.loads(line) for line in (root / "tones.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        line["audio"] = str(root / line["audio"])
        line["duration"] = soundfile.info(line["audio"]).duration
    bad = {**lines[0], "id": "foreign", "text": "xyz"}
    large = tmp_path / "large.jsonl"
    large.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, bad]), encoding="utf-8")
    keys = (f"data.train={large}", "data.max_checked=0", 'text.alphabet=[" ", a, b, c, d]')

    ended = train(2, *(word for key in keys for word in ("--set", key)))

    assert [one.status for one in ended] == [0, 0], ended[0].err
    assert seen(ended) == {epoch: Counter(dict.fromkeys(NAMES, 1)) for epoch in (0, 1)}
    skipped = (tmp_path / "run" / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in skipped] == ["foreign"]
