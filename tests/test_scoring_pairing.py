import gzip
import json
import re

import pytest

from ctcasr.errors import ScoringError
from ctcasr.scoring import Failed, Reference, pair_files


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(record) + "\n" for record in content)
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


MANIFEST = [
    {"id": "u1", "text": "one", "speaker": "ann", "audio": "nowhere/u1.wav"},
    {"id": "u2", "text": ""},
    {"id": "u3"},
]


@pytest.mark.parametrize("name", ["ref.jsonl", "ref.jsonl.gz"])
def test_manifests_are_paired_with_transcripts_by_id_without_their_recordings(write, name):
    transcripts = [
        {"schema": 1, "id": "u2", "text": "x", "error": None, "words": []},
        {"schema": 1, "id": "u1", "text": "", "error": {"kind": "AudioError", "message": "bad"}},
        {"schema": 1, "id": "u3", "text": None, "error": None},
    ]

    said, recognised = pair_files(write(name, MANIFEST), write("hyp.jsonl", transcripts))

    assert said == [
        Reference("u1", "one", "ann"),
        Reference("u2", "", None),
        Reference("u3", None, None),
    ]
    assert recognised == {
        "u1": Failed("bad"),
        "u2": "x",
        "u3": Failed("the hypothesis has no text"),
    }


def test_tables_are_paired_by_id(write):
    said, recognised = pair_files(
        write("ref.tsv", "b\ttwo\r\na\tone\r\n"), write("hyp.tsv", "\ufeffa\tone\nb\t\n")
    )

    assert said == [Reference("b", "two"), Reference("a", "one")]
    assert recognised == {"a": "one", "b": ""}


def test_plain_text_is_paired_line_by_line_empty_lines_included(write):
    said, recognised = pair_files(write("ref.txt", "one\n\nthree\n"), write("hyp.txt", "1\n2\n\n"))

    assert said == [
        Reference("line-1", "one"),
        Reference("line-2", ""),
        Reference("line-3", "three"),
    ]
    assert recognised == {"line-1": "1", "line-2": "2", "line-3": ""}


def test_plain_text_takes_the_ids_of_the_other_file(write):
    said, recognised = pair_files(write("ref.jsonl", MANIFEST), write("hyp.txt", "a\nb\nc\n"))

    assert [item.id for item in said] == ["u1", "u2", "u3"]
    assert recognised == {"u1": "a", "u2": "b", "u3": "c"}


def test_one_character_and_odd_line_breaks_are_text(write):
    said, _ = pair_files(write("ref.txt", "a\nb\u2028c\n"), write("hyp.txt", "a\nb\n"))

    assert [item.text for item in said] == ["a", "b\u2028c"]


def test_empty_files_hold_nothing(write):
    assert pair_files(write("ref.txt", ""), write("hyp.txt", "")) == ([], {})


def test_line_counts_that_differ_are_named(write):
    with pytest.raises(
        ScoringError, match=r"ref\.txt has 2 lines but .*hyp\.txt has 1; plain text"
    ):
        pair_files(write("ref.txt", "a\nb\n"), write("hyp.txt", "a\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"id": "a"}\n{"id" "b"}\n', "x.jsonl:2:7: not JSON (Expecting ':' delimiter)"),
        ("x.jsonl", '{"text": "a"}\n', 'x.jsonl:1: no "id"; items are paired by it'),
        ("x.jsonl", "[1]\n", "x.jsonl:1: list found; write one JSON object on each line"),
        ("x.jsonl", '{"id": 7}\n', "x.jsonl:1: 'id' is 7; give a string"),
        ("x.jsonl", '{"id": "a", "text": ["b"]}\n', "'text' is [\"b\"]; give a string"),
        ("x.jsonl", '{"id": "a"}\n{"id": "a"}\n', "x.jsonl: ids given twice: 'a'; give each"),
        ("x.tsv", "a one\n", "x.tsv:1: 'a one' found; write an id, a tab and the text"),
        ("x.tsv", "a\tone\na\ttwo\n", "x.tsv: ids given twice: 'a'"),
        ("x.txt", b"caf\xe9\n", "x.txt: not UTF-8 (byte 3); save it as UTF-8 text"),
    ],
)
def test_what_cannot_be_understood_is_named_by_line(write, name, content, message):
    with pytest.raises(ScoringError, match=re.escape(message)):
        pair_files(write(name, content), write("hyp.jsonl", [{"id": "a", "text": "b"}]))


def test_files_that_cannot_be_read_are_named(write, tmp_path):
    hypothesis = write("hyp.txt", "a\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    (tmp_path / "not.jsonl.gz").write_bytes(b"{}")

    with pytest.raises(ScoringError, match=r"none\.txt: cannot be read \(No such file"):
        pair_files(tmp_path / "none.txt", hypothesis)
    for name in ("cut.jsonl.gz", "not.jsonl.gz"):
        with pytest.raises(ScoringError, match=rf"{name}: cannot be read"):
            pair_files(tmp_path / name, hypothesis)
