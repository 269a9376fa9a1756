import gzip
import json
import math

import pytest

from ctcasr.decoding.arpa import read_arpa
from ctcasr.decoding.tokens import Tokens, TokenUnit
from ctcasr.pipeline.language_model import measure_perplexity, read_texts

SAID = "one two three\none two\n\ntwo  three \n"


@pytest.fixture
def said(tmp_path):
    path = tmp_path / "said.txt"
    path.write_text(SAID, encoding="utf-8")
    return path


def test_a_model_is_trained_and_measured(ctcasr, said, tmp_path):
    trained = ctcasr("lm", "train", said, "-o", tmp_path / "words.arpa", "--order", 2)

    assert trained.status == 0
    assert trained.out == (
        f"{tmp_path / 'words.arpa'}: 6 1-grams, 6 2-grams; from 3 sentences and 7 words, "
        f"0 of them <unk>\n"
    )
    assert trained.err.splitlines() == [
        f"{said}: line 3: no text; left out",
        "too few counts to estimate discounts of 1-grams, 2-grams: .5, 1 and 1.5",
    ]
    model = read_arpa(tmp_path / "words.arpa")
    assert model.words == ("<unk>", "<s>", "</s>", "one", "three", "two")

    (tmp_path / "new.txt").write_text("one two four\n", encoding="utf-8")
    measured = ctcasr("lm", "perplexity", "-m", tmp_path / "words.arpa", tmp_path / "new.txt")

    score = model.log_prob(["one", "two", "four"])
    assert measured.status == 0
    assert measured.err == ""
    assert [line.rsplit("  ", 1) for line in measured.out.splitlines()] == [
        [f"{'sentences':<32}", "1"],
        [f"{'words':<32}", "3"],
        [f"{'characters':<32}", "12"],
        [f"{'tokens':<32}", "3"],
        [f"{'unknown tokens':<32}", "1 (33.33%)"],
        [f"{'perplexity per word':<32}", f"{math.exp(-score.log_prob / 4):.2f}"],
        [f"{'perplexity per character':<32}", f"{math.exp(-score.log_prob / 13):.3f}"],
        [f"{'perplexity per token':<32}", f"{math.exp(-score.log_prob / 4):.3f}"],
        [f"{'the same without unknown tokens':<32}", f"{math.exp(-score.known_log_prob / 3):.3f}"],
    ]


def _write_manifest(path, texts, write=lambda content: content):
    items = [{"id": f"i{at}", "audio": "x.wav", "text": text} for at, text in enumerate(texts)]
    path.write_bytes(write("".join(json.dumps(item) + "\n" for item in items).encode("utf-8")))
    return path


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "jsonl.gz", "stdin"])
def test_every_kind_of_text_gives_the_same_model(ctcasr, said, tmp_path, kind):
    write = gzip.compress if kind.endswith("gz") else lambda content: content
    text, stdin = tmp_path / f"text.{kind}", b""
    if kind == "stdin":
        text, stdin = "-", SAID.encode("utf-8")
    elif "jsonl" in kind:
        _write_manifest(text, SAID.splitlines(), write)
    else:
        text.write_bytes(write(SAID.encode("utf-8")))

    assert ctcasr("lm", "train", said, "-o", tmp_path / "a.arpa").status == 0
    ended = ctcasr("lm", "train", text, "-o", tmp_path / "b.arpa", stdin=stdin)

    assert ended.status == 0
    assert (tmp_path / "b.arpa").read_bytes() == (tmp_path / "a.arpa").read_bytes()


def test_several_texts_are_one(ctcasr, said, tmp_path):
    halves = tmp_path / "one.txt", tmp_path / "two.txt"
    halves[0].write_text("one two three\n", encoding="utf-8")
    halves[1].write_text("one two\ntwo three", encoding="utf-8")
    ctcasr("lm", "train", said, "-o", tmp_path / "a.arpa.gz")
    ctcasr("lm", "train", *halves, "-o", tmp_path / "b.arpa.gz")
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()


def test_items_without_text_are_named(ctcasr, tmp_path):
    manifest = _write_manifest(tmp_path / "m.jsonl", ["a", "", "b", None])
    ended = ctcasr("lm", "train", manifest, "-o", tmp_path / "m.arpa", "--order", 1)
    assert f"{manifest}: item 'i1' (and 1 more): no text; left out" in ended.err


def test_text_rules_come_first(ctcasr, tmp_path):
    (tmp_path / "t.txt").write_text(
        "Caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}, one!\n", "utf-8"
    )
    ctcasr("lm", "train", tmp_path / "t.txt", "-o", tmp_path / "a.arpa")
    ctcasr(
        "lm", "train", tmp_path / "t.txt", "-o", tmp_path / "b.arpa",
        "--rules", "nfc,casefold,punctuation",
    )  # fmt: skip
    assert read_arpa(tmp_path / "a.arpa").words[3:] == ("Café,", "one!")
    assert read_arpa(tmp_path / "b.arpa").words[3:] == ("café", "one")


def test_units_of_text_may_stand_for_words(ctcasr, tmp_path):
    (tmp_path / "t.txt").write_text("né  e\u0300n\n", encoding="utf-8")

    for unit in ("char", "grapheme"):
        arguments = ["-o", tmp_path / f"{unit}.arpa", "--unit", unit, "--rules", "whitespace"]
        assert ctcasr("lm", "train", tmp_path / "t.txt", *arguments).status == 0

    assert set(read_arpa(tmp_path / "char.arpa").words[3:]) == {
        *"néè"[:2],
        "<space>",
        "e",
        "\u0300",
    }
    assert set(read_arpa(tmp_path / "grapheme.arpa").words[3:]) == {*"né", "<space>", "e\u0300"}


def test_the_labels_of_a_model_may_stand_for_words(ctcasr, tone_run, tmp_path):
    (tmp_path / "t.txt").write_text("dab cab\n", encoding="utf-8")
    arguments = ["-o", tmp_path / "t.arpa", "--labels-of", tone_run.folder]
    assert ctcasr("lm", "train", tmp_path / "t.txt", *arguments).status == 2  # it has no space
    (tmp_path / "t.txt").write_text("dab\ncab\n", encoding="utf-8")

    assert ctcasr("lm", "train", tmp_path / "t.txt", *arguments).status == 0

    assert read_arpa(tmp_path / "t.arpa").words[3:] == ("a", "b", "c", "d")
    (tmp_path / "t.txt").write_text("dxb\n", encoding="utf-8")
    ended = ctcasr("lm", "train", tmp_path / "t.txt", *arguments, "--overwrite")
    assert ended.status == 2
    assert "no label for 'x' (U+0078 LATIN SMALL LETTER X)" in ended.err


def test_pruning_and_vocabulary_reach_the_model(ctcasr, said, tmp_path):
    arguments = ["--prune", "0,1", "--vocabulary", 2, "--order", 2]
    ended = ctcasr("lm", "train", said, "-o", tmp_path / "m.arpa", *arguments)
    assert "5 1-grams, 4 2-grams; from 3 sentences and 7 words, 2 of them <unk>" in ended.out
    assert read_arpa(tmp_path / "m.arpa").words[3:] == ("one", "two")


def test_an_order_that_no_sentence_reaches_is_told(ctcasr, said, tmp_path):
    ended = ctcasr("lm", "train", said, "-o", tmp_path / "m.arpa", "--order", 7)
    assert ended.status == 0
    assert "the text has no n-grams above order 5 to keep" in ended.err


def test_a_model_that_stands_already_is_kept_unless_told(ctcasr, said, tmp_path):
    output = tmp_path / "m.arpa"
    output.write_text("precious", encoding="utf-8")

    refused = ctcasr("lm", "train", said, "-o", output)
    assert refused.status == 2
    assert "exists already" in refused.err
    assert output.read_text(encoding="utf-8") == "precious"

    assert ctcasr("lm", "train", said, "-o", output, "--overwrite").status == 0
    assert read_arpa(output).order == 3


def test_the_text_is_never_replaced_by_its_model(ctcasr, said):
    ended = ctcasr("lm", "train", said, "-o", said, "--overwrite")
    assert ended.status == 2
    assert "is one of the texts; name another file" in ended.err
    assert said.read_text(encoding="utf-8") == SAID


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", [], "t.txt: no text; give a sentence on each line, or a manifest"),
        (" \n\n", [], "t.txt: no text; give a sentence on each line, or a manifest"),
        (None, [], "t.txt: cannot be read (No such file or directory); check the path"),
        ("a\nb </s>\n", [], "t.txt: line 2: holds </s>, which stands for the edge of a sentence"),
        (b"a\nb\xff\n", [], "t.txt: line 2: byte 0xff is not UTF-8; save it as UTF-8 text"),
        (b"\x1f\x8b\x08", [], "t.txt: damaged or cut short after line 0"),
        ("a", ["--order", "0"], "0 is not in the range x>=1"),
        ("a", ["--vocabulary", "0"], "0 is not in the range x>=1"),
        ("a", ["--prune", "0,x"], "--prune 0,x: give counts from 0, as in 0,0,1"),
        ("a", ["--prune", "0,2,1"], "pruning 0,2,1: an n-gram must not stay where its history"),
        ("a", ["--prune", "1"], "the first number is for single words"),
        ("a", ["--unit", "syllable"], "'syllable' is not one of 'word', 'char', 'grapheme'"),
        ("a", ["--unit", "char", "--labels-of", "en-alnum"], "leave --unit out"),
        ("a", ["--rules", "upper"], "text rule 'upper' does not exist"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(ctcasr, tmp_path, content, arguments, message):
    text = tmp_path / "t.txt"
    if content is not None:
        text.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))

    ended = ctcasr("lm", "train", text, "-o", tmp_path / "m.arpa", *arguments)

    assert ended.status == 2
    assert ended.err.startswith("ctcasr: error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "m.arpa").exists()


def test_perplexity_names_a_bad_model_and_an_empty_text(ctcasr, said, tmp_path):
    (tmp_path / "m.arpa").write_text("\\data\\\nngram 1=1\n\\1-grams:\n-1\ta\n\\end\\\n", "utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    for model, text, message in (
        (tmp_path / "gone.arpa", said, "gone.arpa: cannot be read"),
        (said, said, "said.txt: ends after line 4; needed: the line \\data\\"),
        (tmp_path / "m.arpa", said, "m.arpa: has no </s>"),
        (tmp_path / "m.arpa", tmp_path / "empty.txt", "empty.txt: no text"),
    ):
        ended = ctcasr("lm", "perplexity", "-m", model, text)
        assert ended.status == 2
        assert message in ended.err
        assert ended.err.count("\n") == 1


def test_a_word_without_any_probability_makes_the_perplexity_infinite(said, tmp_path):
    content = "\\data\\\nngram 1=2\n\\1-grams:\n-0.5\tone\n-1e20\t</s>\n\\end\\\n"
    (tmp_path / "m.arpa").write_text(content, encoding="utf-8")

    measured, _ = measure_perplexity(tmp_path / "m.arpa", [said], tokens=Tokens())

    assert measured.num_unknown == 5
    assert measured.perplexity == math.inf
    assert measured.known_perplexity == math.inf


def test_help_names_both_commands(ctcasr):
    ended = ctcasr("lm", "--help")
    assert ended.status == 0
    assert "train" in ended.out
    assert "perplexity" in ended.out


def test_a_sentence_keeps_its_order(said):
    text = read_texts([said], Tokens(unit=TokenUnit.CHAR))
    assert text.sentences[1] == [*"one", "<space>", *"two"]
