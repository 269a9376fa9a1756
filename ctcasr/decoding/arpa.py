r"""ARPA files: the text format that all n-gram toolkits exchange.

    \data\                      what stands before it is ignored
    ngram 1=5                   how many n-grams of each order follow
    ngram 2=4

    \1-grams:
    -1.2041<TAB>seven<TAB>-0.30103      log10 p, the words, log10 of the back-off
    ...
    \end\

A back-off may be left out and is then 0, as it must be for the longest n-grams. Words are separated
by one space. p(<s>) is never asked for; toolkits write -99 or 0. Everything else is refused by
line: a damaged model must not become a slightly worse recognizer.

Reading takes some microseconds per n-gram, and the memory of the words and numbers, not of the
text. What was written reads back equal, bit for bit.

Source: the man page ngram-format(5) of SRILM (Stolcke 2002).
"""

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from numpy.typing import NDArray

from ctcasr.decoding.ngram import NgramModel, NgramTable, NgramTableError
from ctcasr.errors import LanguageModelError
from ctcasr.files import atomic_write, decode_lines, read_lines

_NATURAL = math.log(10.0)  # nats per decade
_COUNT = re.compile(r"ngram +([0-9]{1,4}) *= *([0-9]{1,15})")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LARGEST = 1e30  # well inside float32
_LONGEST_SHOWN = 60
_COPY_AGAIN = "the file is cut short or damaged; copy or make it again"


def read_arpa(path: Path) -> NgramModel:
    """Return the model of an ARPA file, plain or gzip.

    Raises:
        LanguageModelError: the file cannot be read, or a line is not what it must be; names the
            line, what was found and what is needed.
    """
    return _Reader(read_lines(path, error=LanguageModelError), str(path)).read()


def parse_arpa(lines: Iterable[bytes], *, name: str) -> NgramModel:
    """Return the model of the lines of an ARPA file, or of an open binary file.

    Args:
        lines: UTF-8, with their line ends.
        name: what to call them in an error.

    Raises:
        LanguageModelError: see `read_arpa`.
    """
    return _Reader(decode_lines(lines, name=name, error=LanguageModelError), name).read()


def write_arpa(path: Path, model: NgramModel) -> None:
    """Write a model as an ARPA file, atomically; a name that ends in `.gz` is compressed.

    Equal models give equal bytes.

    Raises:
        LanguageModelError: a word that holds white space, which no ARPA file can.
        OutputError: the file cannot be written; what stood there is unchanged.
    """
    for word in model.words:
        if not word or set(word) & set(" \t\r\n"):
            raise LanguageModelError(
                f"{path}: the word {word!r} is empty or holds white space, which separates words "
                f"in an ARPA file; write it in another way, as in <space>"
            )
    with atomic_write(path) as file:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                _write(packed, model)
        else:
            _write(file, model)


def _write(file: IO[bytes] | gzip.GzipFile, model: NgramModel) -> None:
    tables = model.tables()
    head = [f"ngram {order}={len(table.ngrams)}" for order, table in enumerate(tables, start=1)]
    file.write(("\n".join(["\\data\\", *head]) + "\n").encode())
    for order, table in enumerate(tables, start=1):
        ngrams = (" ".join([model.words[i] for i in row]) for row in table.ngrams.tolist())
        columns = [_decades(table.log_prob), ngrams]
        if order < model.order:
            columns.append(_decades(table.backoff))
        file.write(f"\n\\{order}-grams:\n".encode())
        for row in zip(*columns, strict=True):
            file.write(("\t".join(row) + "\n").encode("utf-8"))
    file.write(b"\n\\end\\\n")


def _decades(nats: NDArray[np.float32]) -> list[str]:
    """Return natural logs as text in base 10, in as many digits as bring the same number back."""
    decades = nats.astype(np.float64) / _NATURAL
    texts = [f"{value:.7g}" for value in decades.tolist()]
    for at in np.flatnonzero(_nats([float(text) for text in texts]) != nats).tolist():
        texts[at] = f"{decades[at]:.9g}"
    return texts


def _nats(decades: Sequence[float]) -> NDArray[np.float32]:
    return (np.array(decades, dtype=np.float64) * _NATURAL).astype(np.float32)


class _Reader:
    """Reads the lines of one file, and knows where it is."""

    def __init__(self, lines: Iterator[str], name: str) -> None:
        self._lines = lines
        self._name = name
        self._number = 0
        self._line: str = ""
        self._ended = False
        self._ids: dict[str, int] = {}
        self._first_line: list[int] = []  # of each section

    def read(self) -> NgramModel:
        counts = self._read_counts()
        tables = []
        for order, count in enumerate(counts, start=1):
            if self._line != f"\\{order}-grams:":
                self._refuse(f"the line \\{order}-grams:")
            tables.append(self._read_section(order, count, last=order == len(counts)))
        if self._line != "\\end\\":
            self._refuse("\\end\\ after the last section")
        while self._next():
            if self._line.strip():
                self._refuse("nothing after \\end\\; keep each model in a file of its own")
        try:
            return NgramModel.from_tables(tuple(self._ids), tables, name=self._name)
        except NgramTableError as error:
            raise self._defect(error) from error

    def _next(self) -> bool:
        """Go on to the next line; False where there is none."""
        line = next(self._lines, None)
        self._ended = line is None
        self._line = line or ""
        self._number += not self._ended
        return not self._ended

    def _next_filled(self, needed: str) -> None:
        """Go on to the next line that is not blank."""
        while self._next():
            self._line = self._line.rstrip(" \t")
            if self._line:
                return
        self._refuse(needed)

    def _read_counts(self) -> list[int]:
        """Read up to the first section; return how many n-grams of each order are announced."""
        while self._line != "\\data\\":
            self._next_filled("the line \\data\\, with which every ARPA file begins")
        counts: list[int] = []
        while True:
            needed = f"'ngram {len(counts) + 1}=COUNT'" + " or \\1-grams:" * bool(counts)
            self._next_filled(needed)
            if counts and self._line.startswith("\\"):
                return counts
            found = _COUNT.fullmatch(self._line)
            if found is None or int(found[1]) != len(counts) + 1:
                self._refuse(needed)
            counts.append(int(found[2]))
            if counts == [0]:
                self._refuse("at least one 1-gram: a model knows some words")

    def _read_section(self, order: int, count: int, *, last: bool) -> NgramTable:
        """Read the n-grams of one order, and go on to the line that follows them."""
        numbers: list[int] = []
        log_probs: list[float] = []
        backoffs: list[float] = []
        self._first_line.append(self._number + 1)
        while self._next() and self._line and self._line[0] != "\\":
            if len(log_probs) == count:
                self._refuse(f"no more {order}-grams, since 'ngram {order}={count}' says so")
            fields = self._line.split("\t")
            if not 2 <= len(fields) <= 3:
                self._refuse_line(order)
            numbers += self._parse_words(fields[1], order)
            log_probs.append(self._parse_number(fields[0]))
            if log_probs[-1] > 0:
                self._refuse(f"the log10 of a probability, at most 0, where {fields[0]} stands")
            backoffs.append(self._parse_number(fields[2]) if len(fields) == 3 else 0.0)
            if last and backoffs[-1] != 0:
                self._refuse(f"no back-off, since no n-gram is longer than {order}")
        missing = count - len(log_probs)
        needed = "\\end\\" if last else f"\\{order + 1}-grams:"
        if missing:
            needed = f"{missing} more of {count} {order}-grams; {_COPY_AGAIN}"
        if not self._line:
            self._next_filled(needed)
        if missing:
            self._refuse(needed)
        ngrams = np.array(numbers, dtype=np.int32).reshape(-1, order)
        return NgramTable(ngrams, _nats(log_probs), _nats(backoffs))

    def _parse_words(self, text: str, order: int) -> list[int]:
        if order == 1:
            return [self._add_word(text)]
        words = text.split(" ")
        if len(words) != order:
            self._refuse_line(order)
        try:
            return [self._ids[word] for word in words]
        except KeyError as error:
            self._refuse(f"words that stand among the 1-grams, as {_shown(error.args[0])} does not")

    def _add_word(self, word: str) -> int:
        if not word or " " in word:
            self._refuse_line(1)
        if word in self._ids:
            first = self._first_line[0] + self._ids[word]
            self._refuse(f"every 1-gram once, but {_shown(word)} stands in line {first} already")
        return self._ids.setdefault(word, len(self._ids))

    def _parse_number(self, text: str) -> float:
        if not _NUMBER.fullmatch(text):
            self._refuse(f"a number, as in -1.25, where {_shown(text)} stands")
        value = float(text)
        if abs(value) > _LARGEST:
            self._refuse(f"a smaller number than {_shown(text)}; toolkits write -99 for log 0")
        return value

    def _defect(self, error: NgramTableError) -> LanguageModelError:
        first_line = self._first_line[error.order - 1]
        where = f"{self._name}: line {first_line + error.row}"
        if error.first is not None:
            where += f" (and line {first_line + error.first})"
        return LanguageModelError(
            f"{where}: {error}; make the file again, with each history and nothing twice"
        )

    def _refuse_line(self, order: int) -> NoReturn:
        words = f"{order} words with a space between" if order > 1 else "a word"
        self._refuse(f"log10 probability, tab, {words}, and if there is one a tab and the back-off")

    def _refuse(self, needed: str) -> NoReturn:
        where = f"ends after line {self._number}"
        if not self._ended:
            where = f"line {self._number}: found {_shown(self._line)}"
        raise LanguageModelError(f"{self._name}: {where}; needed: {needed}")


def _shown(text: str) -> str:
    """Return text for a message, in one line and not too long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
