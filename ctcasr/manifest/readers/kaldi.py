"""Kaldi data directories: wav.scp, text, and beside them segments, speakers and channels.

Commands in wav.scp are refused, never run: a manifest names files, and a list from elsewhere must
not start programs. A path is looked for from the directory and its parents, since Kaldi counts it
from wherever the recipe was started.

Layout: https://kaldi-asr.org/doc/data_prep.html.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ctcasr.errors import ManifestError
from ctcasr.manifest.readers.audio_lookup import AudioFinder
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.text_file import read_text
from ctcasr.manifest.utterance import Utterance

_PARENTS = 3  # recipes keep data/<corpus>/<set> under the folder they are started in
_BLANK = re.compile(r"[ \t]+")
_ARCHIVE = re.compile(r"\.ark:\d+$")
_SIDES = {"A": 0, "B": 1, "1": 0, "2": 1}


def collect_kaldi(folder: Path, collector: Collector) -> None:
    """Add the utterances of a Kaldi data directory.

    Raises:
        ManifestError: no wav.scp; an entry of it that is a command or an archive; a file that
            cannot be read, or that has a key twice.
    """
    data = _read_directory(folder, collector)
    finder = AudioFinder([folder, *folder.absolute().parents[:_PARENTS], Path()])
    recordings = {name: finder.find(path) for name, path in data.recordings.items()}
    segments = data.segments or {name: name for name in data.recordings}
    for utterance, segment in segments.items():
        recording, *times = _BLANK.split(segment)
        audio = recordings.get(recording)
        if audio is not None:
            _add(utterance, recording, audio, times, data, collector)
        elif recording in recordings:
            collector.leave_out(utterance, finder.reason(data.recordings[recording]))
        else:
            collector.leave_out(utterance, f"wav.scp has no recording {recording!r}")
    for utterance in data.texts:
        if utterance not in segments:
            collector.leave_out(utterance, "has a text but no recording")


@dataclass(frozen=True, slots=True)
class _Directory:
    """The files of a data directory, each as key and rest of the line; absent ones are empty."""

    recordings: Mapping[str, str]
    segments: Mapping[str, str]
    texts: Mapping[str, str]
    speakers: Mapping[str, str]
    genders: Mapping[str, str]
    sides: Mapping[str, str]


def _read_directory(folder: Path, collector: Collector) -> _Directory:
    recordings = _read_map(folder / "wav.scp", collector)
    for name, path in recordings.items():
        _refuse_commands(name, path, folder)

    def optional(name: str) -> dict[str, str]:
        path = folder / name
        return _read_map(path, collector) if path.is_file() else {}

    return _Directory(
        recordings=recordings,
        segments=optional("segments"),
        texts=optional("text"),
        speakers=optional("utt2spk"),
        genders=optional("spk2gender"),
        sides=optional("reco2file_and_channel"),
    )


def _refuse_commands(name: str, path: str, folder: Path) -> None:
    if path.startswith("|") or path.endswith("|"):
        raise ManifestError(
            f"{folder / 'wav.scp'}: {name!r} is a command ({path!r}), which is never run; convert "
            f"the recordings to files yourself and write their paths into wav.scp"
        )
    if _ARCHIVE.search(path):
        raise ManifestError(
            f"{folder / 'wav.scp'}: {name!r} lies in a Kaldi archive ({path!r}); extract the "
            f"recordings to files (wav-copy) and write their paths into wav.scp"
        )


def _read_map(path: Path, collector: Collector) -> dict[str, str]:
    """Return first word and rest of each line."""
    values: dict[str, str] = {}
    for number, line in enumerate(read_text(path, collector).split("\n"), start=1):
        key, *rest = _BLANK.split(line.strip(" \t\r"), maxsplit=1)
        if key in values:
            raise ManifestError(f"{path}: line {number}: {key!r} is given twice; keep one line")
        if key:
            values[key] = rest[0] if rest else ""
    return values


def _add(
    utterance: str,
    recording: str,
    audio: Path,
    times: list[str],
    data: _Directory,
    collector: Collector,
) -> None:
    try:
        start, end = (float(time) for time in times) if times else (0.0, -1.0)
    except ValueError:
        reason = f"segment {' '.join(times)!r}; it must be recording, start and end in seconds"
        collector.leave_out(utterance, reason)
        return
    speaker = data.speakers.get(utterance)
    gender = data.genders.get(speaker or "")
    found = Utterance(
        id=utterance,
        path=audio,
        text=data.texts.get(utterance),
        offset=start,
        duration=None if end == -1 else end - start,  # Kaldi: -1 is the recording's end
        channel=_channel(data.sides.get(recording), audio),
        speaker=speaker or None,
        extra={"gender": gender} if gender else {},
    )
    collector.add(utterance, found)


def _channel(side: str | None, audio: Path) -> int | None:
    """Return the channel of a line of reco2file_and_channel, None where the file has but one.

    The side tells which channel of the original a recording was; it may since have been cut out
    into a file of its own, so the file itself is asked.
    """
    if side is None:
        return None
    channel = _SIDES.get(_BLANK.split(side)[-1].upper())
    if channel is None:
        return None
    import soundfile

    try:
        return channel if soundfile.info(audio).channels > 1 else None
    except soundfile.LibsndfileError:  # a broken or foreign file: reading it will say so
        return channel
