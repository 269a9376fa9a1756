"""`ctcasr lm train --rnn` and what it makes: from text to a file, from a file to probabilities."""

import json
import math
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

import ctcasr.pipeline.recurrent_lm as pipeline_module
from ctcasr.decoding.ngram import END, UNKNOWN
from ctcasr.errors import ModelFileError
from ctcasr.models.language_model import sentence_log_probs
from ctcasr.recurrent_lm import parse_recurrent_lm, read_recurrent_lm
from tests.small_lm import make_lm

SAID = "one two three\none two\n\ntwo  three \nthree one\ntwo one two\n"
SMALL = (
    "--set", "network.embedding=4", "--set", "network.hidden=8", "--set", "training.epochs=2",
    "--set", "training.streams=2", "--set", "training.segment=8",
)  # fmt: skip


@pytest.fixture
def said(tmp_path):
    path = tmp_path / "said.txt"
    path.write_text(SAID, encoding="utf-8")
    return path


@pytest.fixture
def train(ctcasr, said, tmp_path):
    """Return a function that trains a tiny model of characters and returns its file."""

    def run(name="m.safetensors", *arguments, unit="char"):
        ended = ctcasr(
            "lm", "train", said, "-o", tmp_path / name, "--rnn", "--unit", unit, *SMALL, *arguments
        )
        assert ended.status == 0, ended.err
        return tmp_path / name

    return run


# From text to a file


def test_a_model_is_trained_and_measured(ctcasr, said, tmp_path):
    output = tmp_path / "m.safetensors"
    trained = ctcasr("lm", "train", said, "-o", output, "--rnn", "--unit", "char", *SMALL)

    assert trained.status == 0
    lines = trained.err.splitlines()
    assert lines[0].startswith("epoch 1/2  perplexity per token: training ")
    assert lines[2] == f"{said}: line 3: no text; left out"
    assert trained.out.startswith(
        f"{output}: 578 parameters, 8 tokens known; from 4 sentences and "
    )

    (tmp_path / "new.txt").write_text("one  twx\n", encoding="utf-8")
    measured = ctcasr("lm", "perplexity", "-m", output, tmp_path / "new.txt")

    score = read_recurrent_lm(output).score([["o", "n", "e", "<space>", "t", "w", "x"]])[0]
    assert measured.status == 0
    assert [line.rsplit("  ", 1)[1] for line in measured.out.splitlines()] == [
        "1",
        "2",
        "7",
        "7",
        "1 (14.29%)",
        f"{math.exp(-score.log_prob / 3):.2f}",
        f"{math.exp(-score.log_prob / 8):.3f}",
        f"{math.exp(-score.log_prob / 8):.3f}",
        f"{math.exp(-score.known_log_prob / 7):.3f}",
    ]


def test_equal_seeds_make_equal_files(train):
    first = train("a.safetensors").read_bytes()
    assert train("b.safetensors").read_bytes() == first
    assert train("c.safetensors", "--set", "seed=2").read_bytes() != first


def test_the_file_says_what_it_is_and_holds_no_path(train, said):
    path = train("m.safetensors", "--rules", "nfc,whitespace,casefold")
    content = path.read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    header = json.loads(metadata["header"])

    assert metadata["format"] == "ctcasr-language-model"
    assert header["unit"] == "char"
    assert header["rules"] == ["nfc", "whitespace", "casefold"]
    assert header["words"] == [END, UNKNOWN, "<space>", *"ehnortw"]
    assert header["config"]["network"]["hidden"] == 8
    assert header["training"].keys() == {"sentences", "tokens", "epoch", "dev_perplexity"}
    assert str(said.parent) not in metadata["header"]


def test_a_dev_text_is_not_learned_from(train, tmp_path):
    dev = tmp_path / "dev.txt"
    dev.write_text("one xyz\n", encoding="utf-8")
    lm = read_recurrent_lm(train("m.safetensors", "--dev", dev))
    assert lm.known_words() == ("<space>", *"ehnortw")


def test_a_limited_vocabulary_leaves_the_rest_to_unknown(train, said):
    path = train("m.safetensors", "--vocabulary", 2, "--dev", said, unit="word")
    lm = read_recurrent_lm(path)
    assert lm.words == (END, UNKNOWN, "one", "two")
    assert lm.encode(["two", "three", END]) == [3, 1, 0]


def test_an_interrupted_training_leaves_what_stood_there(ctcasr, said, tmp_path, monkeypatch):
    output = tmp_path / "m.safetensors"
    output.write_bytes(b"precious")

    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pipeline_module, "fit_language_model", interrupt)
    ended = ctcasr("lm", "train", said, "-o", output, "--rnn", "--overwrite", *SMALL)

    assert ended.status == 130
    assert output.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "said.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rnn", "--order", 3], "--order is for n-grams; leave it out"),
        (["--rnn", "--prune", "0,1"], "--prune is for n-grams; leave it out"),
        (["--rnn", "--labels-of", "en-alnum"], "--labels-of is for n-grams; leave it out"),
        (["--set", "seed=2"], "--set is for recurrent models, with --rnn; leave it out"),
        (["--dev", "dev.txt"], "--dev is for recurrent models, with --rnn; leave it out"),
        (["--device", "cpu"], "--device is for recurrent models, with --rnn; leave it out"),
        (["--rnn", "--set", "network.hiden=3"], "did you mean 'hidden'?"),
        (["--rnn", "--set", "training.held_out=1"], "training.held_out: Input should be less"),
        (["--rnn", "--device", "tpu"], "--device tpu: unknown"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(ctcasr, said, arguments, message):
    ended = ctcasr("lm", "train", said, "-o", said.parent / "m.safetensors", *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_another_suffix_and_too_little_text_are_refused(ctcasr, said, tmp_path):
    ended = ctcasr("lm", "train", said, "-o", tmp_path / "m.arpa", "--rnn")
    assert ended.status == 2
    assert "m.arpa: a recurrent model is a .safetensors file; name it so: -o m.sa" in ended.err

    said.write_text("one\n", encoding="utf-8")
    ended = ctcasr("lm", "train", said, "-o", tmp_path / "m.safetensors", "--rnn")
    assert ended.status == 2
    assert "the text has one sentence, so none can be held out" in ended.err
    assert list(tmp_path.iterdir()) == [said]


# From a file to probabilities


def test_a_model_says_itself_what_its_units_are(ctcasr, train, said):
    path = train()
    ended = ctcasr("lm", "perplexity", "-m", path, said, "--unit", "char")
    assert ended.status == 2
    assert ended.err.endswith(
        f"{path}: says itself what its units and text rules are (char; nfc,whitespace); leave "
        f"--unit, --labels-of and --rules out\n"
    )


def test_a_file_reads_back_as_it_was_written(train):
    path = train()
    one = read_recurrent_lm(path)
    other = parse_recurrent_lm(path.read_bytes(), name="m")
    assert one.log_probs(["one", ""]) == other.log_probs(["one", ""])
    assert one.name == str(path)


def test_damaged_and_foreign_files_are_refused_in_one_line(ctcasr, train, said, tmp_path):
    path = train()
    stored = load_file(path)
    save_file({**stored, "more": torch.zeros(2)}, tmp_path / "odd.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    for name, message in (
        ("odd", "odd.safetensors: a safetensors file, but not a recurrent language model"),
        ("cut", "cut.safetensors: not a whole safetensors file"),
        ("gone", "gone.safetensors: cannot be read (No such file or directory); check the path"),
    ):
        ended = ctcasr("lm", "perplexity", "-m", tmp_path / f"{name}.safetensors", said)
        assert ended.status == 2
        assert message in ended.err
        assert ended.err.count("\n") == 1


def test_header_and_tensors_that_do_not_fit_are_refused(train):
    content = train().read_bytes()
    with pytest.raises(ModelFileError, match="m: header and tensors do not fit together"):
        parse_recurrent_lm(content.replace(b'\\"hidden\\":8', b'\\"hidden\\":9'), name="m")


def test_the_score_of_a_sentence_is_split_by_what_is_known():
    lm = make_lm("ab")
    (score,) = lm.score([["a", "x", "b"]])
    (by_token,) = sentence_log_probs(lm.network, [[2, 1, 3]], end=0)
    assert (score.num_words, score.num_unknown) == (3, 1)
    assert score.unknown_log_prob == pytest.approx(by_token[1], abs=1e-12)
    assert score.known_log_prob == pytest.approx(by_token[[0, 2, 3]].sum(), abs=1e-12)
    assert score.log_prob == pytest.approx(by_token.sum(), abs=1e-12)


def test_texts_are_ruled_and_split_before_they_are_scored():
    lm = make_lm(["a", "b", "<space>"], rules=("nfc", "whitespace", "casefold"))
    tokens = [["a", "<space>", "b"], [], ["b"]]
    texts = [" A  b", "", "B"]
    assert lm.log_probs(texts) == pytest.approx([s.log_prob for s in lm.score(tokens)], abs=1e-6)


def test_a_score_does_not_depend_on_what_was_asked_before(monkeypatch):
    monkeypatch.setattr("ctcasr.recurrent_lm._SCORES_KEPT", 3)
    lm = make_lm("ab")
    texts = ["a", "ab", "b", "a", "bb", "aaa", "ab"]
    each = [make_lm("ab").log_probs([text])[0] for text in texts]
    assert lm.log_probs(texts) == pytest.approx(each, abs=1e-5)
    assert lm.log_probs(texts[::-1]) == pytest.approx(each[::-1], abs=1e-5)
