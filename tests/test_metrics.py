import json

import pytest

from ctcasr.errors import OutputError
from ctcasr.training.metrics import EpochReport, MetricsLog, append_json_line


def report(epoch):
    return EpochReport(
        epoch=epoch,
        epochs=9,
        step=4 * epoch,
        loss=1.5,
        grad_norm=0.5,
        clipped=0.25,
        learning_rate=1e-3,
        dev_loss=None,
        dev_cer=0.25,
        dev_wer=0.5,
        blank_share=0.75,
        audio_rate=100.0,
        padding=0.02,
        waiting=0.01,
        seconds=3.0,
        cpu_seconds=6.0,
        skipped=0,
    )


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path / "run" / "metrics.jsonl")
    for epoch in (1, 2, 3):
        log.append(report(epoch))
    return log


def epochs_of(log):
    lines = log.path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def test_each_epoch_is_one_line(log):
    assert epochs_of(log) == [1, 2, 3]
    assert log.path.read_bytes().count(b"\n") == 3
    assert b"\r" not in log.path.read_bytes()


def test_epochs_that_will_be_run_again_are_cut_off(log):
    log.cut_back(last_epoch=2)
    log.append(report(3))

    assert epochs_of(log) == [1, 2, 3]
    log.cut_back(last_epoch=0)
    assert log.path.read_bytes() == b""


def test_a_line_cut_off_by_a_crash_is_dropped(log):
    log.path.write_bytes(log.path.read_bytes() + b'{"epoch": 4, "lo')

    log.cut_back(last_epoch=4)

    assert epochs_of(log) == [1, 2, 3]


def test_a_log_that_is_not_there_needs_no_cutting(tmp_path):
    MetricsLog(tmp_path / "metrics.jsonl").cut_back(last_epoch=3)

    assert not (tmp_path / "metrics.jsonl").exists()


def test_text_of_any_script_is_written_as_it_is(tmp_path):
    append_json_line(tmp_path / "log.jsonl", {"id": "नमस्ते"})

    assert (tmp_path / "log.jsonl").read_bytes() == '{"id": "नमस्ते"}\n'.encode()


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=r"log.jsonl: cannot be written \(.*\); free some space"):
        append_json_line(tmp_path / "file" / "log.jsonl", {})
