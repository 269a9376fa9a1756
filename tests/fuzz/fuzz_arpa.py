"""Feed damaged ARPA files to the reader: each is read, or refused with a LanguageModelError.

    python -m tests.fuzz.fuzz_arpa 1000000 --seed 0

Files of a small corpus, made here, lose, gain, swap and repeat bytes, fields and lines, some before
and some after they are compressed. Whatever else escapes ends the run, with the file's bytes. What
was read must answer a query, and be the same model again when it is made from its own tables. Not
collected by pytest; tests/test_decoding_arpa.py holds a short version.
"""

import argparse
import gzip
import io
import math
import random
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from ctcasr.decoding.arpa import parse_arpa
from ctcasr.decoding.ngram import NgramModel
from ctcasr.errors import LanguageModelError

SMALL = """\
\\data\\
ngram 1=3

\\1-grams:
-0.5	<unk>
-0.3	a
-1e-2	b

\\end\\
"""
MARKED = """\
\ufeffnote
\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-1	<unk>
-99	<s>	-0.3
-0.7	</s>
-0.2	é	0.1

\\2-grams:
-0.1	<s> é
-0.2	é é
-0.3	é </s>

\\end\\
"""
LONG = """\
\\data\\
ngram 1=3
ngram 2=3
ngram 3=2
ngram 4=1
\\1-grams:
-1	a	-1
-2	b	-.5
-3	c	0
\\2-grams:
-1	a b	-1
-2	b a	0
-1	c c	-1
\\3-grams:
-1	a b a	-1
-2	b a b
\\4-grams:
-0.5	a b a c
\\end\\"""
CORPUS = [text.encode("utf-8") for text in (SMALL, MARKED, LONG, LONG.replace("\n", "\r\n"))]
PIECES = [
    b"\t", b" ", b"\n", b"\r", b"\0", b"\\", b"-", b".", b"e", b"9" * 20, b"1e400", b"nan", b"inf",
    b"\xff", b"\xe2\x80\xa8", b"\x1f\x8b", b"\\end\\", b"\\data\\", b"\\2-grams:", b"ngram 2=0",
    b"ngram 1=1", b"<s>", b"a", b"-1\ta b\t-1", b"\n\n", b"0", b"+0", b"-0.0",
]  # fmt: skip


def replace_bytes(content: bytes, draw: random.Random) -> bytes:
    """Put a piece or a random byte where some bytes were."""
    at = draw.randrange(len(content) + 1)
    new = draw.choice(PIECES) if draw.random() < 0.7 else bytes([draw.randrange(256)])
    return content[:at] + new + content[at + draw.randrange(4) :]


def replace_letter(content: bytes, draw: random.Random) -> bytes:
    """Change a digit into another, or a word's letter."""
    alphabet = draw.choice([b"0123456789", b"abc"])
    places = [at for at, byte in enumerate(content) if byte in alphabet]
    if not places:
        return content
    at = draw.choice(places)
    return content[:at] + bytes([draw.choice(alphabet)]) + content[at + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Drop the end."""
    return content[: draw.randrange(len(content) + 1)]


def shuffle_parts(separator: bytes) -> Callable[[bytes, random.Random], bytes]:
    """Return a change that drops, repeats or swaps lines or fields."""

    def change(content: bytes, draw: random.Random) -> bytes:
        parts = content.split(separator)
        one, other = draw.randrange(len(parts)), draw.randrange(len(parts))
        match draw.randrange(3):
            case 0:
                del parts[one]
            case 1:
                parts.insert(other, parts[one])
            case _:
                parts[one], parts[other] = parts[other], parts[one]
        return separator.join(parts)

    return change


CHANGES = [
    *[replace_bytes, replace_letter] * 4,
    *map(shuffle_parts, (b"\n", b"\t", b" ")),
    cut,
]


def damaged(draw: random.Random) -> bytes:
    """Return a file of the corpus after one change or some."""
    content = draw.choice(CORPUS)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 5])):
        content = draw.choice(CHANGES)(content, draw)
    return content


def lines_of(content: bytes, draw: random.Random) -> io.BufferedIOBase:
    """Return the file opened; now and then compressed, and damaged once more."""
    if draw.random() < 0.98:
        return io.BytesIO(content)
    packed = gzip.compress(content, compresslevel=1)
    if draw.random() < 0.8:
        packed = replace_bytes(packed, draw)
    return gzip.GzipFile(fileobj=io.BytesIO(packed))


def check(content: bytes, draw: random.Random) -> bool:
    """Return whether a file was read; raise whatever is neither that nor a refusal."""
    try:
        model = parse_arpa(lines_of(content, draw), name="fuzz")
    except LanguageModelError as error:
        if "\n" in str(error) or not str(error).startswith("fuzz: "):
            raise AssertionError(f"not one line that begins with the file: {error}") from error
        return False
    score = model.log_prob(["a", "b", "é", "a", "gone", "c"])
    again = NgramModel.from_tables(model.words, model.tables())
    if math.isnan(score.log_prob) or not np.array_equal(again.arc_state, model.arc_state):
        raise AssertionError("a model that contradicts itself")
    return True


def main(argv: Sequence[str] | None = None) -> None:
    """Run as many inputs as asked for, and say how many were read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, help="how many files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after that long")
    options = parser.parse_args(argv)
    begin, num_read, done = time.monotonic(), 0, 0
    for number in range(options.count):
        draw = random.Random(options.seed * 10**9 + number)
        content = damaged(draw)
        try:
            num_read += check(content, draw)
        except BaseException:
            print(f"input {number} of seed {options.seed}: {content!r}", file=sys.stderr)
            raise
        done += 1
        if time.monotonic() - begin > options.seconds:
            break
    print(f"{done:,} files: {num_read:,} read, {done - num_read:,} refused")


if __name__ == "__main__":
    main()
