"""Utterances one by one: picture, sound, texts side by side; the page of `ctcasr show`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ctcasr.reporting.html.page import render_page
from ctcasr.scoring.alignment import Pair


@dataclass(frozen=True, slots=True)
class ShownUtterance:
    """What a page shows of one utterance.

    Attributes:
        id: its id.
        pairs: (said, recognised), word by word; where there is no reference, (word, word).
        has_reference: whether it is known what was said.
        facts: name and value of what else is known.
        picture: spectrogram, posteriors and alignments; None where there is nothing to draw.
        sound: address of the recording, for the page's player; None for no player.
        nbest: (text, natural-log score), best first.
        error: why there is no output; "" where there is.
    """

    id: str
    pairs: Sequence[Pair]
    has_reference: bool
    facts: Sequence[tuple[str, Any]] = ()
    picture: Markup | None = None
    sound: str | None = None
    nbest: Sequence[tuple[str, float]] = ()
    error: str = ""


def render_utterances(utterances: Sequence[ShownUtterance], *, title: str, model: str) -> str:
    """Return a page that shows utterances one after another.

    Args:
        utterances: in the order of the page.
        title: of the page.
        model: name and hash of the model that heard them.
    """
    return render_page("utterances.html.j2", title=title, utterances=utterances, model=model)
