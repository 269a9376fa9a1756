"""ctcasr: train, run and honestly score your own CTC speech recognizer.

    import ctcasr

    recognizer = ctcasr.load("exp/mine")           # a run folder, a model file, a built-in model
    print(recognizer.transcribe("seven.wav").text)

Every public name is imported on first use, so `import ctcasr` costs nothing and loads no torch.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctcasr.alphabet import Alphabet as Alphabet
    from ctcasr.bundle import load as load
    from ctcasr.config import RunConfig as RunConfig
    from ctcasr.config import load_config as load_config
    from ctcasr.errors import CtcasrError as CtcasrError
    from ctcasr.manifest import Utterance as Utterance
    from ctcasr.manifest import read_manifest as read_manifest
    from ctcasr.manifest import write_manifest as write_manifest
    from ctcasr.pipeline.evaluate import evaluate as evaluate
    from ctcasr.pipeline.train import train as train
    from ctcasr.recognizer import Recognizer as Recognizer
    from ctcasr.scoring import ErrorCounts as ErrorCounts
    from ctcasr.transcript import Transcript as Transcript

_HOMES = {
    "Alphabet": "ctcasr.alphabet",
    "CtcasrError": "ctcasr.errors",
    "ErrorCounts": "ctcasr.scoring",
    "Recognizer": "ctcasr.recognizer",
    "RunConfig": "ctcasr.config",
    "Transcript": "ctcasr.transcript",
    "Utterance": "ctcasr.manifest",
    "evaluate": "ctcasr.pipeline.evaluate",
    "load": "ctcasr.bundle",
    "load_config": "ctcasr.config",
    "read_manifest": "ctcasr.manifest",
    "train": "ctcasr.pipeline.train",
    "write_manifest": "ctcasr.manifest",
}

__all__ = [*_HOMES, "__version__"]


if not TYPE_CHECKING:  # hidden, so that type checkers still find a misspelt name

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return metadata.version("ctcasr")
        if name not in _HOMES:
            raise AttributeError(f"module 'ctcasr' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)
else:
    __version__: str


def __dir__() -> list[str]:
    return sorted(__all__)
