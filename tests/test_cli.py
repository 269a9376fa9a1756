"""How commands begin and end: in this process, and as the real program where that matters."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from ctcasr.cli.app import app
from ctcasr.cli.progress import count_of, describe_speed, format_time
from ctcasr.manifest import read_manifest
from ctcasr.model_file import write_model

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
COMMANDS = [
    "demo",
    "manifest",
    "align",
    "check",
    "train",
    "transcribe",
    "evaluate",
    "tune",
    "score",
    "compare",
    "report",
    "show",
    "info",
]


def start(*arguments, **options):
    """Start the real program; its output is piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "ctcasr", *map(str, arguments)],
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )


def finish(process):
    """Return status, stdout and stderr of the program, which must hold no traceback."""
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in (err or b"")
    return process.returncode, (out or b"").decode("utf-8"), (err or b"").decode("utf-8")


def refusal(ended):
    """Return the one line of a command that refused."""
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("ctcasr: error: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("ctcasr: error: ").rstrip("\n")


# Help


def test_every_command_is_summed_up_in_one_line(ctcasr):
    ended = ctcasr("--help")

    assert ended.status == 0
    listed = ended.out.partition("Commands:\n")[2].splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted([*COMMANDS, "lm"])
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)
    assert all(len(line) <= 80 for line in ended.out.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_that_parse(ctcasr, name):
    text = ctcasr(name, "--help").out
    assert "\\b" not in text

    examples = text.partition("Examples:\n")[2].replace("\\\n", "").splitlines()

    assert examples
    for example in examples:
        words = example.partition("| ")[2].split() if "|" in example else example.split()
        assert words[:2] == ["ctcasr", name]
        assert app.commands[name].make_context(name, words[2:]) is not None


def test_no_command_shows_the_help(ctcasr):
    ended = ctcasr()
    assert ended.status == 2
    assert "Commands:" in ended.out + ended.err


def test_a_usage_mistake_is_one_line(ctcasr):
    assert refusal(ctcasr("transcribe", "a.wav")) == "Missing option '-m' / '--model'."
    assert refusal(ctcasr("transscribe")).startswith("No such command 'transscribe'")


# Exit statuses of the real program


def test_success_is_0_and_text_is_utf8_on_every_console(tmp_path):
    for name in ("said", "naïve"):
        (tmp_path / f"{name}.txt").write_text("été\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "LANG": "C"}

    status, out, err = finish(
        start("score", tmp_path / "said.txt", tmp_path / "naïve.txt", env=environment)
    )

    assert (status, err) == (0, "")
    assert "naïve" in out


def test_a_mistake_is_2_and_failed_items_are_3(tone_run, tmp_path):
    good = tone_run.recordings / "3-cad.wav"
    mistake = start("transcribe", "-m", tmp_path / "nowhere", good)
    failed = start("transcribe", "-m", tone_run.folder, "nothing.wav", good)

    status, out, err = finish(mistake)
    assert (status, out) == (2, "")
    assert err.startswith(f"ctcasr: error: {tmp_path / 'nowhere'}: no such model file")
    status, out, err = finish(failed)
    assert (status, out.splitlines()) == (3, ["", "cad"])
    assert err.startswith("failed: nothing.wav: no such file")


def test_a_bug_is_not_taken_for_a_mistake(ctcasr, monkeypatch, tmp_path):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr("ctcasr.pipeline.score.score_files", broken)
    with pytest.raises(ZeroDivisionError):
        ctcasr("score", "a", "b")


@POSIX
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_has_saved_its_state(tone_run, tmp_path, number, expected):
    run = tmp_path / "run"
    arguments = ("train", tone_run.config, "-o", run, "--set", "training.epochs=100000")
    process = start(*arguments)
    wait_for(run / "log.txt", process)
    process.send_signal(number)

    status, out, err = finish(process)

    assert (status, out) == (expected, "")
    last = err.splitlines()[-1]
    assert last.startswith(
        f"interrupted by {number.name}; state saved, go on with: python -m ctcasr"
    )
    assert last.endswith("--set training.epochs=100000 --resume")
    assert list((run / "checkpoints").iterdir())
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "interrupted"


def wait_for(path, process):
    """Wait until a file holds something."""
    for _ in range(600):
        if path.is_file() and path.stat().st_size:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"{path} was not written")


@POSIX
def test_waiting_for_standard_input_can_be_interrupted(tone_run, tmp_path):
    process = start(
        "transcribe",
        "-m",
        tone_run.folder,
        "nothing.wav",
        "-",
        "-o",
        tmp_path / "all.txt",
        stdin=subprocess.PIPE,
    )
    wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) == 130
    said = process.communicate()[1].decode("utf-8").strip()
    assert said == "ctcasr: interrupted (SIGINT); what was written is whole"


def wait_until_it_reads(process):
    """Give the program time to load the model; it then waits for standard input."""
    if sys.platform != "linux":
        time.sleep(15)
        return
    for _ in range(600):
        if "pipe" in Path(f"/proc/{process.pid}/wchan").read_text(encoding="ascii"):
            return
        time.sleep(0.05)
    pytest.fail("it does not read")


@POSIX
def test_a_full_disk_behind_standard_output_is_2(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "a.txt").write_text("one\n", encoding="utf-8")
    with Path("/dev/full").open("wb") as full:
        status, _, err = finish(start("score", tmp_path / "a.txt", tmp_path / "a.txt", stdout=full))

    assert status == 2
    assert "No space left on device" in err


def test_a_reader_who_has_left_is_no_mistake(tmp_path):
    (tmp_path / "a.txt").write_text("one\n", encoding="utf-8")
    process = start("score", tmp_path / "a.txt", tmp_path / "a.txt")
    process.stdout.close()
    process.stdout = None

    assert finish(process) == (0, "", "")


# Mistakes in what is given


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.peek_lr=1", "--set: optim.peek_lr: unknown key; did you mean 'peak_lr'?"),
        ("optim.peak_lr", "--set optim.peak_lr: give KEY=VALUE, as in --set optim.peak_lr=3e-4"),
        ("encoder.layers=0", "encoder.layers: Input should be greater than or equal to 1, found 0"),
        ("data.train=null", "data.train: no manifest to learn from; name one in the configuration"),
        ("data.dev=gone.jsonl", "gone.jsonl: no such manifest; check the path"),
    ],
)
def test_a_wrong_key_or_value_is_named(ctcasr, tone_run, tmp_path, override, message):
    ended = ctcasr("train", tone_run.config, "-o", tmp_path / "run", "--set", override)
    assert message in refusal(ended)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"audio": "a.wav", "text": "a"}\n{"audio": "b.wav" "text": "b"}', "line 2, column 19"),
        ('{"id": "x", "audio": "a.wav"}\n{"id": "x", "audio": "b.wav"}', "lines 1 and 2: both"),
    ],
)
@pytest.mark.parametrize("command", ["train", "transcribe", "evaluate", "check"])
def test_a_broken_manifest_is_named_by_line(ctcasr, tone_run, tmp_path, command, lines, message):
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(lines, encoding="utf-8")
    arguments = {
        "train": [tone_run.config, "-o", tmp_path / "run", "--set", f"data.train={manifest}"],
        "transcribe": ["-m", tone_run.folder, manifest],
        "evaluate": ["-m", tone_run.folder, manifest, "-o", tmp_path / "out"],
        "check": [manifest],
    }
    assert refusal(ctcasr(command, *arguments[command])).startswith(f"{manifest}: {message}")


@pytest.fixture
def damaged_models(tone_run, tmp_path):
    """Model files that are none, with what is said of them."""
    whole = (tone_run.folder / "model.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[:-1])
    (tmp_path / "stub.safetensors").write_bytes(whole[:6])
    (tmp_path / "text.safetensors").write_text("hello " * 99, encoding="utf-8")
    save_file({}, tmp_path / "other.safetensors")
    write_model(tmp_path / "hollow.safetensors", header={}, tensors={})
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    header["__metadata__"]["format_version"] = "9"
    text = json.dumps(header).encode()
    newer = struct.pack("<Q", len(text)) + text + whole[8 + size :]
    (tmp_path / "newer.safetensors").write_bytes(newer)
    (tmp_path / "empty").mkdir()
    return {
        "short.safetensors": "not a whole safetensors file",
        "stub.safetensors": "not a whole safetensors file",
        "text.safetensors": "not a whole safetensors file",
        "other.safetensors": "a safetensors file, but not a ctcasr model",
        "hollow.safetensors": "header and tensors do not fit together",
        "newer.safetensors": "model format 9; ctcasr 0.1.0 reads formats up to 1",
        "empty": "a folder without model.safetensors",
        "gone": "no such model file, run folder or built-in model",
    }


def test_a_model_that_is_none_is_refused_by_every_command(
    ctcasr, tone_run, damaged_models, tmp_path
):
    for name, message in damaged_models.items():
        model = tmp_path / name
        recording = tone_run.recordings / "3-cad.wav"
        assert message in refusal(ctcasr("info", model))
        assert message in refusal(ctcasr("transcribe", "-m", model, recording))
        evaluate = ("evaluate", "-m", model, tone_run.manifest, "-o", tmp_path / "out")
        assert message in refusal(ctcasr(*evaluate))


def test_a_run_folder_in_use_is_refused(ctcasr, tone_run):
    train = ("train", tone_run.config, "-o", tone_run.folder)
    before = (tone_run.folder / "model.safetensors").read_bytes()

    assert "not empty; add --resume to go on" in refusal(ctcasr(*train))
    changed = refusal(ctcasr(*train, "--resume", "--set", "optim.peak_lr=1"))
    assert "these keys have changed: optim.peak_lr (0.02 -> 1.0)" in changed
    assert (tone_run.folder / "model.safetensors").read_bytes() == before


def test_the_options_of_training_reach_the_configuration(ctcasr, tone_run, tmp_path):
    ended = ctcasr(
        "train",
        tone_run.config,
        "-o",
        tmp_path / "run",
        "--set",
        "training.epochs=1",
        "--batch-size",
        3,
        "--workers",
        0,
    )

    assert ended.status == 0
    assert ended.err.splitlines()[-3:] == [
        f"model: {tmp_path / 'run' / 'model.safetensors'}",
        f"report: {tmp_path / 'run' / 'report.html'}",
        f"use it: ctcasr transcribe -m {tmp_path / 'run'} RECORDING.wav",
    ]
    config = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "batch_size: 3" in config
    assert "workers: 0" in config


# The whole way


def test_a_table_of_texts_becomes_a_model_that_transcribes(ctcasr, tone_run, tmp_path, monkeypatch):
    rows = [
        f"{(tone_run.recordings / name).as_posix()}.wav;{text};{'xyz'[at % 3]}"
        for at, (name, text) in enumerate(tone_run.texts.items())
    ]
    (tmp_path / "texts.csv").write_text("\n".join(["File;Sentence;Who", *rows]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    columns = "audio=File,text=Sentence,speaker=Who"

    made = ctcasr(
        "manifest",
        "texts.csv",
        "-o",
        "data",
        "--columns",
        columns,
        "--split",
        "60/20/20",
        "--by",
        "speaker",
    )
    assert made.status == 0
    sets = ["data/train.jsonl", "data/dev.jsonl", "data/test.jsonl"]
    speakers = [{item.speaker for item in read_manifest(Path(path))} for path in sets]
    assert [len(some) for some in speakers] == [1, 1, 1]
    assert set.union(*speakers) == {"x", "y", "z"}
    assert made.out.startswith(f"{Path('data/train.jsonl')}: 3 items, 1 speaker\n")

    checked = ctcasr("check", *sets, "-c", tone_run.config, "-o", "findings")
    assert "fatal" in checked.out
    assert (tmp_path / "findings" / "check.json").is_file()

    chosen = ["--set", "data.train=data/train.jsonl", "--set", "data.dev=data/dev.jsonl"]
    trained = ctcasr("train", tone_run.config, "-o", "run", *chosen, "--set", "training.epochs=1")
    assert trained.status == 0
    assert "epoch 1/1, loss " in trained.err
    assert ctcasr("transcribe", "-m", "run", tone_run.recordings).out.count("\n") == 8


def test_a_manifest_in_the_way_is_not_overwritten(ctcasr, tone_run, tmp_path):
    manifest = ("manifest", tone_run.recordings, "-o", tmp_path / "m.jsonl")
    assert ctcasr(*manifest).out == f"{tmp_path / 'm.jsonl'}: 8 items, 8 without text\n"
    assert "exists already" in refusal(ctcasr(*manifest))
    assert ctcasr(*manifest, "--overwrite").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "speaker"], "--by needs --split"),
        (["--columns", "text"], "--columns text: give FIELD=COLUMN, as in text=Sentence"),
        (["--split", "80/20", "-o", "m.jsonl"], "with --split, name a folder for the manifests"),
        (["--from", "floppy"], "floppy"),
    ],
)
def test_a_manifest_that_cannot_be_made_is_refused(ctcasr, tone_run, tmp_path, options, message):
    ended = ctcasr("manifest", tone_run.recordings, "-o", tmp_path / "data", *options)
    assert message in refusal(ended)


def test_fatal_findings_are_3(ctcasr, tone_run, tmp_path):
    line = {"id": "a", "audio": "gone.wav", "text": "ab"}
    (tmp_path / "m.jsonl").write_text(json.dumps(line), encoding="utf-8")

    ended = ctcasr("check", tmp_path / "m.jsonl", "-c", tone_run.config)

    assert ended.status == 3
    assert "FATAL" in ended.out
    assert ctcasr("check", tone_run.manifest, "-c", tone_run.config).status == 0


# Words and numbers


def test_times_counts_and_speeds_in_words():
    assert [format_time(seconds) for seconds in (0, 59.6, 3_723)] == ["0:00", "1:00", "1:02:03"]
    assert [count_of(n, "item") for n in (0, 1, 1_200)] == ["0 items", "1 item", "1,200 items"]
    assert describe_speed(10.0, 0.5) == "10.0 s of audio in 0.5 s, real-time factor 0.050"
    assert describe_speed(0.0, 0.5) == "0.5 s"
