import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ctcasr.errors import ModelFileError
from ctcasr.model_file import LANGUAGE_MODEL, RECOGNIZER, parse_model, read_model, write_model

HEADER = {"labels": ["<blank>", "é"], "sample_rate": 16_000, "config": {"b": 1, "a": 2}}


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    return {
        "model.weight": torch.randn(5, 3),
        "model.bias": torch.randn(5),
        "steps": torch.tensor([3, 4]),
        "scalar": torch.tensor(1.5),
    }


@pytest.fixture
def model(tmp_path, tensors):
    path = tmp_path / "model.safetensors"
    write_model(path, header=HEADER, tensors=tensors)
    return path


def test_what_was_written_is_read(model, tensors):
    stored = read_model(model)

    assert stored.header == HEADER
    assert stored.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert set(stored.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(stored.tensors[name], tensor)
        assert stored.tensors[name].dtype == tensor.dtype


def test_float16_is_read_as_float32(tensors, tmp_path):
    write_model(tmp_path / "half", header=HEADER, tensors=tensors, dtype=torch.float16)

    stored = read_model(tmp_path / "half").tensors

    for name, tensor in tensors.items():
        assert stored[name].dtype == tensor.dtype
        assert torch.equal(stored[name], tensor.half().to(tensor.dtype))


def test_int8_is_right_within_half_a_step_of_each_row(tensors, tmp_path):
    tensors["model.weight"] *= torch.tensor([1.0, 1e-6, 1e3, 0.0, 1.0])[:, None]
    tensors["model.filters"] = torch.randn(4, 3, 2)
    tensors["norm.scale"] = torch.randn(3)  # a name that only looks like a row's scale
    tensors["model.counts"] = torch.tensor([1, -2], dtype=torch.int8)

    write_model(tmp_path / "small", header=HEADER, tensors=tensors, dtype=torch.int8)

    stored = read_model(tmp_path / "small").tensors
    assert stored.keys() == tensors.keys()
    for name in ("model.weight", "model.filters"):
        rows, read = tensors[name].flatten(1), stored[name].flatten(1)
        half_a_step = rows.abs().amax(1, keepdim=True) / 127 / 2
        assert ((read - rows).abs() <= half_a_step * 1.001).all()
        assert stored[name].shape == tensors[name].shape
        assert len(read.unique()) > 5
    for name in ("model.bias", "norm.scale", "scalar"):
        assert torch.equal(stored[name], tensors[name].half().float())
    assert torch.equal(stored["model.counts"], tensors["model.counts"])
    assert (load_file(tmp_path / "small")["model.weight"]).dtype == torch.int8


def test_equal_models_are_equal_bytes(model, tensors, tmp_path):
    header = {key: HEADER[key] for key in reversed(HEADER)}
    other_order = {name: tensors[name].clone() for name in reversed(tensors)}

    for count in range(5):
        other = tmp_path / f"{count}.safetensors"
        write_model(other, header=header, tensors=other_order)
        assert other.read_bytes() == model.read_bytes()


def test_another_weight_is_another_file(model, tensors, tmp_path):
    tensors["model.bias"][0] += 1e-6

    write_model(tmp_path / "other", header=HEADER, tensors=tensors)

    assert (tmp_path / "other").read_bytes() != model.read_bytes()


def test_any_safetensors_reader_opens_it(model, tensors):
    assert torch.equal(load_file(model)["model.weight"], tensors["model.weight"])


def test_views_and_gradients_are_stored_as_their_values(tmp_path):
    weight = torch.randn(4, 6, requires_grad=True)

    write_model(tmp_path / "m", header={}, tensors={"w": weight.T, "part": weight[1:3, ::2]})

    stored = read_model(tmp_path / "m").tensors
    assert torch.equal(stored["w"], weight.detach().T)
    assert torch.equal(stored["part"], weight.detach()[1:3, ::2])


def test_half_precision_halves_the_file_and_rounds_once(tmp_path):
    tensors = {"w": torch.randn(300, 40), "n": torch.tensor([2**40])}
    for dtype in (torch.float32, torch.float16):
        write_model(tmp_path / f"{dtype}", header={}, tensors=tensors, dtype=dtype)
    once = read_model(tmp_path / "torch.float16")
    write_model(tmp_path / "twice", header={}, tensors=once.tensors, dtype=torch.float16)

    assert torch.equal(once.tensors["w"], tensors["w"].half().float())
    assert once.tensors["w"].dtype == torch.float32
    assert torch.equal(once.tensors["n"], tensors["n"])
    assert read_model(tmp_path / "twice").sha256 == once.sha256
    sizes = [(tmp_path / f"torch.float{bits}").stat().st_size for bits in (16, 32)]
    assert sizes[0] < 0.51 * sizes[1]


def test_a_file_cut_short_anywhere_is_named_in_one_line(model):
    content = model.read_bytes()

    for size in {*range(0, len(content), 7), 1, 7, 8, 9, len(content) - 1}:
        model.write_bytes(content[:size])
        with pytest.raises(ModelFileError) as caught:
            read_model(model)
        message = str(caught.value)
        assert message.startswith(f"{model}: not a whole safetensors file (")
        assert message.endswith("; copy or train the model again")
        assert "\n" not in message


@pytest.mark.parametrize("content", [b"RIFF....WAVE", b"\x80\x02}q\x00.", b"\xff" * 64, b"{}" * 9])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match="not a whole safetensors file"):
        read_model(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(2)}, path, metadata={"format": "pt"})

    with pytest.raises(ModelFileError) as caught:
        read_model(path)

    assert str(caught.value) == (
        f"{path}: a safetensors file, but not a ctcasr model; give a file that `ctcasr train` wrote"
    )


def test_a_recognizer_and_a_language_model_are_not_taken_for_each_other(model, tmp_path):
    with pytest.raises(ModelFileError) as caught:
        parse_model(model.read_bytes(), name="m", kind=LANGUAGE_MODEL)
    assert str(caught.value) == (
        "m: a safetensors file, but not a recurrent language model; give a file that "
        "`ctcasr lm train --rnn` wrote"
    )

    write_model(tmp_path / "lm", header=HEADER, tensors={}, kind=LANGUAGE_MODEL)
    with pytest.raises(ModelFileError, match="but not a ctcasr model"):
        read_model(tmp_path / "lm")
    stored = parse_model((tmp_path / "lm").read_bytes(), name="lm", kind=LANGUAGE_MODEL)
    assert stored.header == HEADER


@pytest.mark.parametrize("version", ["2", "17", "beta"])
def test_a_newer_format_names_what_to_install(tmp_path, version):
    path = tmp_path / "new.safetensors"
    metadata = {"format": RECOGNIZER.format, "format_version": version, "header": "{}"}
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)

    with pytest.raises(ModelFileError) as caught:
        read_model(path)

    assert str(caught.value) == (
        f"{path}: model format {version}; ctcasr 0.1.0 reads formats up to 1; install the release "
        f"that wrote it or a later one: pip install --upgrade ctcasr"
    )


@pytest.mark.parametrize("header", [None, "{", "[1]", ""])
def test_a_damaged_header_is_named(tmp_path, header):
    path = tmp_path / "damaged.safetensors"
    metadata = {"format": RECOGNIZER.format, "format_version": "1"}
    if header is not None:
        metadata["header"] = header
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)

    with pytest.raises(ModelFileError, match=r"the header is damaged \(.*\); train it again$"):
        read_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="no such model file; train one, or name a built-in"):
        read_model(tmp_path / "none.safetensors")


def test_the_header_stands_in_the_file_as_one_json_string_of_sorted_keys(model):
    content = model.read_bytes()
    size = int.from_bytes(content[:8], "little")

    metadata = json.loads(content[8 : 8 + size])["__metadata__"]

    assert metadata["format_version"] == "1"
    assert metadata["header"] == (
        '{"config":{"a":2,"b":1},"labels":["<blank>","é"],"sample_rate":16000}'
    )
