"""Which column of a table is which field of the manifest: as told, else by obvious names."""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.fields import fields_of
from ctcasr.manifest.utterance import Modality

OBVIOUS_NAMES: Mapping[str, tuple[str, ...]] = {
    "audio": (
        "audio", "audio_filepath", "audio_file", "audio_path", "file", "file_name", "filename",
        "file_path", "filepath", "path", "wav", "wav_file", "wav_path", "recording", "clip",
        "sound", "image", "image_file", "image_path", "image_name", "img", "line_image",
    ),
    "text": ("text", "sentence", "transcript", "transcription", "utterance", "orthography"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id", "speaker_name"),
    "id": ("id", "utterance_id", "utt_id", "utt"),
    "offset": ("offset",),
    "duration": ("duration",),
    "channel": ("channel",),
    "group": ("group", "session", "session_id"),
    "split": ("split", "subset"),
}  # fmt: skip
"""Header names taken for each field, the first found winning; case and punctuation do not count."""

_NEEDED = ("audio", "text")
_PATH_NAMES = ("audio", "image")  # of what is told; the files themselves say what they are


def choose_columns(header: Sequence[str], told: Mapping[str, str], source: Path) -> dict[str, int]:
    """Return the column index of each field that the table has; `audio` is that of the paths.

    Args:
        header: the names in the table's first row.
        told: field to header name, from the user; `image` may stand for `audio`.
        source: the table, for messages.

    Raises:
        ManifestError: a field or column that does not exist; no telling which column holds the
            audio or the text. Lists the headers and says what to type.
    """
    check_fields_exist(told, (*fields_of(Modality.AUDIO), "image"), source)
    if all(name in told for name in _PATH_NAMES):
        raise ManifestError(f"{source}: --columns names audio and image; an item is one of them")
    chosen = {
        "audio" if field in _PATH_NAMES else field: _column(name, header, source)
        for field, name in told.items()
    }
    plain = [_plain(name) for name in header]
    for field, names in OBVIOUS_NAMES.items():
        found = [plain.index(name) for name in names if name in plain]
        free = [column for column in found if column not in chosen.values()]
        if field not in chosen and free:
            chosen[field] = free[0]
    missing = [field for field in _NEEDED if field not in chosen]
    if missing:
        raise _cannot_tell(missing, header, chosen, source)
    return chosen


def check_fields_exist(told: Mapping[str, str], known: Sequence[str], source: Path) -> None:
    """Refuse `--columns` for a field that this kind of source does not have.

    Raises:
        ManifestError: names the field and those that exist.
    """
    for field in told:
        if not known:
            raise ManifestError(
                f"{source}: --columns {field}={told[field]}: this format has no columns to choose; "
                f"leave --columns out"
            )
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ManifestError(
                f"{source}: --columns {field}={told[field]}: there is no field {field!r}; "
                f"choose from {', '.join(known)}{hint}"
            )


def _column(name: str, header: Sequence[str], source: Path) -> int:
    for same in (str, _plain):
        columns = [at for at, title in enumerate(header) if same(title) == same(name)]
        if len(columns) == 1:
            return columns[0]
        if columns:
            raise ManifestError(
                f"{source}: {len(columns)} columns are called {name!r}; rename all but one"
            )
    raise ManifestError(f"{source}: no column {name!r}; the columns are {_listed(header)}")


def _cannot_tell(
    missing: Sequence[str], header: Sequence[str], chosen: Mapping[str, int], source: Path
) -> ManifestError:
    known = {field: header[column] for field, column in chosen.items() if field in _NEEDED}
    free = [name for name in header if name and name not in known.values()]
    example = known | dict(zip(missing, [*free, *["NAME"] * len(missing)], strict=False))
    argument = ",".join(f"{field}={example[field]}" for field in _NEEDED)
    return ManifestError(
        f"{source}: cannot tell which column holds the {' and the '.join(missing)}; the columns "
        f'are {_listed(header)}; name them, for example: --columns "{argument}"'
    )


def _listed(header: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in header)


def _plain(name: str) -> str:
    """Return a header name as names are compared: "Audio file:" is "audio_file"."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\W_]+", "_", folded).strip("_")
