import json
from typing import Any

import pytest

from ctcasr.reporting.model_card import model_facts, render_model_facts

HEADER: dict[str, Any] = {
    "created_with": "ctcasr 0.1.0",
    "modality": "audio",
    "config": {
        "frontend": {"kind": "log_mel"},
        "encoder": {"subsampling": "stack", "stride": 3, "layers": 3, "hidden": 256},
    },
    "alphabet": {"labels": ["<blank>", " ", "a", "b"], "blank": 0, "unit": "char"},
    "sample_rate": 16_000,
    "frame_shift": 0.03,
    "rules": ["nfc", "whitespace"],
    "decoder": {"search": "best_path"},
    "training": {
        "items": 948,
        "amount": 2_940.0,
        "unit": "s",
        "scores": {"dev_cer": 0.05, "dev_wer": None},
    },
    "licence": None,
}
CARD = """\
model         an4
sha256        abc
size          2,400,000 parameters, 9.6 MB
reads         audio at 16,000 Hz, log_mel
network       stack x 3, bidirectional LSTM of 3 x 256, one output per 30 ms
writes        char: space a b
text rules    nfc, whitespace
decoder       search best_path
learned from  948 items, 49.0 min
scores        dev CER 5.00%
created with  ctcasr 0.1.0
licence       not stated
"""


def render(header, *, num_bytes=9_600_000):
    return render_model_facts(
        model_facts(header, name="an4", sha256="abc", num_parameters=2_400_000, num_bytes=num_bytes)
    )


def test_a_model_is_described_line_by_line():
    assert render(HEADER) == CARD


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"cell": "lstm", "directions": "both"}, "bidirectional LSTM of 3 x 256"),
        ({"cell": "gru", "directions": "forwards"}, "forward GRU of 3 x 256"),
        ({"cell": "rnn_relu", "hidden": [64, 32, 8]}, "bidirectional ReLU RNN of 64, 32, 8"),
    ],
)
def test_the_network_is_named_by_cell_directions_and_sizes(encoder, words):
    config = HEADER["config"] | {"encoder": HEADER["config"]["encoder"] | encoder}

    assert f"stack x 3, {words}, one output per 30 ms\n" in render(HEADER | {"config": config})


def test_many_labels_are_cut_and_counted():
    labels = ["<blank>", *(chr(0x4E00 + n) for n in range(100))]
    many = HEADER | {"alphabet": {"labels": labels, "blank": 0, "unit": "char"}}

    (line,) = [line for line in render(many).splitlines() if line.startswith("writes")]
    assert line.endswith(f"{chr(0x4E00 + 59)} ... (100 in all)")


def test_small_models_are_measured_in_kilobytes():
    assert "parameters, 33 kB" in render(HEADER, num_bytes=32_600)


def test_info_prints_the_card_or_the_header(ctcasr, tone_run):
    card = ctcasr("info", tone_run.folder)
    header = ctcasr("info", tone_run.folder / "model.safetensors", "--json")

    assert (card.status, header.status) == (0, 0)
    assert "writes        char: a b c d\n" in card.out
    assert "scores        dev CER 0.00%, dev WER 0.00%\n" in card.out
    assert json.loads(header.out)["training"]["items"] == 8
