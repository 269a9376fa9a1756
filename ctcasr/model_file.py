"""A model: one safetensors file, plain dicts and tensors in and out; nothing is ever unpickled.

There are two kinds, recognizers and recurrent language models; none is taken for the other. The
metadata holds one JSON string with sorted keys, so equal models are equal files. Numbers are
stored in float32, in float16, or, for the smallest file, matrices in int8 with a scale for each
row, which stands beside them as NAME.scale. They are computed with in float32 in any case.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ctcasr.errors import ModelFileError
from ctcasr.files import atomic_write

FORMAT_VERSION = 1
_FIRST_RELEASE_OF_FORMAT = {1: "0.1.0"}
_SCALE = ".scale"
_LARGEST = 127  # of int8; -128 has no counterpart


@dataclass(frozen=True, slots=True)
class ModelKind:
    """What a model is for.

    Attributes:
        format: its name in the metadata.
        what: its name in messages.
        made_by: the command that writes one.
    """

    format: str
    what: str
    made_by: str


RECOGNIZER = ModelKind("ctcasr-model", "a ctcasr model", "`ctcasr train`")
LANGUAGE_MODEL = ModelKind(
    "ctcasr-language-model", "a recurrent language model", "`ctcasr lm train --rnn`"
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        header: the decoded JSON header.
        tensors: by name; numbers as float32, however they are stored.
        sha256: of the whole file.
    """

    header: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    sha256: str


def write_model(
    path: Path,
    *,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
    kind: ModelKind = RECOGNIZER,
) -> None:
    """Write a model atomically.

    Args:
        path: of the file.
        header: what `ModelFile.header` will be.
        tensors: by name.
        dtype: floating-point tensors are stored so; with int8 matrices are, and vectors as float16.
        kind: what it is for.

    Raises:
        OutputError: it cannot be written.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        stored |= _shrink(name, tensor.detach().cpu(), dtype)
    metadata = {
        "format": kind.format,
        "format_version": str(FORMAT_VERSION),
        "header": json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
    }
    content = _sort_metadata(save({n: t.contiguous() for n, t in stored.items()}, metadata))
    with atomic_write(path) as file:
        file.write(content)


def read_model(path: Path) -> ModelFile:
    """Read a recognizer.

    Raises:
        ModelFileError: missing, cut short, of another kind, or of a newer format.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; train one, or name a built-in model")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be read ({error.strerror}); check its rights"
        ) from error
    return parse_model(content, name=str(path))


def parse_model(content: bytes, *, name: str, kind: ModelKind = RECOGNIZER) -> ModelFile:
    """Return what the bytes of a model file hold.

    Args:
        content: the whole file.
        name: what to call it in an error.
        kind: what it must be for.

    Raises:
        ModelFileError: cut short, of another kind, or of a newer format.
    """
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ModelFileError(
            f"{name}: not a whole safetensors file ({error}); copy or train the model again"
        ) from error
    metadata = _parse_header(content).get("__metadata__", {})
    header = _check_metadata(name, metadata, kind)
    return ModelFile(header, _widen(tensors), hashlib.sha256(content).hexdigest())


def _shrink(name: str, tensor: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what is stored for a tensor."""
    if not tensor.is_floating_point():
        return {name: tensor}
    if dtype is not torch.int8:
        return {name: tensor.to(dtype)}
    if tensor.dim() < 2:
        return {name: tensor.half()}
    scale = tensor.abs().amax(dim=tuple(range(1, tensor.dim())), keepdim=True) / _LARGEST
    steps = (tensor / torch.where(scale > 0, scale, 1.0)).round()
    return {name: steps.to(torch.int8), name + _SCALE: scale.float()}


def _widen(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of which `_shrink` made what is stored."""
    in_steps = {
        name
        for name, tensor in stored.items()
        if tensor.dtype == torch.int8 and name + _SCALE in stored
    }
    tensors = {}
    for name, tensor in stored.items():
        if name in in_steps:
            tensors[name] = tensor.float() * stored[name + _SCALE]
        elif name.removesuffix(_SCALE) not in in_steps:
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


def _check_metadata(name: str, metadata: Mapping[str, str], kind: ModelKind) -> Mapping[str, Any]:
    if metadata.get("format") != kind.format:
        raise ModelFileError(
            f"{name}: a safetensors file, but not {kind.what}; give a file that {kind.made_by} "
            f"wrote"
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        needed = _FIRST_RELEASE_OF_FORMAT.get(FORMAT_VERSION)
        raise ModelFileError(
            f"{name}: model format {version or 'unknown'}; ctcasr {needed} reads formats up to "
            f"{FORMAT_VERSION}; install the release that wrote it or a later one: "
            f"pip install --upgrade ctcasr"
        )
    try:
        header = json.loads(metadata["header"])
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{name}: the header is damaged ({error}); train it again") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{name}: the header is damaged (no object); train it again")
    return header


def _sort_metadata(content: bytes) -> bytes:
    """Return a safetensors file with its JSON header's keys sorted.

    The library writes metadata in an order that changes from run to run; sorted, equal models are
    equal bytes.
    """
    header = _parse_header(content)
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + _header_size(content) :]


def _parse_header(content: bytes) -> Any:
    """Return the JSON header of a safetensors file.

    A file is an 8-byte little-endian header size, the JSON header, then the tensors.
    """
    return json.loads(content[8 : 8 + _header_size(content)])


def _header_size(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")
