"""What `train` needs to know before it uses utterances: which it can learn from.

The fatal part of a check. Of recordings, text and header are enough, so that it costs milliseconds
a file; ink and images are read.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctcasr.alphabet import Alphabet
from ctcasr.checking.alignment_checks import infeasible_alignment
from ctcasr.checking.class_checks import unusable_class
from ctcasr.checking.findings import Unusable
from ctcasr.checking.frame_checks import unusable_stretches
from ctcasr.checking.item_checks import unusable_item, unusable_modality
from ctcasr.checking.text_checks import unusable_text
from ctcasr.errors import ItemError
from ctcasr.frontends.medium import Medium
from ctcasr.manifest.utterance import Utterance
from ctcasr.text_rules import apply_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What an utterance must have to be learned from or judged on.

    Attributes:
        alphabet: the labels of the model; None where it writes no text.
        rules: text rules applied before labels are looked up.
        medium: that reads utterances.
        num_frames: N positions -> T' encoder frames.
        is_aligned: whether labels must find a frame each, as CTC aligns them.
        class_field: whose value is the one label of a recording; None where none is learned.
        classes: these labels, where they are.
        frame_field: that says what is heard when; None where that is not learned.
        frame_classes: the labels of frames, where it is.
    """

    alphabet: Alphabet | None
    rules: Sequence[str]
    medium: Medium[Any, Any]
    num_frames: Callable[[int], int]
    is_aligned: bool = True
    class_field: str | None = None
    classes: Collection[str] = ()
    frame_field: str | None = None
    frame_classes: Collection[str] = ()

    def judge(
        self, utterance: Utterance, measure: Callable[[Utterance], float]
    ) -> float | Unusable:
        """Return the amount of a usable utterance, or the first reason why another is not.

        Args:
            utterance: which.
            measure: returns its amount; an `ItemError` says why it cannot be used.
        """
        rules = self.rules
        unusable = unusable_modality(utterance, self.medium.modality)
        if unusable is None and self.alphabet is not None:
            unusable = unusable_text(utterance, alphabet=self.alphabet, rules=rules)
        if unusable is None and self.class_field is not None:
            unusable = unusable_class(
                utterance, self.class_field, classes=self.classes, rules=rules
            )
        if unusable is None and self.frame_field is not None:
            unusable = unusable_stretches(utterance, self.frame_field, classes=self.frame_classes)
        if unusable is not None:
            return unusable
        try:
            amount = measure(utterance)
        except ItemError as error:
            return unusable_item(utterance, error)
        text = apply_rules(utterance.text or "", rules)
        infeasible = infeasible_alignment(
            utterance,
            () if self.alphabet is None or not self.is_aligned else self.alphabet.encode(text),
            num_positions=round(amount * self.medium.rate),
            num_frames=self.num_frames,
        )
        return amount if infeasible is None else infeasible


def find_usable(
    utterances: Sequence[Utterance], requirements: Requirements, *, workers: int = 2
) -> tuple[list[tuple[Utterance, float]], list[Unusable]]:
    """Divide utterances into those that can be learned from and those that cannot, by name.

    Args:
        utterances: of one manifest.
        requirements: what they must have.
        workers: threads that open files.

    Returns:
        (utterance, amount) of the usable ones, and the others with the first reason found; both in
        the order given.
    """
    judge = partial(requirements.judge, measure=requirements.medium.measure)
    usable: list[tuple[Utterance, float]] = []
    unusable: list[Unusable] = []
    with ThreadPoolExecutor(workers) as pool:
        for utterance, verdict in zip(utterances, pool.map(judge, utterances), strict=True):
            if isinstance(verdict, Unusable):
                unusable.append(verdict)
            else:
                usable.append((utterance, verdict))
    return usable, unusable
