"""A recognizer as one file: found by name, loaded, saved.

`model_file.py` knows headers and tensors; here they become a `Recognizer` and come from one. The
subword model, language models and lexicon lie among the tensors as the bytes of their files.
"""

import difflib
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctcasr.alphabet import Alphabet, Direction, Unit
from ctcasr.config import parse_config
from ctcasr.decode_config import EMBEDDED
from ctcasr.decoder import KINDS, ModelPart
from ctcasr.device import pick_device
from ctcasr.errors import ModelFileError
from ctcasr.frontends.feature_stats import FeatureStats
from ctcasr.manifest.utterance import Modality
from ctcasr.model_file import ModelFile, read_model, write_model
from ctcasr.models.network import Network
from ctcasr.recognizer import Recognizer
from ctcasr.reporting.model_card import model_facts

SUBWORD_MODEL = "model.alphabet.sentencepiece"
PART_TENSORS: Mapping[str, str] = {
    "lm": "lm.arpa",
    "lexicon": "lm.lexicon",
    "rescore": "lm.rescore",
}
"""The tensors whose bytes are the files of decode.lm, decode.lexicon and decode.rescore."""


def load(model: str | Path, *, device: str = "auto") -> Recognizer:
    """Load a model.

    Args:
        model: a model file, a run folder, or the name of a built-in model.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelFileError: missing, cut short, of another kind, or of a newer format.
        ConfigError: the device is not there.
    """
    path = find_model(model)
    stored = read_model(path)
    name = path.parent.name if path.name == "model.safetensors" else path.stem
    return recognizer_from_file(stored, name=name, device=pick_device(device))


def find_model(model: str | Path) -> Path:
    """Return the file that a model argument means.

    Raises:
        ModelFileError: it means none; the message says what there is.
    """
    path = Path(model)
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise ModelFileError(
            f"{path}: a folder without model.safetensors; give a run that has finished, or go on "
            f"with it: ctcasr train CONFIG -o {path} --resume"
        )
    if path.is_file():
        return path
    names = builtin_models()
    if str(model) in names:
        return Path(str(resources.files("ctcasr") / "pretrained" / f"{model}.safetensors"))
    near = difflib.get_close_matches(str(model), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"built-in: {', '.join(names) or 'none'}"
    raise ModelFileError(f"{model}: no such model file, run folder or built-in model; {hint}")


def builtin_models() -> list[str]:
    """Return the names of the models that ship with ctcasr."""
    folder = resources.files("ctcasr") / "pretrained"
    if not folder.is_dir():
        return []
    return sorted(
        entry.name.removesuffix(".safetensors")
        for entry in folder.iterdir()
        if entry.name.endswith(".safetensors")
    )


def recognizer_from_file(stored: ModelFile, *, name: str, device: torch.device) -> Recognizer:
    """Build a recognizer from what a model file holds.

    Raises:
        ModelFileError: header and tensors do not make a model.
    """
    header, tensors = stored.header, dict(stored.tensors)
    try:
        config = parse_config(header["config"], name=f"model {name}")
        alphabet = _alphabet_from_header(header["alphabet"], tensors.pop(SUBWORD_MODEL, None))
        measured = header["feature_stats"]
        stats = (
            FeatureStats(torch.tensor(measured["mean"]), torch.tensor(measured["deviation"]))
            if measured
            else None
        )
        classes = header.get("classes", {})
        network = Network(
            config.encoder,
            num_features=config.frontend.num_features,
            num_labels=len(alphabet),
            blank=alphabet.blank,
            heads=config.heads,
            num_frame_classes=len(classes.get("frame", ())),
            num_classes=len(classes.get("utterance", ())),
        )
        parts = _parts_of(header, tensors)
        weights = {key.removeprefix("model."): tensor for key, tensor in tensors.items()}
        network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"model {name}: header and tensors do not fit together ({reason}); the file is damaged "
            f"or was changed; train it again"
        ) from error
    return Recognizer(
        config,
        alphabet,
        network,
        classes=classes.get("utterance", ()),
        frame_classes=classes.get("frame", ()),
        stats=stats,
        device=device,
        name=name,
        sha256=stored.sha256,
        header=header,
        parts=parts,
    )


def describe_recognizer(recognizer: Recognizer, *, num_bytes: int) -> dict[str, str]:
    """Return what a model is, in words, by name.

    Args:
        recognizer: the model, of a file.
        num_bytes: size of that file.
    """
    return model_facts(
        recognizer.header,
        name=recognizer.name,
        sha256=recognizer.sha256,
        num_parameters=sum(p.numel() for p in recognizer.network.parameters()),
        num_bytes=num_bytes,
    )


def save_recognizer(
    path: Path,
    recognizer: Recognizer,
    *,
    training: Mapping[str, Any],
    created_with: str,
    name_only: bool = False,
) -> None:
    """Write a recognizer as one model file.

    The language model and lexicon that its decoder uses go with it.

    Args:
        path: where to.
        recognizer: what to write.
        training: items, amount, unit, manifest_sha256, scores.
        created_with: name and version of the program.
        name_only: language model and lexicon are only named, by hash; who decodes must give them.

    Raises:
        LanguageModelError, LexiconError: one that its decoder uses is not there any more.
        OutputError: it cannot be written.
    """
    config, alphabet = recognizer.config, recognizer.alphabet
    stats = recognizer.features.stats
    # Manifests are the owner's business; a model says what it is, not where it was made.
    values = config.model_dump(mode="json")
    values["data"] |= {"train": None, "dev": None}
    values["training"] |= {"init_from": None}
    sources = recognizer.sources()
    tensors: dict[str, Tensor] = {
        f"model.{key}": tensor for key, tensor in recognizer.network.state_dict().items()
    }
    if alphabet.subword_model is not None:
        tensors[SUBWORD_MODEL] = torch.frombuffer(
            bytearray(alphabet.subword_model), dtype=torch.uint8
        )
    for kind, part in sources.parts.items():
        values["decode"] |= {
            kind: None if name_only else EMBEDDED,
            f"{kind}_sha256": part.sha256 if name_only else None,
        }
        if not name_only:
            content = bytearray(sources.read_bytes(kind))
            tensors[PART_TENSORS[kind]] = torch.frombuffer(content, dtype=torch.uint8)
    header = {
        "created_with": created_with,
        "modality": recognizer.modality.value,
        "config": values,
        "alphabet": {
            "labels": list(alphabet.labels),
            "blank": alphabet.blank,
            "unit": alphabet.unit.value,
            "direction": alphabet.direction.value,
        },
        "sample_rate": recognizer.sample_rate if recognizer.modality is Modality.AUDIO else None,
        "frame_shift": recognizer.frame_shift,
        "feature_stats": (
            {"mean": stats.mean.tolist(), "deviation": stats.deviation.tolist()} if stats else None
        ),
        "rules": list(config.text.rules),
        "decoder": recognizer.describe_decoder(),
        "calibration": recognizer.header.get("calibration"),
        "training": dict(training),
        "licence": recognizer.header.get("licence"),  # its owner's to choose
    }
    classes = {"frame": recognizer.frame_classes, "utterance": recognizer.classes}
    if any(classes.values()):
        header["classes"] = {head: list(names) for head, names in classes.items() if names}
    write_model(path, header=header, tensors=tensors)


def _parts_of(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, ModelPart]:
    """Return the language model and lexicon of a model, and take them out of its tensors.

    Raises:
        ValueError: one is missing, or is not what the header says.
    """
    parts = {}
    for kind, (what, _) in KINDS.items():
        stored = tensors.pop(PART_TENSORS[kind], None)
        named = header["decoder"].get(kind)
        wanted = header["config"].get("decode", {}).get(kind)
        if wanted == EMBEDDED and (stored is None or named is None):
            raise ValueError(f"its {what} is missing")
        if named is None:
            continue
        content = None if stored is None else stored.numpy().tobytes()
        if content is not None and hashlib.sha256(content).hexdigest() != named["sha256"]:
            raise ValueError(f"its {what} is not the one with SHA-256 {named['sha256']}")
        parts[kind] = ModelPart(named["name"], named["sha256"], content)
    return parts


def _alphabet_from_header(values: Mapping[str, Any], subword_model: Tensor | None) -> Alphabet:
    return Alphabet(
        tuple(values["labels"]),
        blank=values["blank"],
        unit=Unit(values["unit"]),
        direction=Direction(values["direction"]),
        subword_model=None if subword_model is None else subword_model.numpy().tobytes(),
    )
