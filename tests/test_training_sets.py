"""Training sets too large to be looked at whole: judged item by item, planned round by round."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ctcasr.config import load_config
from ctcasr.errors import ManifestError, OutputError, TrainingError
from ctcasr.manifest import read_manifest
from ctcasr.manifest.index import IndexedManifest, has_more_lines, index_path
from ctcasr.model_file import read_model
from ctcasr.pipeline.train import train
from ctcasr.pipeline.training_sets import UncheckedItems, prepare_sets, read_manifests
from ctcasr.training.interruption import Interrupted
from tests.conftest import speak_tones
from tests.test_loading import STRONG, assert_equal_batches, make
from tests.test_loop import Watcher, metrics_of
from tests.test_train import Watcher as Stopper

NAMES = {"text.alphabet": '[" ", a, b, c, d]', "data.max_checked": 0, "training.epochs": 2}


@pytest.fixture
def lines(tone_run):
    """The lines of the tones' manifest, with absolute paths and the durations of the files."""
    return [
        {
            "id": item.id,
            "audio": str(item.path),
            "text": item.text,
            "speaker": item.speaker,
            "duration": soundfile.info(item.path).duration,
        }
        for item in read_manifest(tone_run.manifest)
    ]


@pytest.fixture
def config_of(tone_run, tmp_path):
    """Return a function that writes lines as the training set and gives a configuration of it."""

    def make(lines, **keys):
        manifest = tmp_path / "large.jsonl"
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        settings = NAMES | {"data.train": manifest.as_posix()}
        settings |= {key.replace("__", "."): value for key, value in keys.items()}
        return load_config(tone_run.config, overrides=[f"{k}={v}" for k, v in settings.items()])

    return make


def skipped_of(run):
    text = (run / "skipped.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# --- rounds


@pytest.mark.parametrize("round_items", [1, 3, 5])
def test_an_epoch_of_several_rounds_holds_every_utterance_once(tone_items, round_items):
    data = make(tone_items, augment=STRONG, round_items=round_items)
    batches = data.epoch(1)
    done = [batches.done]
    ids: Counter[str] = Counter()

    for batch in batches:
        done.append(batches.done)
        ids.update(batch.ids)

    assert data.num_rounds == -(-8 // round_items)
    assert set(ids.values()) == {1}
    assert len(ids) == 8
    assert done[0] == 0
    assert done == sorted(set(done))
    assert done[-1] == pytest.approx(1)


def test_rounds_hold_other_utterances_in_other_epochs(tone_items):
    data = make(tone_items, round_items=2, batch_frames=10_000)

    first, second = ([set(batch.ids) for batch in data.epoch(epoch)] for epoch in (0, 1))

    assert len(first) == len(second) == 4
    assert first != second


def test_a_single_round_is_planned_as_a_whole_set_is(tone_items):
    assert_equal_batches(
        [*make(tone_items, augment=STRONG).epoch(2)],
        [*make(tone_items, augment=STRONG, round_items=8).epoch(2)],
    )


def test_an_epoch_begun_in_any_round_goes_on_as_the_whole_one(tone_items):
    data = make(tone_items, augment=STRONG, round_items=3, workers=2)
    batches = data.epoch(1)
    whole = [(batch, batches.round, batches.position) for batch in batches]

    for taken, (_, number, position) in enumerate(whole, start=1):
        rest = [*data.epoch(1, first_round=number, first_batch=position)]
        assert_equal_batches([batch for batch, _, _ in whole[taken:]], rest)


def test_a_recording_shorter_than_its_line_says_is_named(tone_items):
    *others, wrong = tone_items
    wrong = type(wrong)(wrong.utterance, wrong.labels * 20, amount=20.0)
    batches = make([*others, wrong]).epoch(0)

    taken = {name for batch in batches for name in batch.ids}

    assert taken == {item.utterance.id for item in others}
    (bad,) = batches.unreadable
    assert bad.id == wrong.utterance.id
    assert bad.reason.startswith(f"too short for its {len(wrong.labels)} labels: ")
    assert bad.reason.endswith(" s, where 20.00 s were planned; correct its duration")


# --- manifests that are not looked at whole


@pytest.mark.parametrize(("limit", "more"), [(0, True), (2, True), (3, False), (9, False)])
def test_lines_are_counted_as_far_as_need_be(tmp_path, limit, more):
    path = tmp_path / "m.jsonl"
    path.write_text("{}\n{}\n{}\n", encoding="utf-8")

    assert has_more_lines(path, limit) == more


def test_what_is_compressed_or_not_there_is_never_large(tmp_path):
    (tmp_path / "m.jsonl.gz").write_bytes(b"\x1f\x8b\n\n\n")

    assert not has_more_lines(tmp_path / "m.jsonl.gz", 0)
    assert not has_more_lines(tmp_path / "gone.jsonl", 0)


def test_a_large_manifest_is_learned_as_if_it_were_held_in_memory(config_of, lines, tmp_path):
    models = []
    for run, limit in (("held", 100), ("indexed", 0)):
        config = config_of(lines, data__max_checked=limit)
        train(config, run=tmp_path / run, device="cpu")
        models.append(read_model(tmp_path / run / "model.safetensors"))

    assert index_path(tmp_path / "large.jsonl").is_file()
    for name, tensor in models[0].tensors.items():
        assert torch.equal(tensor, models[1].tensors[name])
    held, indexed = (model.header["training"] for model in models)
    assert indexed == held | {"amount": pytest.approx(held["amount"], abs=1e-5)}


def test_the_labels_of_a_large_manifest_are_found_where_none_are_named(config_of, lines):
    config = config_of(lines, text__alphabet="null")
    manifests = {key: items for key, (_, items) in read_manifests(config).items()}

    sets = prepare_sets(config, manifests)

    assert sets.alphabet.labels == ("<blank>", "a", "b", "c", "d")
    assert isinstance(sets.train, UncheckedItems)
    assert len(sets.train) == 8
    assert len(sets.dev) == 8


def test_what_cannot_be_used_is_named_once_when_it_is_met(config_of, lines, tmp_path):
    spoilt = [
        *lines,
        {**lines[0], "id": "foreign", "text": "xyz"},
        {**lines[0], "id": "unlabelled", "text": None},
        {**lines[0], "id": "crowded", "text": "ab" * 40},
        {**lines[0], "id": "long", "duration": 1_000.0},
        {**lines[0], "id": "odd", "channel": -1},
        {**lines[0], "id": "gone", "audio": str(tmp_path / "gone.wav")},
    ]
    watcher = Watcher()

    train(config_of(spoilt), run=tmp_path / "run", device="cpu", observer=watcher)

    found = {record["id"]: record["kind"] for record in skipped_of(tmp_path / "run")}
    assert found == {
        "foreign": "outside alphabet",
        "unlabelled": "unlabelled",
        "crowded": "too few frames",
        "long": "too long",
        "item 12": "broken line",
    }
    assert len(skipped_of(tmp_path / "run")) == 5  # in two epochs
    assert sum("gone left out: " in line for line in watcher.warnings) == 1
    assert sum(line.startswith("data.train: 14 items, more than") for line in watcher.warnings) == 1


def test_what_cannot_be_used_can_stop_the_run(config_of, lines, tmp_path):
    config = config_of([*lines, {**lines[0], "id": "foreign", "text": "xyz"}], data__on_bad="stop")

    with pytest.raises(ManifestError, match=r"'foreign'.* \(found while training\); mend it, or"):
        train(config, run=tmp_path / "run", device="cpu")


def test_a_round_of_which_nothing_can_be_used_stops_the_run(config_of, lines, tmp_path):
    config = config_of([{**line, "text": "xyz"} for line in lines])

    with pytest.raises(TrainingError, match=r"epoch 1: none of 8 utterances in a row can be used"):
        train(config, run=tmp_path / "run", device="cpu")


def test_a_large_manifest_without_durations_is_refused(config_of, lines, tmp_path):
    del lines[3]["duration"]
    config = config_of(lines)

    with pytest.raises(ManifestError, match=r"1 of 8 items have no `duration`, the first: '3-cad'"):
        train(config, run=tmp_path / "run", device="cpu")


@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_a_run_over_rounds_goes_on_as_if_it_had_never_stopped(
    config_of, lines, tmp_path, monkeypatch, step
):
    monkeypatch.setattr("ctcasr.pipeline.train._ROUND_ITEMS", 3)
    config = config_of([*lines, {**lines[0], "id": "foreign", "text": "xyz"}])
    whole = train(config, run=tmp_path / "whole", device="cpu")

    with pytest.raises(Interrupted):
        train(config, run=tmp_path / "run", device="cpu", observer=Stopper(at=step))
    resumed = train(config, run=tmp_path / "run", device="cpu", resume=True)

    assert resumed.read_bytes() == whole.read_bytes()
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")
    assert skipped_of(tmp_path / "run") == skipped_of(tmp_path / "whole")


def test_steps_are_counted_over_rounds(config_of, lines, tmp_path, monkeypatch):
    monkeypatch.setattr("ctcasr.pipeline.train._ROUND_ITEMS", 4)
    watcher = Watcher()

    train(config_of(lines), run=tmp_path / "run", device="cpu", observer=watcher)

    assert [(one.epoch, one.batch, one.batches) for one in watcher.steps] == [
        (epoch, batch, 4) for epoch in (1, 2) for batch in (1, 2, 3, 4)
    ]


def test_a_full_disk_while_a_bad_item_is_named_ends_the_run_in_one_line(
    config_of, lines, tmp_path, monkeypatch
):
    opened = Path.open

    def fill_up(self, *arguments, **options):
        if self.name == "skipped.jsonl" and arguments[:1] == ("a",):
            raise OSError(28, "No space left on device")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", fill_up)
    config = config_of([*lines, {**lines[0], "id": "foreign", "text": "xyz"}])

    with pytest.raises(OutputError, match=r"skipped\.jsonl: cannot be written \(No space left"):
        train(config, run=tmp_path / "run", device="cpu")


def test_another_process_reads_the_same_items(config_of, lines):
    config = config_of(lines)
    manifests = {key: items for key, (_, items) in read_manifests(config).items()}
    assert isinstance(manifests["train"], IndexedManifest)
    items = prepare_sets(config, manifests).train
    assert isinstance(items, UncheckedItems)
    items.on_unusable = print  # told in this process alone

    sent = pickle.loads(pickle.dumps(items))

    assert [sent[number] for number in range(8)] == [items[number] for number in range(8)]
    assert sent.on_unusable is not print
    assert sent.amount == pytest.approx(np.sum([line["duration"] for line in lines]))


def test_tones_say_how_long_they_last(lines):
    assert lines[0]["duration"] == len(speak_tones(lines[0]["text"], seed=0)) / 8_000
