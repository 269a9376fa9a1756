import json
import random
import re
import subprocess

import pytest

from ctcasr.pipeline.score import ScoreOptions, score_files
from tests.sctk import SCLITE, needs_sctk


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

    options = ScoreOptions(rules=("casefold", "punctuation"))
    results = score_files(files / "said.txt", files / "heard.txt", options=options).results

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


def test_another_systems_output_gets_the_whole_report(ctcasr, files):
    (files / "said.jsonl").write_text(
        '{"id": "a", "text": "one two", "speaker": "x", "device": "old", "duration": 2.5}\n'
        '{"id": "b", "text": "three four", "speaker": "y", "device": "new", "duration": 1.5}\n',
        encoding="utf-8",
    )

    ended = ctcasr("score", files / "said.jsonl", files / "heard.tsv", "-o", files / "out")

    page = (files / "out" / "report.html").read_text(encoding="utf-8")
    assert ended.err == f"report: {files / 'out' / 'report.html'}\n"
    assert ">four<" in page
    record = json.loads((files / "out" / "results.json").read_text(encoding="utf-8"))
    assert record["utterances"][0]["fields"] == {"device": "old"}
    assert record["utterances"][0]["measured"]["duration"] == 2.5
    assert record["analysis"]["breakdowns"] != []


# Exports


def timed(name, words, **fields):
    """A transcript of ctcasr: words of 0.4 s from its offset on."""
    offset = fields.pop("offset", 0.0)
    return {
        "id": name,
        "text": " ".join(words),
        "words": [
            {"text": word, "start": offset + at / 2, "end": offset + at / 2 + 0.4}
            for at, word in enumerate(words)
        ],
        "segments": [{"start": offset, "end": offset + 10, "text": " ".join(words)}],
        **fields,
    }


@pytest.fixture
def many(tmp_path):
    """A manifest and transcripts of texts that make ties, hold odd characters, or are empty."""
    draw = random.Random(5)
    words = ["a", "b", "A", "{b}", "(c)", "d/e", "@", "é", "שלום", "<s>", "50%"]

    def text():
        return [draw.choice(words) for _ in range(draw.randint(0, 6))]

    said = [
        {
            "id": f"s{k % 3} #{k}",
            "text": " ".join(text()),
            "offset": k,
            "duration": 10,
            "speaker": f"s{k % 3}",
        }
        for k in range(150)
    ]
    heard = [timed(one["id"], text(), offset=one["offset"]) for one in said[:-1]]
    heard.append({"id": said[-1]["id"], "text": "", "error": {"kind": "A", "message": "gone"}})
    for name, records in (("said", said), ("heard", heard)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


@needs_sctk
@pytest.mark.parametrize("kind", ["trn", "ctm"])
def test_sclite_counts_the_same_errors_in_exported_files(ctcasr, many, kind):
    out = many / "out"
    ended = ctcasr(
        *("score", many / "said.jsonl", many / "heard.jsonl", "-o", out),
        *("--export", "trn,stm,ctm", "--costs", "nist"),
    )
    assert ended.status == 3
    assert "note" not in ended.err
    reference = "ref.trn trn" if kind == "trn" else "ref.stm stm"

    report = subprocess.run(
        f"{SCLITE} -r {reference} -h hyp.{kind} {kind} -i rm -e utf-8 -s -o rsum stdout".split(),
        cwd=out,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout

    word = json.loads((out / "results.json").read_text(encoding="utf-8"))["raw"]["word"]
    (total,) = re.findall(r"Sum +\| +(.*?)\|(.*?)\|", report)
    assert total[0].split() == ["150", str(word["n"])]
    counted = [word[key] for key in ("hit", "sub", "del", "ins")]
    assert [int(number) for number in total[1].split()[:4]] == counted


@pytest.mark.parametrize("hypothesis", ["hyp.trn", "hyp.ctm"])
def test_exported_files_are_read_back_to_the_same_scores(ctcasr, many, hypothesis):
    out = many / "out"
    ctcasr("score", many / "said.jsonl", many / "heard.jsonl", "-o", out, "--export", "trn,stm,ctm")
    before = json.loads((out / "results.json").read_text(encoding="utf-8"))["raw"]

    reference = "ref.trn" if hypothesis == "hyp.trn" else "ref.stm"
    ctcasr("score", out / reference, out / hypothesis, "-o", many / "again")

    after = json.loads((many / "again" / "results.json").read_text(encoding="utf-8"))["raw"]
    assert all(
        after[unit][key] == before[unit][key]
        for unit in ("word", "char")
        for key in ("n", "hit", "sub", "del", "ins")
    )


def test_a_missing_time_is_said_not_invented(ctcasr, files):
    (files / "heard.jsonl").write_text(
        json.dumps(timed("a", ["one", "two"])) + "\n"
        + json.dumps({"id": "b", "text": "three for"}) + "\n",
        encoding="utf-8",
    )  # fmt: skip

    ended = ctcasr(
        *("score", files / "said.jsonl", files / "heard.jsonl", "-o", files / "out"),
        *("--export", "stm,ctm"),
    )

    assert "note: stm and ctm: 1 utterances left out, since nobody says where" in ended.err
    assert (files / "out" / "ref.stm").read_text() == "a 1 a 0.000 10.000 one two\n"
    assert (files / "out" / "hyp.ctm").read_text() == "a 1 0.000 0.400 one\na 1 0.500 0.400 two\n"
    assert not (files / "out" / "ref.trn").exists()


def test_times_of_other_words_are_not_taken(ctcasr, files):
    records = [timed("a", ["one", "two"]) | {"text": "one too"}, timed("b", ["three", "for"])]
    (files / "heard.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    ended = ctcasr(
        *("score", files / "said.jsonl", files / "heard.jsonl", "-o", files / "out"),
        *("--export", "ctm"),
    )

    assert "note: hyp.ctm: 1 utterances without their words, which have no times: 'a'" in ended.err
    assert [line[0] for line in (files / "out" / "hyp.ctm").read_text().splitlines()] == ["b", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "trn"], "--export: nowhere to write to; give a folder: -o DIR"),
        (["--export", "trn,txt", "-o", "out"], "--export txt: no such format; choose from: trn, "),
        (["--rules", "numbers:xx"], "no numbers are known in language 'xx'"),
    ],
)
def test_options_that_cannot_be_are_refused(ctcasr, files, arguments, message):
    ended = ctcasr("score", files / "said.tsv", files / "heard.tsv", *arguments)

    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
