"""`ctcasr transcribe --stream`, with a tiny model that was trained for it."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from ctcasr.config import load_config
from ctcasr.manifest import write_manifest
from ctcasr.manifest.utterance import Utterance
from ctcasr.pipeline.train import train
from tests.conftest import speak_tones

unix = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals of Unix")
SENTENCES = ["ab cd", "dcb a", "aa bd", "cad ba", "bd cc a", "da bc", "cc da b", "bad ab"]


def speak(sentence, *, seed):
    """The tones of a sentence, 150 ms of near silence more between words."""
    noise = np.random.default_rng(seed)
    parts = [speak_tones(word, seed=seed) for word in sentence.split()]
    pause = 0.002 * noise.standard_normal(1_200)
    return np.concatenate([part for word in parts for part in (word, pause)])


def record(root):
    """Write the sentences and a manifest of them."""
    (root / "recordings").mkdir()
    utterances = []
    for number, text in enumerate(SENTENCES):
        audio = root / "recordings" / f"{number}.wav"
        soundfile.write(audio, speak(text, seed=number), 8_000, subtype="PCM_16")
        utterances.append(Utterance(id=str(number), path=audio, text=text, speaker="x"))
    write_manifest(root / "tones.jsonl", utterances)


@pytest.fixture(scope="session")
def forwards_run(tmp_path_factory):
    """The folder of a finished training on tones, forwards only, and of its recordings."""
    root = tmp_path_factory.mktemp("forwards")
    record(root)
    manifest, config = root / "tones.jsonl", root / "tones.yaml"
    config.write_text(
        f"""
data: {{train: {manifest.as_posix()}, dev: {manifest.as_posix()}, batch_size: 2}}
frontend: {{sample_rate: 8000, num_mels: 20, normalise: training}}
augment: {{speed: [1, 1], gain_db: [0, 0], shift_ms: 0, time_masks: 0, freq_masks: 0}}
encoder: {{layers: 1, hidden: 16, stride: 2, dropout: 0.0, directions: forwards}}
optim: {{peak_lr: 0.02, warmup_steps: 5}}
training: {{epochs: 70, average: 1, precision: fp32}}
""",
        encoding="utf-8",
    )
    train(load_config(config), run=root / "run", device="cpu")
    return root


@pytest.fixture
def stream(ctcasr, forwards_run):
    """Return a function that runs the command in this process."""

    def run(*arguments, stdin=b""):
        model = ("-m", forwards_run / "run", "--device", "cpu")
        return ctcasr("transcribe", *model, "--stream", *arguments, stdin=stdin)

    return run


def recordings(root):
    return sorted((root / "recordings").iterdir())


def test_files_have_the_text_that_they_have_without_it(stream, ctcasr, forwards_run):
    offline = ctcasr("transcribe", "-m", forwards_run / "run", *recordings(forwards_run))

    ended = [stream(path) for path in recordings(forwards_run)]

    assert "".join(one.out for one in ended) == offline.out
    assert offline.out.startswith("ab cd\n"), "the model has learned its recordings"
    assert {one.status for one in ended} == {0}
    # half a window, and the second of two frames that are stacked
    assert ended[0].err.startswith("streaming 22.5 ms behind the sound")
    assert "real-time factor" in ended[0].err


@pytest.mark.parametrize("search", [(), ("--beam", 8), ("--hotword", "ab")])
def test_bytes_from_a_pipe_have_the_text_of_the_file(stream, forwards_run, search):
    for path in recordings(forwards_run)[:3]:
        assert stream("-", *search, stdin=path.read_bytes()).out == stream(path, *search).out


def test_bare_samples_need_their_rate(stream, forwards_run):
    path = recordings(forwards_run)[0]
    samples, rate = soundfile.read(path, dtype="int16")

    assert stream("-", "--rate", rate, stdin=samples.tobytes()).out == stream(path).out
    assert stream("-", stdin=samples.tobytes()).status == 3


def test_other_rates_are_resampled_and_said(stream, tmp_path):
    path = tmp_path / "fast.wav"
    slow = speak("ab cd", seed=0)
    soundfile.write(path, np.repeat(slow, 2), 16_000, subtype="PCM_16")

    ended = stream(path)

    assert ended.out == "ab cd\n"
    assert "resampled to the model's 8,000 Hz: 16,000 Hz" in ended.err


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("a.wav", "b.wav"), "2 inputs; give one file, or -"),
        (("a.wav", "--rate", 8_000), "--rate: a.wav says its own"),
        (("a.wav", "-f", "jsonl"), "leave out -f and -o"),
        (("a.wav", "-o", "x.txt"), "leave out -f and -o"),
    ],
)
def test_options_that_do_not_go_with_it_are_refused(stream, arguments, found):
    ended = stream(*arguments)

    assert (ended.status, ended.out) == (2, "")
    assert found in ended.err


def test_a_rate_alone_is_refused(ctcasr, forwards_run):
    assert ctcasr("transcribe", "-m", forwards_run / "run", "a.wav", "--rate", 8_000).status == 2


def test_a_model_that_reads_both_ways_is_refused_by_the_key(ctcasr, tone_run):
    ended = ctcasr("transcribe", "-m", tone_run.folder, "--stream", "a.wav")

    assert ended.status == 2
    assert "encoder.directions=forwards" in ended.err


def test_a_recording_that_cannot_be_read_is_a_failed_item(stream):
    ended = stream("absent.wav")

    assert (ended.status, ended.out) == (3, "\n")
    assert "failed: absent.wav: no such file" in ended.err


@pytest.fixture
def running(forwards_run):
    """Return a function that starts the program on a pipe, ready to listen."""
    started = []

    def start(**outputs):
        model = ["-m", str(forwards_run / "run"), "--device", "cpu"]
        program = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ctcasr",
                "transcribe",
                *model,
                "--stream",
                "-",
                "--rate",
                "8000",
            ],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            **outputs,
        )
        started.append(program)
        assert program.stderr is not None
        assert b"streaming" in program.stderr.readline()
        return program

    yield start
    for program in started:
        program.kill()
        program.wait()
        for pipe in (program.stdin, program.stdout, program.stderr):
            if pipe is not None:
                pipe.close()


def say(program, sentence):
    samples = speak(sentence, seed=1) * 32_768
    program.stdin.write(samples.astype("<i2").tobytes())
    program.stdin.flush()


def test_words_are_printed_before_the_recording_ends(running):
    program = running(stdout=subprocess.PIPE)

    say(program, "ab cd")
    early = program.stdout.read(2)  # waits for them, not for the end
    rest, _ = program.communicate(timeout=60)

    assert (early, rest, program.returncode) == (b"ab", b" cd\n", 0)


@unix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_has_settled_stands_after_an_interruption(running, number, status):
    program = running(stdout=subprocess.PIPE)

    say(program, "ab cd")
    early = program.stdout.read(2)
    program.send_signal(number)
    rest, said = program.communicate(timeout=60)

    assert (early + rest, program.returncode) == (b"ab\n", status)
    assert b"interrupted" in said


@unix
def test_a_terminal_shows_the_unsettled_rest_dim(running):
    ours, theirs = os.openpty()
    program = running(stdout=theirs)
    os.close(theirs)
    shown = b""

    say(program, "ab cd")
    program.stdin.close()
    while not shown.endswith(b"\n"):
        shown += os.read(ours, 1_000)
    os.close(ours)

    assert program.wait(60) == 0
    assert b"\x1b[2m" in shown
    assert replay(shown.decode()) == "ab cd"


def replay(written):
    """Return what a terminal shows after such a line."""
    line, at = "", 0
    for code, text in re.findall(r"\x1b\[(\d*[A-Za-z])|([^\x1b\r\n]+)", written):
        if text:
            line = line[:at] + text + line[at + len(text) :]
            at += len(text)
        elif code == "K":
            line = line[:at]
        elif code.endswith("D"):
            at -= int(code[:-1])
    return line
