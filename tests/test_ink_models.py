"""Pen strokes all the way: the commands that train, check, read, align, score and draw them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ctcasr as package
from ctcasr.bundle import load
from ctcasr.config import load_config, parse_config
from ctcasr.errors import ConfigError, ItemError
from ctcasr.manifest import Modality, read_manifest
from ctcasr.pipeline.train import train
from tests.ink_letters import INK_TEXTS, write_inkml, write_letters


@dataclass(frozen=True)
class InkRun:
    """A finished training on ink: its run folder, and what it learned from."""

    folder: Path
    manifest: Path
    config: Path


@pytest.fixture(scope="session")
def ink_run(tmp_path_factory) -> InkRun:
    """A tiny model that reads its eight lines without error."""
    root = tmp_path_factory.mktemp("ink")
    lines = [(write_letters(text, seed=n), text) for n, text in enumerate(INK_TEXTS)]
    write_inkml(root / "page.inkml", lines)
    rows = [
        {"id": f"l{n}", "ink": "page.inkml", "traces": [f"line{n}"], "text": text}
        for n, text in enumerate(INK_TEXTS)
    ]
    manifest, config = root / "ink.jsonl", root / "ink.yaml"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config.write_text(
        f"""
data: {{train: {manifest.as_posix()}, dev: {manifest.as_posix()}, batch_size: 2}}
frontend: {{kind: offsets, step: 0.25}}
augment: {{stroke_drop: 0, elastic: 0, slant: [-0.1, 0.1]}}
encoder: {{layers: 1, hidden: 24, stride: 1, dropout: 0.0}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training: {{epochs: 70, average: 1, precision: fp32}}
""",
        encoding="utf-8",
    )
    train(load_config(config), run=root / "run", device="cpu")
    return InkRun(root / "run", manifest, config)


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, 0.1 * np.ones(8_000), 8_000)
    return path


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_tiny_model_reads_its_lines_and_places_words_on_strokes(ctcasr, ink_run):
    ended = ctcasr("transcribe", "-m", ink_run.folder, ink_run.manifest, "-f", "jsonl")

    assert ended.status == 0
    read = lines_of(ended.out)
    assert [line["text"] for line in read] == INK_TEXTS
    for number, line in enumerate(read):
        ink = write_letters(INK_TEXTS[number], seed=number)
        assert (line["axis"], line["duration"]) == ("point", len(ink))
        assert [word["text"] for word in line["words"]] == INK_TEXTS[number].split()
        strokes = [stroke for word in line["words"] for stroke in word["strokes"]]
        assert strokes == list(range(ink.num_strokes))  # each belongs to one word, in order
        edges = [edge for word in line["words"] for edge in (word["start"], word["end"])]
        assert edges == sorted(edges)
        assert (edges[0], edges[-1]) == (0, len(ink))
    assert ended.err.startswith("8 items, ")


def test_words_end_where_the_gap_between_them_is(ctcasr, ink_run):
    ended = ctcasr("transcribe", "-m", ink_run.folder, ink_run.manifest, "-f", "jsonl")

    line = lines_of(ended.out)[1]  # "volt tilt": v, o, l and the two strokes of t; then seven more
    assert [word["strokes"] for word in line["words"]] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11]]


def test_the_model_says_what_it_reads(ctcasr, ink_run):
    ended = ctcasr("info", ink_run.folder)

    assert "reads         ink, offsets" in ended.out
    assert "one output per 1 points" in ended.out
    assert load(ink_run.folder).header["sample_rate"] is None
    assert load(ink_run.folder).header["modality"] == "ink"


def test_python_reads_paths_and_ink(ink_run, tmp_path):
    recognizer = package.load(ink_run.folder)
    ink = write_letters("lot", seed=2)
    write_inkml(tmp_path / "one.inkml", [(ink, None)])

    assert recognizer.transcribe(ink).text == "lot"
    assert recognizer.transcribe(tmp_path / "one.inkml").text == "lot"
    with pytest.raises(ConfigError, match="reads pen strokes, and this needs recordings"):
        recognizer.transcribe(np.zeros(800), sample_rate=8_000)


def test_a_folder_of_ink_is_read_and_what_is_not_ink_is_named(ctcasr, ink_run, tmp_path, sound):
    folder = tmp_path / "in"
    folder.mkdir()
    write_inkml(folder / "b.inkml", [(write_letters("il", seed=5), None)])
    (folder / "a.json").write_text("[]", encoding="utf-8")
    (folder / "notes.md").write_text("x", encoding="utf-8")

    ended = ctcasr("transcribe", "-m", ink_run.folder, folder, sound)

    assert ended.status == 3
    assert ended.out == "\nil\n\n"
    assert "failed: a: no points" in ended.err
    assert "sound.wav: the model reads pen strokes, and this is listed or named as recordings" in (
        ended.err
    )


@pytest.mark.parametrize("form", ["inkml", "json", "nothing"])
def test_ink_comes_from_standard_input_too(ctcasr, ink_run, tmp_path, form):
    ink = write_letters("lot", seed=2)
    write_inkml(tmp_path / "one.inkml", [(ink, None)])
    strokes = json.dumps([stroke.tolist() for stroke in ink.strokes()]).encode()
    content = {"inkml": (tmp_path / "one.inkml").read_bytes(), "json": strokes, "nothing": b""}

    ended = ctcasr("transcribe", "-m", ink_run.folder, "-", stdin=content[form])

    if form == "nothing":
        assert (ended.status, ended.out) == (3, "\n")
        assert "is not well-formed XML" in ended.err
    else:
        assert (ended.status, ended.out) == (0, "lot\n")


def test_a_model_of_recordings_refuses_ink(ctcasr, tone_run, ink_run):
    ended = ctcasr("transcribe", "-m", tone_run.folder, ink_run.manifest)

    assert ended.status == 3
    assert ended.err.count("the model reads recordings, and this is listed or named as pen") == 8
    with pytest.raises(ItemError, match="ink: model run reads recordings"):
        load(tone_run.folder).transcribe(write_letters("lot", seed=2))


def test_scores_and_pictures_come_as_for_recordings(ctcasr, ink_run, tmp_path):
    ended = ctcasr(
        "evaluate", "-m", ink_run.folder, ink_run.manifest, "-o", tmp_path / "e", "--beam", 8
    )

    assert ended.status == 0
    results = json.loads((tmp_path / "e" / "results.json").read_text(encoding="utf-8"))
    assert results["normalised"]["char"]["rate"] == 0
    assert results["rtf"] is None
    assert results["utterances"][0]["measured"]["unit"] == "point"
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert 'class="ink"' in page
    assert "<audio" not in page


def test_a_page_shows_ink(ctcasr, ink_run, tmp_path):
    ended = ctcasr("show", "-m", ink_run.folder, ink_run.manifest, "-o", tmp_path / "show.html")

    assert ended.status == 0
    page = (tmp_path / "show.html").read_text(encoding="utf-8")
    assert page.count("utterance-picture") >= 8
    assert 'class="ink-dot"' in page  # that of an i


def test_known_texts_are_aligned_with_strokes(ctcasr, ink_run, tmp_path):
    ended = ctcasr("align", "-m", ink_run.folder, ink_run.manifest, "-o", tmp_path / "out.jsonl")

    assert ended.status == 0
    line = lines_of((tmp_path / "out.jsonl").read_text(encoding="utf-8"))[1]
    assert [word["text"] for word in line["words"]] == ["volt", "tilt"]
    assert line["words"][0]["strokes"] == [0, 1, 2, 3, 4]
    assert "".join(label["text"] for label in line["labels"]) == "volt tilt"


def test_check_takes_ink_without_a_configuration_and_names_what_is_odd(ctcasr, ink_run, tmp_path):
    rows = [json.loads(line) for line in ink_run.manifest.read_text().splitlines()]
    for row in rows:
        row["ink"] = str(ink_run.manifest.parent / row["ink"])
    (tmp_path / "dot.json").write_text("[[[1, 1]]]", encoding="utf-8")
    (tmp_path / "gap.json").write_text("[[[1, 1], [1, 9]], [], []]", encoding="utf-8")
    (tmp_path / "far.json").write_text("[[[1, 1], [1e9, 1]]]", encoding="utf-8")
    rows += [
        {"id": "gap", "ink": "gap.json", "text": "l"},
        {"id": "dot", "ink": "dot.json", "text": "vol"},
        {"id": "far", "ink": "far.json", "text": "lot"},
        {"id": "gone", "ink": "gone.json", "text": "lot"},
        {"id": "untold", "ink": rows[0]["ink"], "traces": ["line2"], "text": ""},
        {"id": "sound", "audio": "x.wav", "text": "lot"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    ended = ctcasr("check", manifest)

    assert ended.status == 3
    for found in (
        "dot: 1 point(s) in 1 stroke(s) for 3 characters",
        "gap: 2 of 3 strokes are empty",
        "far: point 1 is at (1e+09, 1)",
        "gone: cannot read",
        "untold: 4 stroke(s) of ink, and an empty text",
        "'sound': its manifest has 'audio', and frontend.kind is for pen strokes",
        "'l2', 'untold': the same content, but with different texts",
    ):
        assert found in ended.out


def test_train_leaves_out_recordings_among_ink_by_name(ctcasr, ink_run, tmp_path, sound):
    rows = [json.loads(line) for line in ink_run.manifest.read_text().splitlines()]
    for row in rows:
        row["ink"] = str(ink_run.manifest.parent / row["ink"])
    rows.append({"id": "sound", "audio": str(sound), "text": "lot"})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    ended = ctcasr(
        "train", ink_run.config, "-o", tmp_path / "run", "--set", "training.epochs=1",
        "--set", f"data.train={json.dumps(str(tmp_path / 'm.jsonl'))}",
    )  # fmt: skip

    assert ended.status == 0
    assert "left out of train, another modality: sound" in ended.err
    assert "points/s" in ended.err
    assert f"use it: ctcasr transcribe -m {tmp_path / 'run'} INK.inkml" in ended.err


def test_a_stopped_run_ends_as_one_that_never_stopped(ink_run, tmp_path, ctcasr):
    def run(folder, *more):
        return ctcasr(
            "train", ink_run.config, "-o", folder, "--set", "training.epochs=3",
            "--set", "augment.elastic=0.2", "--device", "cpu", *more,
        )  # fmt: skip

    assert run(tmp_path / "whole").status == 0
    assert run(tmp_path / "cut").status == 0
    checkpoints = sorted((tmp_path / "cut" / "checkpoints").iterdir())
    for later in checkpoints[1:]:
        for file in later.iterdir():
            file.unlink()
        later.rmdir()
    (tmp_path / "cut" / "model.safetensors").unlink()

    assert run(tmp_path / "cut", "--resume").status == 0
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_ink_cannot_be_streamed_or_have_labels_of_frames(ctcasr, ink_run):
    ended = ctcasr("transcribe", "-m", ink_run.folder, "--stream", "x.inkml")

    assert ended.status == 2
    assert "cannot stream: it reads pen strokes" in ended.err
    with pytest.raises(ConfigError, match="which only recordings have"):
        parse_config({"frontend": {"kind": "graves"}, "heads": {"frame": {"field": "phones"}}})


def test_keys_of_another_modality_are_unknown():
    with pytest.raises(ConfigError, match=r"frontend\.sample_rate: unknown key"):
        parse_config({"frontend": {"kind": "offsets", "sample_rate": 8_000}})
    with pytest.raises(ConfigError, match=r"augment\.slant: unknown key"):
        parse_config({"augment": {"slant": [0, 0]}})
    assert parse_config({"frontend": {"kind": "graves"}}).modality is Modality.INK


def test_a_folder_of_inkml_becomes_a_manifest_that_trains(ctcasr, ink_run, tmp_path):
    ended = ctcasr("manifest", ink_run.manifest.parent, "-o", tmp_path / "m.jsonl", "--from", "ink")

    assert ended.status == 0
    items = read_manifest(tmp_path / "m.jsonl")
    assert [item.text for item in items] == INK_TEXTS
    assert [item.traces for item in items] == [(f"line{n}",) for n in range(8)]
    assert [item.id for item in items] == [f"page-line{n}" for n in range(8)]


def test_strokes_in_json_beside_their_texts_are_found_without_being_told(ctcasr, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in (("a", "lot"), ("b", "il")):
        strokes = [stroke.tolist() for stroke in write_letters(text, seed=1).strokes()]
        (folder / f"{name}.json").write_text(json.dumps(strokes), encoding="utf-8")
        (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")

    ended = ctcasr("manifest", folder, "-o", tmp_path / "m.jsonl")

    assert ended.status == 0
    items = read_manifest(tmp_path / "m.jsonl")
    assert [(item.id, item.text, item.modality) for item in items] == [
        ("a", "lot", Modality.INK),
        ("b", "il", Modality.INK),
    ]
