import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.report import write_report
from ctcasr.pipeline.run_record import read_run
from ctcasr.reporting.html.experiments import differing_keys

RUNS = Path(__file__).parent / "runs"
FACTS = {"command": "ctcasr train x", "started": "2026-01-02T03:04:05+0000", "status": "finished"}


def make_run(path, source="overfitting", **facts):
    """A run folder of one of the real trainings in tests/runs; it has no model."""
    shutil.copytree(RUNS / source, path)
    (path / "run.json").write_text(json.dumps(FACTS | facts), encoding="utf-8")
    return path


class Page(HTMLParser):
    """What a browser would find: tags, links, the text of cells, everything else."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.rows, self.text = [], [], [], ""
        self.in_cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data

    def row(self, name):
        """The cells of the row that begins with a text, without white space at their ends."""
        return next([c.strip() for c in row] for row in self.rows if row[0].strip() == name)


# A run


def test_a_run_gets_a_page_of_its_own(ctcasr, tmp_path):
    run = make_run(tmp_path / "run")

    ended = ctcasr("report", run)

    assert (ended.status, ended.out) == (0, f"{run / 'report.html'}\n")
    page = Page(run / "report.html")
    assert "60 of 60 epochs, 780 steps" in page.text
    assert "The network learns the training set by heart." in page.text
    assert page.tags.count("svg") == 6
    assert page.row("command") == ["command", "ctcasr train x"]
    assert page.row("optim.peak_lr") == ["optim.peak_lr", "0.005"]
    assert page.row("60")[3:5] == ["55.03 %", "87.76 %"]


def test_a_page_loads_nothing_from_a_network(tmp_path):
    page = Page(write_report(make_run(tmp_path / "run")))

    assert all(link.startswith("#") for link in page.links)


def test_equal_runs_give_equal_pages(tmp_path):
    pages = [write_report(make_run(tmp_path / where / "run")) for where in "ab"]

    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_what_was_left_out_is_named_and_escaped(tmp_path):
    run = make_run(tmp_path / "run")
    left_out = [
        {"set": "train", "id": "<script>alert(1)</script>", "kind": "unreadable", "reason": "a<b"},
        {"set": "dev", "id": "שלום", "kind": "too long", "reason": "9 frames"},
    ]
    (run / "skipped.jsonl").write_text("\n".join(map(json.dumps, left_out)), encoding="utf-8")

    page = Page(write_report(run))

    assert "script" not in page.tags
    assert page.row("<script>alert(1)</script>")[1] == "a<b"
    assert page.row("שלום")[1] == "9 frames"
    assert "2 utterances could not be learned from" in page.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", "it goes on, or was killed without a word"),
        ("failed", "The run did not finish: failed"),
        ("interrupted", "The run did not finish: interrupted"),
    ],
)
def test_a_run_that_did_not_end_well_says_so(tmp_path, status, said):
    assert said in Page(write_report(make_run(tmp_path / "run", status=status))).text


def test_a_run_that_failed_says_why(ctcasr, tone_run, tmp_path):
    run = tmp_path / "run"
    settings = ["training.epochs=3", "optim.peak_lr=1e6", "training.max_bad_steps=0"]

    ended = ctcasr("train", tone_run.config, "-o", run, *(f"--set={one}" for one in settings))

    assert ended.status == 2
    reason = ended.err.splitlines()[-1].removeprefix("ctcasr: error: ")
    assert f"The run did not finish: failed, {reason}." in Page(run / "report.html").text


def test_a_run_without_a_whole_epoch_has_a_page(tmp_path):
    run = make_run(tmp_path / "run", status="running")
    (run / "metrics.jsonl").unlink()

    assert "no epoch done" in Page(write_report(run)).text


def test_a_run_without_a_dev_set_says_what_that_means(tmp_path):
    run = make_run(tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    nothing = {"dev_loss": None, "dev_cer": None, "dev_wer": None, "blank_share": None}
    records = [json.dumps(json.loads(line) | nothing) for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(records), encoding="utf-8")

    assert "There was no dev set" in Page(write_report(run)).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", '{"status": '),
        ("run.json", "[1]"),
        ("config.yaml", "a: ["),
        ("config.yaml", "3"),
        ("metrics.jsonl", '{"epoch": 1}\n{}\n'),
        ("skipped.jsonl", '{"id": "a"}\n'),
        ("skipped.jsonl", "[]\n"),
        ("model.safetensors", "not a model"),
    ],
)
def test_a_damaged_file_is_named_on_the_page(tmp_path, name, content):
    run = make_run(tmp_path / "run")
    (run / name).write_text(content, encoding="utf-8")

    assert str(run / name) in Page(write_report(run)).text


def test_training_ends_in_a_page_and_advice(ctcasr, tone_run, tmp_path):
    run = tmp_path / "run"

    ended = ctcasr("train", tone_run.config, "-o", run, "--set", "training.epochs=2")

    assert ended.status == 0
    assert f"report: {run / 'report.html'}" in ended.err
    assert "advice: The network writes nothing. After 8 steps, " in ended.err
    page = Page(run / "report.html")
    assert page.row("learned from")[1] == "8 items, 0.1 min"  # of the model


def test_a_training_that_went_well_ends_without_advice(tone_run):
    assert read_run(tone_run.folder).advice() == []


# A folder of runs


@pytest.fixture
def experiments(tmp_path):
    """Runs at several depths: whole, running, damaged, scored."""
    folder = tmp_path / "exp"
    make_run(folder / "b", "overfitting")
    make_run(folder / "a<b> & c", "still-improving", status="running")
    make_run(folder / "deep" / "er" / "run", "an4")
    make_run(folder / "too" / "deep" / "er" / "run", "fsdd")
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text('{"sta', encoding="utf-8")
    rate = {"rate": 0.25, "ci95": [0.2, 0.3]}
    record = {"schema": 1, "partial": True, "raw": {"word": rate, "char": rate | {"ci95": None}}}
    for name, content in {"good": json.dumps(record), "bad": "{}", "cut": '{"a'}.items():
        (folder / "b" / "eval" / name).mkdir(parents=True)
        (folder / "b" / "eval" / name / "results.json").write_text(content, encoding="utf-8")
    (folder / "b" / "eval" / "good" / "report.html").write_text("", encoding="utf-8")
    return folder


def test_all_runs_stand_on_one_page(ctcasr, experiments):
    ended = ctcasr("report", experiments)

    assert (ended.status, ended.out) == (0, f"{experiments / 'index.html'}\n")
    page = Page(experiments / "index.html")
    runs = [row[0].strip() for row in page.rows[1:]]
    assert runs == ["a<b> & c", "b", "broken", "deep/er/run"]
    assert [page.row(run)[1] for run in runs] == ["running", "finished", "damaged", "finished"]
    assert page.row("b")[2:4] == ["[PARTIAL] 25.00 % [20.00, 30.00]", "25.00 %"]
    assert page.row("deep/er/run")[2:4] == ["", ""]
    assert "broken/run.json: damaged" in page.text
    assert "bad/results.json: schema null found" in page.text
    assert "cut/results.json: not JSON" in page.text


def test_every_run_is_linked_to_its_page(experiments):
    write_report(experiments)

    links = Page(experiments / "index.html").links
    assert "a%3Cb%3E%20%26%20c/report.html" in links
    assert "b/eval/good/report.html" in links
    assert all((experiments / name / "report.html").is_file() for name in ("b", "deep/er/run"))


def test_a_page_that_stands_is_left_as_it_is(experiments):
    (experiments / "b" / "report.html").write_text("mine", encoding="utf-8")

    write_report(experiments)

    assert (experiments / "b" / "report.html").read_text(encoding="utf-8") == "mine"


def test_the_page_of_a_run_that_has_gone_on_is_written_anew(experiments):
    page = experiments / "b" / "report.html"
    page.write_text("old", encoding="utf-8")
    os.utime(page, (1, 1))

    write_report(experiments)

    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_only_keys_that_differ_are_shown(experiments):
    page = write_report(experiments).read_text(encoding="utf-8")

    heads = re.findall(r'<button type="button">(.*?)</button>', page)
    assert "optim.decay" in heads
    assert "frontend.sample_rate" not in heads
    assert "data.workers" not in heads  # decides nothing


def test_a_run_without_a_configuration_makes_no_difference():
    assert differing_keys([{"a": 1, "b": [1]}, {}, {"a": 1, "b": [2]}]) == ["b"]
    assert differing_keys([{"a": 1}, {"a": 1, "c": None}]) == []
    assert differing_keys([]) == []


def test_columns_can_be_sorted_by_numbers_not_by_their_looks(experiments):
    page = write_report(experiments).read_text(encoding="utf-8")

    assert 'data-value="0.25"' in page
    assert page.count('aria-sort="none"') == page.count('<button type="button">')


# An evaluation, and nothing of all that


def test_an_evaluation_gets_its_report_anew(ctcasr, tone_run, tmp_path):
    out = tmp_path / "eval"
    evaluate(tone_run.folder, tone_run.manifest, out=out, device="cpu")
    before = (out / "report.md").read_bytes()
    for name in ("report.md", "report.html"):
        (out / name).unlink()

    ended = ctcasr("report", out)

    assert (ended.status, ended.out) == (0, f"{out / 'report.html'}\n")
    assert (out / "report.md").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "found"), [("empty", "a folder"), ("file", "a file"), ("none", "nothing")]
)
def test_other_folders_are_refused(ctcasr, tmp_path, name, found):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")

    ended = ctcasr("report", tmp_path / name)

    assert ended.status == 2
    assert f"{tmp_path / name}: {found}, but neither a run (run.json), nor" in ended.err
    assert ended.err.count("\n") == 1


def test_results_that_cannot_be_read_are_refused(ctcasr, tmp_path):
    (tmp_path / "results.json").write_text('{"schema": 7}', encoding="utf-8")

    ended = ctcasr("report", tmp_path)

    assert ended.status == 2
    assert (
        "results.json: schema 7 found, this release reads 1; evaluate or score again" in ended.err
    )


def test_runs_without_text_show_the_dev_error_that_they_have(tmp_path):
    folder = tmp_path / "exp"
    make_run(folder / "text", "an4")
    run = make_run(folder / "who", "overfitting")
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    wrong = [{"dev_cer": None, "dev_wer": None, "dev_class_error": share} for share in (0.5, 0.25)]
    records = [json.loads(line) | one for line, one in zip(lines[:2], wrong, strict=True)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (run / "metrics.jsonl").write_text(text, encoding="utf-8")

    write_report(folder)

    page = Page(folder / "index.html")
    heads = [cell.strip() for cell in page.rows[0]]
    assert heads[2:5] == ["dev CER", "dev WER", "dev class error"]
    assert page.row("who")[2:5] == ["", "", "25.00 %"]
    assert page.row("text")[4] == ""
