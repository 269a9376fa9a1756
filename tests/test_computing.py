import json
from dataclasses import asdict

import pytest
import torch

from ctcasr.config import load_config
from ctcasr.pipeline.train import train
from ctcasr.training.checkpoint import list_checkpoints, load_checkpoint
from ctcasr.training.computing import Computing, Precision, candidates, choose, measure, recall
from tests.test_loop import Watcher, make_trainer

CPU = torch.device("cpu")
FAST, SLOW = Computing(bf16=True, threads=4), Computing(bf16=False, threads=2)


@pytest.fixture
def four_threads(monkeypatch):
    """A processor with bf16 instructions, of whose cores torch would take four."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.mark.parametrize(
    ("precision", "threads", "expected"),
    [
        ("auto", None, ["bf16 with 4 threads", "fp32 with 4 threads"]),
        ("fp32", None, ["fp32 with 4 threads"]),
        ("auto", 1, ["bf16 with 1 thread", "fp32 with 1 thread"]),
        ("bf16", 3, ["bf16 with 3 threads"]),
    ],
)
def test_what_is_asked_for_is_no_candidate_among_others(four_threads, precision, threads, expected):
    halves = [one.replace("4", "2") for one in expected if threads is None]

    found = candidates(Precision(precision), threads, CPU)

    assert [str(one) for one in found] == [*expected, *halves]


def test_one_thread_and_no_bf16_leave_nothing_to_time(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    assert candidates(Precision.AUTO, None, CPU) == [Computing(bf16=False, threads=1)]


@pytest.mark.parametrize(
    ("seconds", "expected"), [((1.0, 0.8), SLOW), ((1.0, 0.9), FAST), ((1.0, 1.0), FAST)]
)
def test_the_first_stays_unless_another_is_clearly_faster(seconds, expected):
    times = dict(zip((FAST, SLOW), seconds, strict=True))

    assert choose(times) == expected
    chosen, why = measure([FAST, SLOW], times.__getitem__)
    assert chosen == expected
    assert f"computing in {expected}, by the time of a step (bf16 with 4 threads: 1000 ms" in why


def test_work_that_ends_meanwhile_does_not_decide():
    timed = []

    def seconds_of(one: Computing) -> float:
        timed.append(one)
        return 1.0 if len(timed) > 4 else 1.4  # somebody reads ahead for four steps

    chosen, why = measure([FAST, SLOW], seconds_of)

    assert chosen == FAST
    assert "bf16 with 4 threads: 1000 ms, fp32 with 2 threads: 1000 ms" in why


def test_what_is_far_behind_is_timed_once_and_warmed_up_once():
    timed = []

    def seconds_of(one: Computing) -> float:
        timed.append(one)
        return 1.0 if one == FAST else 2.0

    assert measure([FAST, SLOW], seconds_of)[0] == FAST
    assert timed.count(SLOW) == 2 < timed.count(FAST)


@pytest.mark.parametrize(
    ("precision", "threads", "known", "expected"),
    [
        ("auto", None, SLOW, SLOW),
        ("auto", None, Computing(bf16=True, threads=8), FAST),  # of a larger machine
        ("bf16", 3, SLOW, Computing(bf16=True, threads=3)),
    ],
)
def test_what_was_chosen_is_recalled_unless_another_is_asked_for(
    four_threads, precision, threads, known, expected
):
    assert recall(asdict(known), Precision(precision), threads, CPU) == expected


def test_timing_leaves_weights_and_gradients_alone(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    batch = next(iter(trainer.data.epoch(0)))

    seconds = trainer.seconds_of_step(batch, Computing(bf16=True, threads=1))

    assert seconds > 0
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


def test_a_run_says_what_it_chose_and_one_that_goes_on_repeats_it(tone_run, tmp_path, monkeypatch):
    slow_first = {Computing(bf16=False, threads=1): 1.0, Computing(bf16=False, threads=2): 9.0}
    timed = []

    def measured(found, seconds_of):
        timed.append([seconds_of(one) for one in found])
        return measure(list(slow_first)[::-1], slow_first.__getitem__)

    monkeypatch.setattr("ctcasr.pipeline.train.measure", measured)
    monkeypatch.setattr("ctcasr.pipeline.train.candidates", lambda *_: list(slow_first)[::-1])
    config = load_config(tone_run.config, overrides=["training.epochs=2"])
    plain = load_config(tone_run.config, overrides=["training.epochs=2", "training.threads=1"])
    watcher = Watcher()

    train(config, run=tmp_path / "timed", device="cpu", observer=watcher)
    monkeypatch.undo()
    train(plain, run=tmp_path / "plain", device="cpu")

    assert len(timed) == 1
    assert min(timed[0]) > 0
    assert watcher.warnings[0].startswith("computing in fp32 with 1 thread, by the time of a step")
    assert watcher.warnings[0] in (tmp_path / "timed/log.txt").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "timed/run.json").read_text(encoding="utf-8"))
    assert facts["computing"] == {"bf16": False, "threads": 1}
    one, other = (
        load_checkpoint(list_checkpoints(tmp_path / run)[-1]) for run in ("timed", "plain")
    )
    assert one.facts["run"]["setting"] == other.facts["run"]["setting"]
    for name, tensor in one.tensors("model.").items():
        assert torch.equal(tensor, other.tensors("model.")[name])

    again = Watcher()
    applied: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", applied.append)
    train(config, run=tmp_path / "timed", device="cpu", resume=True, observer=again)
    assert again.warnings == []
    assert applied == [1, 2]  # the run's, and then what there was before
