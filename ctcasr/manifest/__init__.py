"""Manifests: labelled recordings, where they come from, and how they are divided."""

from ctcasr.manifest.importing import Imported, SourceFormat, import_manifest
from ctcasr.manifest.json_lines import read_manifest, write_manifest
from ctcasr.manifest.splitting import parse_fractions, split_utterances
from ctcasr.manifest.utterance import Modality, Utterance

__all__ = [
    "Imported",
    "Modality",
    "SourceFormat",
    "Utterance",
    "import_manifest",
    "parse_fractions",
    "read_manifest",
    "split_utterances",
    "write_manifest",
]
