import pytest

from ctcasr.errors import OutputError, TrainingError
from ctcasr.pipeline.run_log import RunLog
from ctcasr.pipeline.train import SilentObserver
from ctcasr.training.loading import LoadingError


class Listener(SilentObserver):
    def __init__(self):
        self.heard = []

    def on_warning(self, message):
        self.heard.append(message)


@pytest.fixture
def log(tmp_path):
    return RunLog(tmp_path / "log.txt", Listener())


def lines_of(log):
    return log.path.read_text(encoding="utf-8").splitlines()


def test_warnings_are_written_and_handed_on(log):
    log.on_warning("späte Warnung")
    log.repeat("an old one")

    assert lines_of(log) == ["späte Warnung"]
    assert log.inner.heard == ["späte Warnung", "an old one"]


def test_a_log_is_cut_back_to_a_size_it_had(log):
    sizes = []
    for number in range(3):
        sizes.append(log.num_bytes)
        log.on_warning(f"é{number}")

    log.cut_back(10**6)  # somebody has shortened it
    assert lines_of(log) == ["é0", "é1", "é2"]
    log.cut_back(sizes[2])
    assert lines_of(log) == ["é0", "é1"]
    log.cut_back(0)
    assert lines_of(log) == []
    assert sizes == [0, 4, 8]


def test_a_log_that_is_not_there_need_not_be_cut_back(log):
    log.cut_back(0)
    assert not log.path.exists()


def raised(error, cause=None):
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_a_mistake_is_written_in_one_line_and_a_bug_with_its_traceback(log):
    log.write_failure(raised(TrainingError("too steep"), ValueError("inner")))
    log.write_failure(raised(LoadingError("too many")))
    assert lines_of(log) == ["stopped: too steep", "stopped: too many"]

    log.cut_back(0)
    log.write_failure(raised(LoadingError("no batch"), ValueError("inner")))
    log.write_failure(raised(KeyError("ours")))
    written = lines_of(log)
    assert written.count("stopped:") == 2
    assert written[1] == "ValueError: inner"
    assert written[-1] == "KeyError: 'ours'"


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "log.txt").mkdir()

    with pytest.raises(OutputError, match=r"log\.txt: cannot be written \(.*--resume"):
        RunLog(tmp_path / "log.txt", Listener()).on_warning("x")
