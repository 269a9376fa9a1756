"""Reading text that someone's editor or spreadsheet wrote, in whatever encoding."""

import codecs
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.readers.collecting import Collector

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_LEGACY = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "cp874", "cp932", "euc_jp", "gb18030", "big5", "cp949", "mac_roman", "koi8_r",
]  # fmt: skip
"""What programs wrote by default before UTF-8; rarer ones make the guess worse, not better."""


def read_text(path: Path, collector: Collector) -> str:
    """Return the text of a file, line ends as they are.

    A byte order mark decides; otherwise UTF-8, and where the bytes are not, the most plausible
    older encoding, which is noted on the collector since it is a guess.

    Raises:
        ManifestError: the file cannot be read, or is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror or error}); check the path"
        ) from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = _guess(content, path)
        text = content.decode(encoding)
        collector.note(f"{path.name}: not UTF-8; read as {encoding}, a guess: look at the texts")
    if "\0" in text:
        raise ManifestError(f"{path}: not a text file; save it as text in UTF-8")
    return text


def _guess(content: bytes, path: Path) -> str:
    """Return the encoding of bytes that are not UTF-8.

    A short table gives the statistics little to go on. Where no language is recognised, the
    Western European code page is the likelier answer if it is possible at all.
    """
    from charset_normalizer import from_bytes

    matches = from_bytes(content, cp_isolation=_LEGACY)
    best = matches.best()
    if best is None:
        raise ManifestError(f"{path}: in no encoding we know; save it as UTF-8")
    western = any("cp1252" in match.could_be_from_charset for match in matches)
    same = "cp1252" in best.could_be_from_charset
    return "cp1252" if same or (western and best.coherence == 0) else best.encoding
