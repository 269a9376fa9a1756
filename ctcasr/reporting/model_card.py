"""A model's header in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctcasr.reporting.tables import in_words

_CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "tanh RNN", "rnn_relu": "ReLU RNN"}


def model_facts(
    header: Mapping[str, Any], *, name: str, sha256: str, num_parameters: int, num_bytes: int
) -> dict[str, str]:
    """Return what a model's header says, in words, by name."""
    config, training = header["config"], header["training"]
    encoder = config["encoder"]
    scores = {key: value for key, value in training["scores"].items() if value is not None}
    measured = (
        ", ".join(f"{_in_words(key)} {value:.2%}" for key, value in scores.items())
        or "not recorded"
    )
    return {
        "model": name,
        "sha256": sha256,
        "size": f"{num_parameters:,} parameters, {_size(num_bytes)}",
        "reads": _input(header),
        "network": (
            f"{encoder['subsampling']} x {encoder['stride']}, {_recurrence(encoder)}, one output "
            f"per {_shift(header)}"
        ),
        **_attention(header),
        **_outputs(header),
        "text rules": ", ".join(header["rules"]) or "none",
        "decoder": in_words(header["decoder"]),
        "learned from": f"{training['items']:,} items, {_amount(training)}",
        "scores": measured,
        "created with": header["created_with"],
        "licence": header["licence"] or "not stated",
    }


def _input(header: Mapping[str, Any]) -> str:
    kind = header["config"]["frontend"]["kind"]
    if header["modality"] == "audio":
        return f"audio at {header['sample_rate']:,} Hz, {kind}"
    return f"{header['modality']}, {kind}"


def _shift(header: Mapping[str, Any]) -> str:
    """Return how far apart outputs are."""
    shift = header["frame_shift"]
    if header["modality"] == "audio":
        return f"{1000 * shift:g} ms"
    return f"{shift:g} {header['training']['unit']}s"


def _amount(training: Mapping[str, Any]) -> str:
    if training["unit"] == "s":
        return f"{training['amount'] / 60:,.1f} min"
    return f"{training['amount']:,.0f} {training['unit']}s"


def _attention(header: Mapping[str, Any]) -> dict[str, str]:
    """Return how a model attends, where it does."""
    head = header["config"].get("heads", {}).get("attention", {})
    if not head.get("weight"):
        return {}
    beside = "beside CTC" if header["config"]["heads"]["ctc"]["weight"] else "no CTC"
    size = f"LSTM of {head['layers']} x {head['hidden']}"
    return {"attention": f"{head['kind']}, decoder {size}, {beside}"}


def _outputs(header: Mapping[str, Any]) -> dict[str, str]:
    """Return what a model writes, and what one label it gives to a recording."""
    alphabet, facts = header["alphabet"], {}
    blank = alphabet["labels"][alphabet["blank"]]
    labels = [label for label in alphabet["labels"] if label != blank]
    if labels:
        facts["writes"] = f"{alphabet['unit']}: {_some(labels)}"
    for head, what in (("frame", "label of each frame"), ("utterance", "label of the whole")):
        classes = [name for name in header.get("classes", {}).get(head, []) if name]
        if classes:
            facts[what] = f"{header['config']['heads'][head]['field']}: {_some(classes)}"
    return facts


def _some(labels: Sequence[str]) -> str:
    shown = " ".join(repr(label)[1:-1] if label != " " else "space" for label in labels[:60])
    return shown + (f" ... ({len(labels)} in all)" if len(labels) > 60 else "")


def render_model_facts(facts: Mapping[str, str]) -> str:
    """Return facts as a list, one per line. Pure: equal facts give equal text."""
    width = max(map(len, facts))
    return "".join(f"{key:<{width}}  {value}\n" for key, value in facts.items())


def _recurrence(encoder: Mapping[str, Any]) -> str:
    """Return "bidirectional LSTM of 3 x 256"; models without these keys are just that."""
    hidden, layers = encoder["hidden"], encoder["layers"]
    sizes = ", ".join(map(str, hidden)) if isinstance(hidden, list) else f"{layers} x {hidden}"
    way = "bidirectional" if encoder.get("directions", "both") == "both" else "forward"
    return f"{way} {_CELLS[encoder.get('cell', 'lstm')]} of {sizes}"


def _in_words(score: str) -> str:
    """Return "dev CER" for "dev_cer"."""
    return " ".join(w.upper() if w in ("cer", "wer") else w for w in score.split("_"))


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
