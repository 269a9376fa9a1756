import dataclasses
import math
from pathlib import Path

import pytest
import yaml

from ctcasr.training.advice import RULES, advise, find_low_learning_rate, find_starvation
from ctcasr.training.metrics import read_metrics

RUNS = Path(__file__).parent / "runs"
GOOD = ["an4", "fsdd", "yesno"]
BAD = {
    "diverging": "find_divergence",
    "all-blank": "find_all_blank",
    "learning-rate-too-low": "find_low_learning_rate",
    "overfitting": "find_overfitting",
    "still-improving": "find_unfinished",
    "clipped": "find_clipping",
    "starved": "find_starvation",
    "padded": "find_padding",
}


def load(name):
    settings = yaml.safe_load((RUNS / name / "config.yaml").read_text(encoding="utf-8"))
    return read_metrics(RUNS / name / "metrics.jsonl"), settings


def fired(name):
    epochs, settings = load(name)
    return [rule.__name__ for rule in RULES if rule(epochs, settings)]


@pytest.mark.parametrize(("name", "rule"), BAD.items())
def test_each_rule_fires_on_its_bad_run(name, rule):
    assert rule in fired(name)


@pytest.mark.parametrize("name", GOOD)
def test_good_runs_need_no_advice(name):
    assert fired(name) == []


@pytest.mark.parametrize("name", GOOD)
def test_good_runs_need_no_advice_while_they_go_on(name):
    """But that a network cut short wrote nothing, or was still getting better, is true."""
    epochs, settings = load(name)

    for count in range(1, len(epochs)):
        found = [rule.__name__ for rule in RULES if rule(epochs[:count], settings)]
        assert set(found) <= {"find_all_blank", "find_unfinished"}


def test_every_rule_has_a_bad_run():
    assert {rule.__name__ for rule in RULES} == set(BAD.values())


@pytest.mark.parametrize("name", BAD)
def test_advice_names_figures_and_a_key_to_change(name):
    epochs, settings = load(name)

    for advice in advise(epochs, settings):
        assert advice.what.endswith(".")
        assert any(char.isdigit() for char in advice.why)
        assert "(now " in advice.next_step


@pytest.mark.parametrize("name", BAD)
def test_rules_need_no_configuration(name):
    epochs, settings = load(name)

    without = [advice.what for advice in advise(epochs, {})]
    assert without == [advice.what for advice in advise(epochs, settings)]
    assert [a.what for a in advise(epochs, {"optim": 3, "data": None})] == without


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_rules_bear_a_run_without_a_dev_set_and_with_losses_that_are_no_numbers(name):
    epochs, settings = load(name)
    nothing = {"dev_loss": None, "dev_cer": None, "dev_wer": None, "blank_share": None}

    advise([dataclasses.replace(report, **nothing, clipped=None) for report in epochs], settings)
    advise([dataclasses.replace(report, loss=math.nan) for report in epochs], settings)
    advise([dataclasses.replace(report, loss=0.0, dev_loss=0.0) for report in epochs], settings)


def test_a_warm_up_longer_than_the_run_is_told_from_a_low_peak():
    (low,) = advise(*load("learning-rate-too-low"))
    starved = advise(*load("starved"))

    assert "Raise optim.peak_lr (now 3e-06)" in low.next_step
    assert "lower optim.warmup_steps (now 200)" in starved[0].next_step


def test_the_plateau_is_not_taken_for_a_low_learning_rate():
    epochs, settings = load("all-blank")

    assert find_low_learning_rate(epochs[2:], settings) is None  # all of them on the plateau


def test_the_first_epoch_may_wait_while_the_cache_fills():
    epochs, settings = load("an4")
    first = dataclasses.replace(epochs[0], waiting=0.9)

    assert find_starvation([first, *epochs[1:2]], settings) is None
    assert find_starvation([first], settings) is not None


def test_there_is_nothing_to_say_about_no_epochs():
    assert advise([], {}) == []
