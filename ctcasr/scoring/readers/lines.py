"""Text files as lines; what is not text is refused by line and column."""

import gzip
import zlib
from pathlib import Path

from ctcasr.errors import ScoringError

_UTF8_MARK = b"\xef\xbb\xbf"


def read_text(path: Path) -> str:
    """Return a UTF-8 file, plain or `.gz`, with LF line ends and without a byte order mark.

    Raises:
        ScoringError: the file cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(f"{path}: cannot be read ({reason}); give a readable file") from error
    data = data.removeprefix(_UTF8_MARK)
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        raise ScoringError(
            f"{path}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; save it as "
            f"UTF-8 text"
        ) from error


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file; see `read_text`. Only LF and CRLF end a line."""
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines
