"""The page of a training: how it went, what could go better, what was left out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ctcasr.reporting.html.charts import Axis, Line, render_chart
from ctcasr.reporting.html.page import render_page
from ctcasr.reporting.tables import in_words

Epoch = Mapping[str, Any]
"""One line of metrics.jsonl."""


_SHARE = Axis("share", low=0, is_share=True)
_CHARTS: Sequence[tuple[str, Axis, Mapping[str, str], str]] = (
    (
        "loss",
        Axis("nats per label", is_log=True),
        {"loss": "training", "dev_loss": "dev"},
        "Loss, on a logarithmic scale. A dev loss that rises while the other falls is overfitting.",
    ),
    (
        "dev error rates",
        Axis("error rate", low=0, is_share=True),
        {
            "dev_cer": "characters",
            "dev_wer": "words",
            "dev_class_error": "labels of the whole",
            "dev_frame_error": "frames",
            "dev_attention_cer": "characters, by attention",
        },
        "Error rates on the dev set, text by best path, or by attention where it is alone.",
    ),
    (
        "learning rate",
        Axis("learning rate", low=0),
        {"learning_rate": "learning rate"},
        "Learning rate of the last step of each epoch.",
    ),
    (
        "gradient norm",
        Axis("L2 norm", is_log=True),
        {"grad_norm": "gradient norm"},
        "Mean norm of the gradient before clipping, on a logarithmic scale.",
    ),
    (
        "blank frames and clipped steps",
        _SHARE,
        {"blank_share": "blank frames", "clipped": "clipped steps"},
        "Frames of the dev set that are most probably blank; steps whose gradient was scaled down.",
    ),
    (
        "padding and waiting",
        _SHARE,
        {"padding": "padding", "waiting": "waiting"},
        "Padding among the frames of the batches, and time spent waiting for recordings.",
    ),
)
"""Title, axis, columns of the metrics with their names, caption."""


@dataclass(frozen=True, slots=True)
class _Left:
    """Utterances of one set that were left out for the same kind of reason."""

    where: str
    kind: str
    items: Sequence[tuple[str, str]]  # id, reason


def render_training(
    *,
    name: str,
    facts: Mapping[str, Any],
    status: str,
    settings: Mapping[str, Any],
    epochs: Sequence[Epoch],
    advice: Sequence[tuple[str, str, str]],
    skipped: Sequence[Mapping[str, str]],
    model_card: Mapping[str, str],
    damage: Sequence[str],
) -> str:
    """Return the page. Pure: equal records give equal bytes.

    Args:
        name: of the run.
        facts: what run.json holds.
        status: of the run.
        settings: the configuration, by dotted key.
        epochs: what metrics.jsonl holds.
        advice: what happened, why, and what to try.
        skipped: what skipped.jsonl holds.
        model_card: facts about the model, by name; empty where there is none.
        damage: what could not be read.
    """
    judged = [epoch for epoch in epochs if epoch["dev_cer"] is not None]
    return render_page(
        "training.html.j2",
        title=name,
        status=status,
        reason=facts.get("reason"),
        epochs=epochs,
        judged=judged,
        best=min(judged, key=lambda epoch: epoch["dev_cer"], default=None),
        seconds_in_all=sum(epoch["seconds"] for epoch in epochs),
        cpu_seconds_in_all=sum(epoch["cpu_seconds"] for epoch in epochs),
        lost_steps=sum(epoch["skipped"] for epoch in epochs),
        advice=advice,
        charts=_draw(epochs),
        left_out=_group(skipped),
        num_left_out=len(skipped),
        model_card=list(model_card.items()),
        origin=_origin(facts),
        settings=[(key, _written(value)) for key, value in settings.items()],
        damage=damage,
    )


def _draw(epochs: Sequence[Epoch]) -> list[tuple[Markup, str]]:
    """Return charts over the epochs, with their captions."""
    if not epochs:
        return []
    drawn = []
    for title, upwards, keys, caption in _CHARTS:
        lines = [
            Line(name, [(epoch["epoch"], epoch[key]) for epoch in epochs])
            for key, name in keys.items()
            if any(epoch[key] is not None for epoch in epochs)
        ]
        chart = render_chart(f"{title} over the epochs", Axis("epoch", low=1), upwards, lines)
        drawn.append((chart, caption))
    return drawn


def _group(skipped: Sequence[Mapping[str, str]]) -> list[_Left]:
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for item in skipped:
        groups[item["set"], item["kind"]].append((item["id"], item["reason"]))
    return [_Left(where, kind, items) for (where, kind), items in groups.items()]


def _origin(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the run was made, as far as it is known."""
    known = {
        "command": facts.get("command"),
        "commit": facts.get("commit"),
        "started": facts.get("started"),
        "ended": facts.get("ended"),
        "seed": facts.get("seed"),
        "versions": in_words(facts.get("versions") or {}),
        "manifests, SHA-256": in_words(facts.get("manifests") or {}),
    }
    return [(fact, str(value)) for fact, value in known.items() if value not in (None, "")]


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)
