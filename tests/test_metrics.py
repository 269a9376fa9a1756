import json
from dataclasses import asdict

import pytest

from ctcasr.errors import OutputError, RunFolderError
from ctcasr.training.metrics import EpochReport, MetricsLog, append_json_line, read_metrics


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
        throughput=100.0,
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


# Reading


def test_epochs_are_read_back_as_they_were(log):
    assert read_metrics(log.path) == [report(1), report(2), report(3)]


def test_a_run_that_has_no_metrics_yet_has_no_epochs(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_line_cut_off_while_it_was_written_is_no_epoch(log):
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"epoch": 4, "epo')

    assert read_metrics(log.path) == [report(1), report(2), report(3)]


def test_metrics_of_older_releases_have_no_share_of_clipped_steps(log):
    text = log.path.read_text(encoding="utf-8").replace('"clipped": 0.25, ', "")
    log.path.write_text(text, encoding="utf-8")

    assert {report.clipped for report in read_metrics(log.path)} == {None}


WRONG = [json.dumps(asdict(report(1)) | {"loss": value}) for value in ("low", None, [1])]


@pytest.mark.parametrize("line", ["[]", "{}", "nonsense", '{"epoch": 1, "colour": "red"}', *WRONG])
def test_a_line_that_is_no_epoch_is_named(log, line):
    log.path.write_text(line + "\n" + log.path.read_text(encoding="utf-8"), encoding="utf-8")

    with pytest.raises(RunFolderError, match=r"metrics\.jsonl: line 1 is no epoch"):
        read_metrics(log.path)
