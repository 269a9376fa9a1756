"""Writing files so that a reader never meets half of one; reading lines so that none is guessed."""

import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ctcasr.errors import CtcasrError, OutputError

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_UNFINISHED = ".tmp"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for writing and move it into place at the end.

    What stood at `path` stays whole until the new bytes are on the disk; an exception leaves it
    untouched and removes the temporary file.

    Raises:
        OutputError: the folder or file cannot be written (full disk, missing rights).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED
        )
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def unfinished_name(path: Path) -> Path:
    """Return what to call a file or folder until it is whole; a hidden neighbour."""
    return path.with_name(f".{path.name}{_UNFINISHED}")


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left half written in a folder."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, atomically.

    Raises:
        OutputError: see `atomic_write`.
    """
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def read_small(path: Path, *, item: str, most: int, error: type[CtcasrError]) -> bytes:
    """Return the bytes of a file that must not be large.

    Args:
        path: the file.
        item: named in errors.
        most: bytes that are read.
        error: what to raise.

    Raises:
        CtcasrError: it cannot be read or is larger; of the kind asked for.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as reason:
        raise error(f"{item}: cannot read {path} ({reason.strerror}); check the path") from reason
    if len(content) > most:
        raise error(f"{item}: {path} is larger than {most >> 20} MiB; cut it into pages")
    return content


def read_lines(path: Path, *, error: type[CtcasrError]) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, plain or gzip, without their LF or CRLF.

    Args:
        path: the file; whether it is compressed is seen from its first bytes.
        error: the kind of error to raise where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from decode_lines(open_bytes(file), name=str(path), error=error)
    except OSError as cause:
        raise error(
            f"{path}: cannot be read ({cause.strerror or cause}); check the path"
        ) from cause


def open_bytes(file: "io.BufferedReader[Any]") -> IO[bytes]:
    """Return an open file, unpacked where its first bytes say that it is gzip; pipes will do."""
    packed = file.peek(2).startswith(_GZIP_MAGIC)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def decode_lines(lines: Iterable[bytes], *, name: str, error: type[CtcasrError]) -> Iterator[str]:
    """Yield lines of UTF-8 without their LF or CRLF; a byte order mark is left out.

    Args:
        lines: an open binary file, or its lines.
        name: what to call it in an error.
        error: the kind of error to raise where the lines cannot be read.
    """
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(_UTF8_MARK) if number == 1 else line
            yield content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as cause:
        raise error(
            f"{name}: line {number}: byte 0x{cause.object[cause.start]:02x} is not UTF-8; save it "
            f"as UTF-8 text"
        ) from cause
    except (OSError, EOFError, zlib.error) as cause:
        raise error(
            f"{name}: damaged or cut short after line {number} ({cause}); copy it again"
        ) from cause


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); what stood there before is "
        f"unchanged; free some space or name another place"
    )
