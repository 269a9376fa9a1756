"""What ELAN and Praat files have in common: tiers of timed text beside a recording.

Which tier holds the transcription is not written in either format. One tier with annotations is
taken as it is; so are several that each name a participant of their own. Otherwise the user says
which, since words, phones and translations of the same speech would all become items.
"""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from ctcasr.errors import ManifestError
from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.audio_lookup import AudioFinder, is_audio, walk_files
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.columns import check_fields_exist
from ctcasr.manifest.utterance import Utterance

_DIGITS = 6  # of a second: the formats have milliseconds, their differences binary fractions


class UnreadableAnnotationError(Exception):
    """A file that the library for its format could not read."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A stretch of speech in seconds on the file's own clock; None where the file has no time."""

    start: float | None
    end: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; one that depends on another, such as a translation, is taken only if asked for."""

    name: str
    annotations: tuple[Annotation, ...]
    participant: str | None = None
    dependent: bool = False


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """The tiers of a file, and the recordings it links: name, and seconds in it at time 0."""

    tiers: tuple[Tier, ...]
    linked: Mapping[str, float]


def collect_annotations(
    source: Path,
    collector: Collector,
    columns: Mapping[str, str],
    *,
    suffix: str,
    read: Callable[[Path], AnnotationFile],
) -> None:
    """Add every annotation of the chosen tiers of a file, or of all such files in a folder.

    An annotation without text is an unlabelled item: someone marked it and wrote nothing yet.

    Args:
        source: the file or folder.
        collector: takes the items.
        columns: `{"text": NAME}` chooses the tiers called so, or, with * and ?, all that fit.
        suffix: in lower case, of the format's files.
        read: reads one; raises `UnreadableAnnotationError`.

    Raises:
        ManifestError: a file has several tiers that could be meant; lists them.
    """
    check_fields_exist(columns, ("text",), source)
    files = [source] if source.is_file() else walk_files(source)
    for path in files:
        if path != source and path.suffix.lower() != suffix:
            continue
        name = str(path.relative_to(collector.folder))
        try:
            content = read(path)
        except UnreadableAnnotationError as error:
            collector.leave_out(name, f"cannot be read ({error})")
            continue
        audio = _find_audio(path, content.linked)
        if audio is None:
            collector.leave_out(name, _no_audio(path, content.linked))
            continue
        _collect_tiers(path, name, content, audio, collector, columns.get("text"))


def _collect_tiers(
    path: Path,
    name: str,
    content: AnnotationFile,
    audio: Path,
    collector: Collector,
    wanted: str | None,
) -> None:
    chosen = _choose_tiers(content.tiers, wanted, path)
    if not chosen:
        asked = f"no tier {wanted!r}" if wanted else "no tier with annotations"
        collector.leave_out(name, f"{asked}; its tiers are {_listed(content.tiers)}")
        return
    for tier in content.tiers:
        if tier not in chosen:
            count = len(tier.annotations)
            collector.leave_out(f"{name} tier {tier.name!r}", f"not chosen ({count} annotations)")
    origin = _origin(audio, content.linked)
    for tier in chosen:
        for number, annotation in enumerate(tier.annotations, start=1):
            item = f"{name} tier {tier.name!r} annotation {number}"
            if annotation.start is None or annotation.end is None:
                collector.leave_out(item, "has no time of its own")
                continue
            start = round(annotation.start + origin, _DIGITS)
            utterance = Utterance(
                id=f"{id_from_path(Path(name))}-{tier.name}-{start:.3f}",
                path=audio,
                text=annotation.text.strip() or None,
                offset=start,
                duration=round(annotation.end - annotation.start, _DIGITS),
                speaker=tier.participant or tier.name or None,
            )
            collector.add(item, utterance)


def _choose_tiers(tiers: Sequence[Tier], wanted: str | None, path: Path) -> list[Tier]:
    if wanted is not None:
        named = [tier for tier in tiers if tier.name == wanted]
        return named or [tier for tier in tiers if fnmatch.fnmatchcase(tier.name, wanted)]
    filled = [tier for tier in tiers if tier.annotations and not tier.dependent]
    participants = {tier.participant for tier in filled if tier.participant}
    if len(filled) > 1 and len(participants) < len(filled):
        raise ManifestError(
            f"{path}: cannot tell which tier holds the text; the tiers are {_listed(tiers)}; name "
            f'it, for example: --columns "text={filled[0].name}" ("text=*" takes all of them)'
        )
    return filled


def _listed(tiers: Sequence[Tier]) -> str:
    return ", ".join(repr(tier.name) for tier in tiers) or "none"


def _find_audio(path: Path, linked: Mapping[str, float]) -> Path | None:
    """Return the recording with the annotation file's name, or else the first linked one."""
    finder = AudioFinder.beside(path)
    names = [path.stem, *(name for name in linked if is_audio(Path(name)))]
    found = (finder.find(name) for name in names)
    return next((audio for audio in found if audio is not None), None)


def _no_audio(path: Path, linked: Mapping[str, float]) -> str:
    links = f"; it links {', '.join(linked)}" if linked else ""
    return f"no recording {path.stem}.wav (or .flac, ...) beside it{links}"


def _origin(audio: Path, linked: Mapping[str, float]) -> float:
    """Return where in the recording the annotation file's clock starts, in seconds."""
    stems = {Path(name).stem: origin for name, origin in linked.items()}
    return stems.get(audio.stem, 0.0)


def file_name(location: str) -> str:
    """Return the last part of a path or address, written on whatever system."""
    return PureWindowsPath(location).name
