import json

import pytest

from ctcasr.pipeline.score import score_files


@pytest.fixture
def files(tmp_path):
    """References and hypotheses in each kind of file: one error in four words."""
    said, heard = {"a": "one two", "b": "three four"}, {"b": "three for", "a": "one two"}
    for name, texts in (("said", said), ("heard", heard)):
        lines = [json.dumps({"id": key, "text": text}) for key, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        rows = [f"{key}\t{text}" for key, text in texts.items()]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows), encoding="utf-8")
        plain = [texts[key] for key in sorted(texts)]
        (tmp_path / f"{name}.txt").write_text("\n".join(plain), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("kinds", ["jsonl jsonl", "tsv tsv", "txt txt", "jsonl tsv", "tsv jsonl"])
def test_every_kind_of_file_is_paired(ctcasr, files, kinds):
    reference, hypothesis = kinds.split()

    ended = ctcasr("score", files / f"said.{reference}", files / f"heard.{hypothesis}")

    assert ended.status == 0
    assert "25.00" in ended.out
    assert ended.out.splitlines()[2].split("|")[2:6] == ["     4 ", "   1 ", "   0 ", "   0 "]
    assert ended.err == ""


def test_results_are_written_where_asked(ctcasr, files):
    ctcasr("score", files / "said.tsv", files / "heard.tsv", "-o", files / "out")

    results = json.loads((files / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["raw"]["word"]["rate"] == 0.25
    assert results["model"] is None
    assert results["rtf"] is None
    assert (
        (files / "out" / "report.md").read_text(encoding="utf-8").startswith("# out: WER 25.00 %")
    )


def test_rules_apply_to_both_sides(files):
    (files / "said.txt").write_text("One, two!\nthree four", encoding="utf-8")

    results = score_files(
        files / "said.txt", files / "heard.txt", rules=("casefold", "punctuation")
    )

    assert results.raw.word.counts.errors == 3
    assert results.normalised.word.counts.errors == 1


def test_a_missing_hypothesis_counts_and_marks_the_result(ctcasr, files):
    (files / "heard.tsv").write_text("a\tone two", encoding="utf-8")

    ended = ctcasr("score", files / "said.tsv", files / "heard.tsv")

    assert ended.status == 3
    assert "[PARTIAL]" in ended.out


@pytest.mark.parametrize(
    ("reference", "hypothesis", "message"),
    [
        ("gone.tsv", "heard.tsv", "cannot be read (No such file or directory)"),
        ("said.txt", "heard.tsv", None),
        ("said.txt", "more.txt", "has 2 lines but"),
        ("said.jsonl", "broken.jsonl", "broken.jsonl:2:12: not JSON"),
    ],
)
def test_files_that_do_not_fit_are_refused(ctcasr, files, reference, hypothesis, message):
    (files / "more.txt").write_text("a\nb\nc", encoding="utf-8")
    (files / "broken.jsonl").write_text('{"id": "a", "text": ""}\n{"id": "b" "text"}', "utf-8")

    ended = ctcasr("score", files / reference, files / hypothesis)

    if message is None:
        assert ended.status == 0
    else:
        assert ended.status == 2
        assert ended.err.startswith("ctcasr: error: ")
        assert message in ended.err
        assert ended.err.count("\n") == 1


def test_an_unknown_rule_lists_the_known_ones(ctcasr, files):
    ended = ctcasr("score", files / "said.tsv", files / "heard.tsv", "--rules", "upper")
    assert ended.status == 2
    assert "text rule 'upper' does not exist; choose from: nfc, nfkc, whitespace," in ended.err
