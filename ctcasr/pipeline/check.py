"""Check: the manifests of an experiment against the configuration that will learn from them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ctcasr.alphabet import Unit
from ctcasr.checking import CheckReport, check_utterances
from ctcasr.config import RUN_CONFIGS, RunConfig
from ctcasr.errors import ManifestError
from ctcasr.manifest import Utterance, read_manifest


def check_manifests(
    manifests: Sequence[Path],
    config: RunConfig | None,
    *,
    sample: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Return what is wrong with the manifests of one experiment.

    Args:
        manifests: each becomes a set by its name without suffix; leaks are looked for across them.
        config: its text rules, unit, frontend and stride decide what fits; None takes the defaults
            for what the first item is.
        sample: read only so many recordings of each; None reads all.
        workers: reading threads.
        progress: called with (recordings read, recordings to read).

    Raises:
        ManifestError: a manifest cannot be read, or two have the same name.
    """
    sets: dict[str, list[Utterance]] = {}
    for path in manifests:
        name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        if name in sets:
            raise ManifestError(
                f"{path}: another manifest is called {name!r} too; give them different names, so "
                f"that findings can be told apart"
            )
        sets[name] = read_manifest(path)
    if config is None:
        first = next(utterance for of_set in sets.values() for utterance in of_set)
        config = RUN_CONFIGS[first.modality]()
    text = config.text
    return check_utterances(
        sets,
        rules=text.rules,
        # Pieces are learned by `train`; until then characters are the best guess of their number.
        unit=Unit.CHAR if text.unit is Unit.SUBWORD else text.unit,
        alphabet=text.named_alphabet() if config.heads.write_text else None,
        medium=config.medium,
        num_frames=config.num_encoder_frames if config.heads.ctc.is_present else None,
        writes_text=config.heads.write_text,
        class_field=config.heads.utterance.field,
        frame_field=config.heads.frame.field,
        sample=sample,
        workers=workers,
        progress=progress,
    )
