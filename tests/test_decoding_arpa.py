import dataclasses
import gzip
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.decoding.arpa import parse_arpa, read_arpa, write_arpa
from ctcasr.decoding.ngram import NgramModel
from ctcasr.errors import LanguageModelError

TOY = """\
Made by hand.

\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.5
-1\t</s>
-0.75\tnaïve\t-0.25
-1.25\t七\t0.125

\\2-grams:
-0.5\t<s> naïve\t-0.125
-0.25\tnaïve 七
-0.375\t七 </s>

\\3-grams:
-0.0625\t<s> naïve 七

\\end\\
"""
NATURAL = math.log(10)


def parse(text):
    return parse_arpa(text.encode("utf-8").splitlines(keepends=True), name="toy.arpa")


def assert_equal(model, other):
    for name in {field.name for field in dataclasses.fields(NgramModel)} - {"name"}:
        left, right = getattr(model, name), getattr(other, name)
        assert np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right


def test_logs_become_natural():
    model = parse(TOY)

    assert model.order == 3
    assert model.words == ("<unk>", "<s>", "</s>", "naïve", "七")
    score = model.log_prob(["naïve", "七"])
    assert score.log_prob == pytest.approx((-0.5 - 0.0625 - 0.375) * NATURAL, rel=1e-6)
    score = model.log_prob(["七", "gone"])
    expected = (-0.5 - 1.25) + (0.125 - 2) + (-1)
    assert score.log_prob == pytest.approx(expected * NATURAL, rel=1e-6)
    assert score.unknown_log_prob == pytest.approx((0.125 - 2) * NATURAL, rel=1e-6)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.encode("utf-8"),
        lambda text: text.replace("\n", "\r\n").encode("utf-8"),
        lambda text: b"\xef\xbb\xbf" + text.encode("utf-8"),
        lambda text: gzip.compress(text.encode("utf-8")),
        lambda text: text.replace("\n\n", "\n").encode("utf-8"),  # no blank lines
        lambda text: text.replace("\n\n", "\n\n \n").encode("utf-8"),
        lambda text: text.replace("ngram 1=5", "ngram 1 =   5").encode("utf-8"),
        lambda text: text.removesuffix("\n").encode("utf-8"),
    ],
    ids=["plain", "crlf", "bom", "gzip", "no-blank", "more-blank", "spaced-counts", "no-newline"],
)
def test_harmless_differences_are_read(tmp_path, write):
    (tmp_path / "toy").write_bytes(write(TOY))
    assert_equal(read_arpa(tmp_path / "toy"), parse(TOY))


def test_an_order_without_ngrams_is_read():
    model = parse("\\data\\\nngram 1=1\nngram 2=0\n\\1-grams:\n-1\ta\n\\2-grams:\n\\end\\\n")
    assert (model.order, len(model.arc_word)) == (2, 1)


@given(
    logs=st.lists(st.floats(-300, 0, width=32), min_size=6, max_size=6),
    backoffs=st.lists(st.floats(-300, 3, width=32), min_size=3, max_size=3),
)
def test_what_was_written_reads_back_bit_for_bit(tmp_path_factory, logs, backoffs):
    ngrams = {
        ("<s>",): (logs[0], backoffs[0]),
        ("ü",): (logs[1], backoffs[1]),
        ("▁x",): (logs[2], 0.0),
        ("ü", "▁x"): (logs[3], backoffs[2]),
        ("<s>", "ü"): (logs[4], 0.0),
        ("ü", "▁x", "ü"): (logs[5], 0.0),
    }
    model = NgramModel.from_ngrams(3, ngrams)
    for name in ("m.arpa", "m.arpa.gz"):
        path = tmp_path_factory.getbasetemp() / name
        write_arpa(path, model)
        assert_equal(read_arpa(path), model)
    assert path.read_bytes()[:2] == b"\x1f\x8b"


def test_equal_models_give_equal_bytes(tmp_path):
    for name in ("one.arpa.gz", "two.arpa.gz"):
        write_arpa(tmp_path / name, parse(TOY))
    assert (tmp_path / "one.arpa.gz").read_bytes() == (tmp_path / "two.arpa.gz").read_bytes()


def test_the_file_is_laid_out_as_toolkits_expect(tmp_path):
    write_arpa(tmp_path / "toy.arpa", parse(TOY))

    written = (tmp_path / "toy.arpa").read_text(encoding="utf-8")

    filled = re.sub(r"(?m)^(-[^\t\n]+\t[^\t\n]+)$", r"\1\t0", TOY.partition("\\3-grams:")[0])
    expected = filled.removeprefix("Made by hand.\n\n") + "\\3-grams:" + TOY.split("\\3-grams:")[1]
    assert written == expected


@pytest.mark.parametrize("word", ["", "a b", "a\tb", "a\n"])
def test_a_word_that_no_file_can_hold_is_refused(tmp_path, word):
    model = NgramModel.from_ngrams(1, {(word,): (-1.0, 0.0)})
    with pytest.raises(LanguageModelError, match="is empty or holds white space"):
        write_arpa(tmp_path / "bad.arpa", model)
    assert not list(tmp_path.iterdir())


CUT = "the file is cut short or damaged; copy or make it again"
SEPARATED = "and if there is one a tab and the back-off"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\\n", "", "ends after line 22; needed: the line \\data\\"),
        ("ngram 2=3", "ngram 3=3", "line 5: found 'ngram 3=3'; needed: 'ngram 2=COUNT'"),
        ("ngram 1=5", "ngram 1=-5", "line 4: found 'ngram 1=-5'; needed: 'ngram 1=COUNT'"),
        ("ngram 1=5", "ngram 1=0", "line 4: found 'ngram 1=0'; needed: at least one 1-gram"),
        ("ngram 1=5", "ngram 1=" + "9" * 50, "line 4: found 'ngram 1=999"),
        ("ngram 2=3", "ngrams 2=3", "line 5: found 'ngrams 2=3'; needed: 'ngram 2=COUNT' or"),
        (
            "ngram 2=3",
            "ngram 2=4",
            f"line 20: found '\\\\3-grams:'; needed: 1 more of 4 2-grams; {CUT}",
        ),
        ("ngram 2=3", "ngram 2=2", "line 18: found '-0.375\\t七 </s>'; needed: no more 2-grams"),
        (
            "ngram 3=1",
            "ngram 3=2",
            f"line 23: found '\\\\end\\\\'; needed: 1 more of 2 3-grams; {CUT}",
        ),
        ("ngram 3=1\n", "", "no back-off, since no n-gram is longer than 2"),
        (
            "ngram 3=1\n",
            "ngram 3=1\nngram 4=1\n",
            "line 24: found '\\\\end\\\\'; needed: the line \\4",
        ),
        ("\\1-grams:", "\\2-grams:", "line 8: found '\\\\2-grams:'; needed: the line \\1-grams:"),
        ("\\end\\\n", "", "ends after line 22; needed: \\end\\"),
        ("\n\\end\\\n", "", "ends after line 21; needed: \\end\\"),
        (
            "\\end\\\n",
            "\\end\\\n\\data\\",
            "line 24: found '\\\\data\\\\'; needed: nothing after \\end\\",
        ),
        (
            "-0.25\tnaïve 七",
            "-0.25\tnaïve\t七",
            "line 17: found '-0.25\\tnaïve\\t七'; needed: log10",
        ),
        ("-0.25\tnaïve 七", "-0.25 naïve 七", SEPARATED),
        ("-0.25\tnaïve 七", "-0.25\tnaïve  七", SEPARATED),
        ("-0.25\tnaïve 七", "-0.25\tnaïve 七\t0\t0", SEPARATED),
        ("-0.25\tnaïve 七", "-0.25\tnaïve", "tab, 2 words with a space between"),
        ("-2\t<unk>", "-2 <unk>", "tab, a word, and if there is one"),
        ("-2\t<unk>", "-2\t", "tab, a word, and if there is one"),
        ("-2\t<unk>", "two\t<unk>", "needed: a number, as in -1.25, where 'two' stands"),
        ("-2\t<unk>", "nan\t<unk>", "needed: a number, as in -1.25, where 'nan' stands"),
        ("-2\t<unk>", "-inf\t<unk>", "needed: a number, as in -1.25, where '-inf' stands"),
        ("-2\t<unk>", "-1_0\t<unk>", "needed: a number, as in -1.25, where '-1_0' stands"),
        ("-2\t<unk>", "-٢\t<unk>", "needed: a number, as in -1.25, where '-٢' stands"),
        ("-2\t<unk>", "-1e999\t<unk>", "a smaller number than '-1e999'; toolkits write -99"),
        ("-2\t<unk>", "1e-9\t<unk>", "at most 0, where 1e-9 stands"),
        ("<s>\t-0.5", "<s>\tx", "line 10: found '-99\\t<s>\\tx'; needed: a number"),
        ("<s> naïve 七", "<s> naïve 七\t-1", "no back-off, since no n-gram is longer than 3"),
        ("-2\t<unk>", "-2\t七", "line 13: found '-1.25\\t七\\t0.125'; needed: every 1-gram once"),
        ("-2\t<unk>", "-2\t七", "but '七' stands in line 9 already"),
        (
            "七 </s>",
            "naïve 七",
            "line 18 (and line 17): the 2-gram 'naïve 七' is given twice; make",
        ),
        (
            "-0.0625\t<s> naïve 七",
            "-0.0625\t七 naïve 七",
            "line 21: the 3-gram '七 naïve 七' has no 2-gram '七 naïve' to follow",
        ),
        ("-0.25\tnaïve 七", "-0.25\tnaive 七", "among the 1-grams, as 'naive' does not"),
    ],
)
def test_a_defect_is_named_with_its_line(old, new, message):
    assert TOY.count(old) == 1
    with pytest.raises(LanguageModelError) as raised:
        parse(TOY.replace(old, new))
    text = str(raised.value)
    assert text.startswith("toy.arpa: ")
    assert message in text
    assert "\n" not in text


def test_a_long_line_is_shown_in_part():
    with pytest.raises(LanguageModelError) as raised:
        parse(TOY.replace("-2\t<unk>", "-2 " + "x" * 10_000))
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); check the path"),
        (b"", "ends after line 0; needed: the line \\data\\"),
        (TOY.encode("latin-1", "replace"), "line 12: byte 0xef is not UTF-8; save it as UTF-8"),
        (TOY.encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (gzip.compress(TOY.encode())[:-12], "damaged or cut short after line"),
        (gzip.compress(TOY.encode())[:30] + bytes(90), "damaged or cut short after line"),
        (b"\x1f\x8b", "damaged or cut short after line 0"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, message):
    path = tmp_path / "m.arpa"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LanguageModelError) as raised:
        read_arpa(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(LanguageModelError, match="cannot be read"):
        read_arpa(tmp_path)


LINES = TOY.encode("utf-8").splitlines(keepends=True)


@pytest.mark.parametrize("stop", range(len(LINES)))
def test_every_truncated_file_is_refused(stop):
    with pytest.raises(LanguageModelError, match="ends after line"):
        parse_arpa(LINES[:stop], name="toy.arpa")


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(TOY.encode()) - 1), st.integers(0, 3), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_bytes_are_read_or_refused(edits):
    content = bytearray(TOY.encode("utf-8"))
    for at, removed, inserted in edits:
        content[at : at + removed] = inserted
    _read_or_refuse(bytes(content).splitlines(keepends=True))


@given(st.lists(st.sampled_from(LINES), max_size=30), st.randoms(use_true_random=False))
def test_shuffled_lines_are_read_or_refused(chosen, random):
    shuffled = [*LINES, *chosen]
    random.shuffle(shuffled)
    _read_or_refuse(shuffled)
    _read_or_refuse([*LINES[:7], *chosen, *LINES[7:]])


def _read_or_refuse(lines):
    try:
        model = parse_arpa(lines, name="fuzz")
    except LanguageModelError as error:
        message = str(error)
    else:
        message = "fuzz: read"
        assert not math.isnan(model.log_prob(["naïve", "七", "gone"]).log_prob)
        assert sum(len(table.ngrams) for table in model.tables()) == len(model.arc_word)
    assert message.startswith("fuzz: ")
    assert "\n" not in message
