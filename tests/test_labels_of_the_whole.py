"""One label per recording, from configuration to report."""

import json

import pytest

from ctcasr.bundle import load
from ctcasr.config import load_config
from ctcasr.errors import ConfigError, ManifestError, RunFolderError
from ctcasr.manifest import read_manifest
from ctcasr.model_file import read_model
from ctcasr.pipeline.train import train
from ctcasr.pipeline.training_sets import prepare_sets
from ctcasr.transcript import UtteranceLabel

LABEL_ONLY = ["heads.ctc.weight=0", "heads.utterance.field=text", "training.epochs=30"]


def configured(tone_run, *overrides):
    return load_config(tone_run.config, overrides=list(overrides))


@pytest.fixture(scope="module")
def label_run(tone_run, tmp_path_factory):
    """A model that tells which of eight texts a recording is, and writes none."""
    run = tmp_path_factory.mktemp("labels") / "run"
    train(configured(tone_run, *LABEL_ONLY), run=run, device="cpu")
    return run


@pytest.fixture(scope="module")
def joint_run(tone_run, tmp_path_factory):
    """A model that writes text and tells the speaker."""
    run = tmp_path_factory.mktemp("joint") / "run"
    train(configured(tone_run, "heads.utterance.field=speaker"), run=run, device="cpu")
    return run


@pytest.fixture
def manifest_of(tone_run, tmp_path):
    """Return a function that writes the tones' manifest with changes, by line number."""

    def make(changes):
        lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        for number, record in enumerate(records):
            record["audio"] = (tone_run.manifest.parent / record["audio"]).as_posix()
            record |= changes.get(number, {})
        path = tmp_path / "changed.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        return path

    return make


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


# What it learns, and what it says


def test_a_model_without_a_ctc_head_learns_the_label_of_each_recording(label_run, tone_run):
    epochs = json_lines((label_run / "metrics.jsonl").read_text(encoding="utf-8"))
    recognizer = load(label_run, device="cpu")

    assert epochs[-1]["dev_class_error"] == 0.0
    assert epochs[-1]["dev_loss"] < 0.5 * epochs[0]["dev_loss"]
    assert epochs[-1]["dev_cer"] is None
    for name, text in tone_run.texts.items():
        transcript = recognizer.transcribe(tone_run.recordings / f"{name}.wav")
        assert transcript.text == text
        assert transcript.confidence is not None
        assert 0.5 < transcript.confidence <= 1
        assert transcript.label == UtteranceLabel("text", text, transcript.confidence)
    assert "dev class error 0.00%" in (label_run / "log.txt").read_text(encoding="utf-8")


def test_transcripts_say_the_label_and_how_probable_it_is(ctcasr, label_run, tone_run):
    ended = ctcasr("transcribe", "-m", label_run, tone_run.manifest, "-f", "jsonl", "--nbest", 3)

    assert ended.status == 0
    for record in json_lines(ended.out):
        assert record["text"] == tone_run.texts[record["id"]]
        assert record["label"] == {
            "field": "text", "text": record["text"], "confidence": record["confidence"]
        }  # fmt: skip
        assert record["decoder"] == {"search": "label of the whole", "field": "text"}
        assert record["words"] == []
        assert [record["text"]] == [other["text"] for other in record["nbest"]][:1]
        probabilities = [other["log_prob"] for other in record["nbest"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3


def test_labels_do_not_depend_on_batches(label_run, tone_run):
    recognizer = load(label_run, device="cpu")
    recordings = [recognizer.prepare(path) for path in sorted(tone_run.recordings.iterdir())]

    together = recognizer.transcribe_batch(recordings)
    alone = recognizer.transcribe_batch(recordings, batch_size=1)

    for one, other in zip(together, alone, strict=True):
        assert one.text == other.text
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_a_model_with_both_heads_writes_text_and_tells_the_label(ctcasr, joint_run, tone_run):
    ended = ctcasr("transcribe", "-m", joint_run, tone_run.manifest, "-f", "jsonl")

    speakers = {u.id: u.speaker for u in read_manifest(tone_run.manifest)}
    for record in json_lines(ended.out):
        assert record["text"] == tone_run.texts[record["id"]]
        assert record["decoder"] == {"search": "best_path"}
        assert record["label"]["field"] == "speaker"
        assert record["label"]["text"] == speakers[record["id"]]


def test_a_run_with_both_heads_is_judged_by_its_text(joint_run):
    (*_, last) = json_lines((joint_run / "metrics.jsonl").read_text(encoding="utf-8"))
    state = sorted(joint_run.glob("checkpoints/*/state.json"))[-1]

    assert last["dev_class_error"] == 0.0
    history = json.loads(state.read_text(encoding="utf-8"))["progress"]["history"]
    assert history[-1][2] == last["dev_cer"]


def test_a_model_of_text_alone_says_nothing_of_labels(recognizer, tone_run):
    transcript = recognizer.transcribe(tone_run.recordings / "3-cad.wav")

    assert transcript.label is None
    assert "label" not in transcript.to_json()
    assert "classes" not in recognizer.header


# Scores


def test_evaluation_counts_wrong_labels(ctcasr, label_run, manifest_of, tmp_path):
    ended = ctcasr(
        "evaluate", "-m", label_run, manifest_of({3: {"text": "bad"}}), "-o", tmp_path / "eval"
    )

    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    assert ended.status == 0
    assert "text: 1 of 8 recordings wrong, 12.50 [" in ended.out
    assert results["label"]["confusions"] == [["bad", "cad", 1]]
    assert (results["label"]["n"], results["label"]["wrong"]) == (8, 1)
    assert results["raw"]["sentence"]["wrong"] == 1
    report = (tmp_path / "eval" / "report.md").read_text(encoding="utf-8")
    assert "## Labels of whole recordings" in report


def test_items_without_the_field_are_named_and_not_scored(ctcasr, joint_run, manifest_of, tmp_path):
    ended = ctcasr(
        "evaluate", "-m", joint_run, manifest_of({0: {"speaker": None}}), "-o", tmp_path / "eval"
    )

    assert "speaker: 0 of 7 recordings wrong" in ended.out


def test_a_manifest_without_any_label_is_refused(ctcasr, label_run, manifest_of, tmp_path):
    nothing = manifest_of({number: {"text": None} for number in range(8)})

    ended = ctcasr("evaluate", "-m", label_run, nothing, "-o", tmp_path / "eval")

    assert ended.status == 2
    assert "none of 8 items has a text to score against" in ended.err


# The model file


def test_a_model_file_names_its_labels_in_the_order_of_its_outputs(label_run, tone_run):
    header = read_model(label_run / "model.safetensors").header

    assert header["classes"] == {"utterance": sorted(tone_run.texts.values())}
    assert header["alphabet"]["labels"] == ["<blank>"]
    assert header["training"]["scores"]["dev_class_error"] == 0.0


def test_info_says_what_labels_there_are(ctcasr, label_run, joint_run):
    alone, both = ctcasr("info", label_run).out, ctcasr("info", joint_run).out

    assert "label of the whole  text: aa ab bad bd cad cc dabc dcb" in alone
    assert "\nwrites " not in alone
    assert "label of the whole  speaker: x y" in both
    assert "\nwrites " in both


def test_another_training_starts_from_the_labels_it_shares(tone_run, joint_run, tmp_path):
    config = configured(
        tone_run,
        "heads.utterance.field=speaker",
        f"training.init_from={joint_run.as_posix()}",
        "training.epochs=1",
        "optim.peak_lr=1e-30",
    )

    train(config, run=tmp_path / "run", device="cpu")

    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert "output layer for 7 of 7 labels" in log  # blank, a, b, c, d; x, y
    old, new = load(joint_run, device="cpu"), load(tmp_path / "run", device="cpu")
    weight = new.network.utterance.output.weight
    assert weight.allclose(old.network.utterance.output.weight, atol=1e-6)


# What cannot be


@pytest.mark.parametrize("command", ["align", "show", "tune"])
def test_commands_that_need_text_say_so(ctcasr, label_run, tone_run, tmp_path, command):
    ended = ctcasr(command, "-m", label_run, tone_run.manifest, "-o", tmp_path / "out")

    assert ended.status == 2
    assert "model run: has no CTC head" in ended.err
    assert "Traceback" not in ended.err


def test_words_cannot_be_preferred_where_none_are_written(ctcasr, label_run, tone_run):
    ended = ctcasr("transcribe", "-m", label_run, tone_run.manifest, "--hotword", "cad")

    assert ended.status == 2
    assert "without language model, lexicon and hotwords" in ended.err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["heads.ctc.weight=0"], "heads: none is left"),
        (
            ["heads.utterance.field=text", "augment.join_items=2"],
            (
                "augment.join_items 2 joins recordings of one speaker, of which each has its own "
                "'text' (heads.utterance.field); set augment.join_items=1"
            ),
        ),
        (
            ["heads.ctc.weight=0", "heads.utterance.field=text", "decode.hotwords={cad: 2}"],
            "decode: a language model, lexicon or hotwords need text",
        ),
        (["heads.utterance.weight=0"], "heads.utterance.weight: "),
    ],
)
def test_configurations_that_contradict_themselves_are_refused(tone_run, overrides, message):
    with pytest.raises(ConfigError, match=r".*") as caught:
        configured(tone_run, *overrides)

    assert message in str(caught.value)


def test_recordings_without_a_label_are_left_out_by_name(tone_run, manifest_of):
    changed = read_manifest(manifest_of({0: {"speaker": None}, 1: {"speaker": "z"}}))
    config = configured(tone_run, "heads.utterance.field=speaker")

    sets = prepare_sets(config, {"train": read_manifest(tone_run.manifest), "dev": changed})

    assert sets.classes == ("x", "y")
    assert [(name, bad.id, bad.kind) for name, bad in sets.skipped] == [
        ("dev", "0-ab", "no label of the whole"),
        ("dev", "1-dcb", "unknown label of the whole"),
    ]
    assert "speaker 'z' is not in the training set" in sets.skipped[1][1].message
    assert len(sets.dev) == 6


def test_recordings_without_text_are_learned_from_where_none_is_written(tone_run, manifest_of):
    silent = read_manifest(manifest_of({number: {"text": None} for number in range(8)}))
    config = configured(tone_run, "heads.ctc.weight=0", "heads.utterance.field=speaker")

    sets = prepare_sets(config, {"train": silent})

    assert isinstance(sets.train, tuple)
    assert [item.utterance_class for item in sets.train] == [0, 1] * 4
    assert not sets.skipped


@pytest.mark.parametrize(("value", "number"), [(None, 0), ("x", 1)])
def test_fewer_than_two_labels_are_refused(tone_run, manifest_of, value, number):
    items = read_manifest(manifest_of({line: {"speaker": value} for line in range(8)}))
    config = configured(tone_run, "heads.utterance.field=speaker")

    with pytest.raises(ManifestError, match=f"data.train: {number} different values of 'speaker'"):
        prepare_sets(config, {"train": items})


def test_any_field_of_the_manifest_may_hold_the_labels(tone_run, manifest_of):
    items = read_manifest(manifest_of({line: {"room": line % 3} for line in range(8)}))
    config = configured(tone_run, "heads.utterance.field=room")

    sets = prepare_sets(config, {"train": items})

    assert sets.classes == ("0", "1", "2")


def test_check_names_recordings_without_a_label_and_rare_ones(ctcasr, tone_run, manifest_of):
    changed = manifest_of({0: {"speaker": None}})
    options = ["-c", tone_run.config, "--set", "heads.utterance.field=speaker"]

    ended = ctcasr("check", changed, *options)

    assert ended.status == 3
    assert "no `speaker` (heads.utterance.field)" in ended.out
    assert "fewer than 5 recordings: 'x'" in ended.out


def test_check_says_nothing_of_texts_where_none_are_learned(ctcasr, tone_run, manifest_of):
    silent = manifest_of({number: {"text": None} for number in range(8)})
    options = ["-c", tone_run.config, "--set", "heads.utterance.field=speaker"]

    assert "unlabelled" in ctcasr("check", silent, *options).out
    assert "unlabelled" not in ctcasr("check", silent, *options, "--set", "heads.ctc.weight=0").out


def test_a_run_does_not_go_on_with_other_labels(tone_run, manifest_of, tmp_path):
    config = configured(tone_run, *LABEL_ONLY, "training.epochs=1")
    train(config, run=tmp_path / "run", device="cpu")
    other = manifest_of({3: {"text": "dad"}})
    longer = configured(tone_run, *LABEL_ONLY, "training.epochs=1", f"data.train={other}")

    with pytest.raises(RunFolderError):
        train(longer, run=tmp_path / "run", resume=True, device="cpu")
