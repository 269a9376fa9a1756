"""JSON lines: NeMo's manifests, and ctcasr's own."""

import dataclasses
from pathlib import Path

from ctcasr.manifest.json_lines import read_manifest
from ctcasr.manifest.readers.audio_lookup import AudioFinder
from ctcasr.manifest.readers.collecting import Collector


def collect_json_lines(path: Path, collector: Collector) -> None:
    """Add the lines whose recordings exist.

    Raises:
        ManifestError: a line that cannot be read; see `read_manifest`.
    """
    finder = AudioFinder([Path()])  # the paths are resolved already
    for utterance in read_manifest(path):
        audio = finder.find(str(utterance.path))
        if audio is None:
            collector.leave_out(utterance.id, f"recording {str(utterance.path)!r} not found")
        else:
            collector.add(utterance.id, dataclasses.replace(utterance, path=audio))
