"""A training killed anywhere and resumed ends as one that never stopped, bit for bit.

`python -m tests.soak.resume --kills 200` does the same for longer, and at moments by the clock.
"""

import random
import signal
import sys
from collections import Counter

import pytest

from tests.conftest import record_tones
from tests.kills import PLACES, Kill, left_behind, run_command, write_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked"),
]

# Where each of eight runs is killed, one time after the other. The line is drawn by seed.
CHAINS = [
    ("save", "step", "edge"),
    ("step", "save", "finish"),
    ("edge", "save", "step"),
    ("start", "save", "edge"),
    ("save", "save", "finish"),
    ("step", "edge", "save"),
    ("start", "step", "save"),
    ("edge", "step", "save"),
]
EVERY_STEP, EVERY_EPOCH = 0, 10
"""Minutes between checkpoints; a run takes seconds."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A folder, and what a run there leaves behind, with its lines by place, by minutes."""
    root = tmp_path_factory.mktemp("unbroken")
    record_tones(root)
    whole = {}
    for minutes in (EVERY_STEP, EVERY_EPOCH):
        run = root / f"whole-{minutes}"
        done = run_command("train", write_config(root, minutes=minutes), "-o", run, aside=root)
        assert done.status == 0, done.said
        assert set(done.lines) == set(PLACES)
        whole[minutes] = left_behind(run), done.lines
    return root, whole


def test_runs_are_killed_often_enough():
    places = Counter(place for chain in CHAINS for place in chain)

    assert places.total() >= 20
    assert places["save"] >= 5
    assert places["edge"] >= 3
    assert set(places) == set(PLACES)


@pytest.mark.parametrize("minutes", [EVERY_STEP, EVERY_EPOCH])
def test_checkpoints_within_an_epoch_change_nothing(unbroken, minutes):
    _, whole = unbroken
    (mine, _), (others, _) = whole[minutes], whole[EVERY_STEP]

    assert (mine["log"], mine["metrics"]) == (others["log"], others["metrics"])
    last = "checkpoints/step-00000012/state.safetensors"
    assert mine["tensors"][last] == others["tensors"][last]


@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_a_run_killed_three_times_ends_as_if_it_never_stopped(unbroken, tmp_path, number):
    root, whole = unbroken
    minutes = (EVERY_STEP, EVERY_EPOCH)[number % 2]
    expected, lines = whole[minutes]
    draw = random.Random(number)
    train = ("train", write_config(root, minutes=minutes), "-o", tmp_path / "run", "--resume")

    for place in CHAINS[number]:
        # A quarter of the lines leaves enough for the kills that follow.
        kill = Kill(place, draw.randint(1, lines[place] // 4))
        done = run_command(*train, aside=tmp_path, kill=kill)
        assert done.status == -signal.SIGKILL, (kill, done.said)
    done = run_command(*train, aside=tmp_path)

    assert done.status == 0, done.said
    left = left_behind(tmp_path / "run")
    for name, value in expected.items():
        assert left[name] == value, name
