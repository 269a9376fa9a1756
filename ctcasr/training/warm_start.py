"""Starting from another model: weights of equal shape, the output layers label by label.

The rows of an output layer belong to labels, not to columns: a label both models know brings its
row to wherever its column is now, and a new label keeps its fresh one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ctcasr.models.attention import END_SYMBOL, START_SYMBOL
from ctcasr.models.network import Network


@dataclass(frozen=True, slots=True)
class HeadLabels:
    """What the columns of each head's output layer stand for; of one that is not there, none.

    Attributes:
        text: of the CTC head, and of the attention decoder but for its start and end.
    """

    text: Sequence[str] = ()
    frame: Sequence[str] = ()
    utterance: Sequence[str] = ()

    def of(self, tensor: str) -> Sequence[str] | None:
        """Return what the rows of a tensor stand for; None where it is of no output layer."""
        head, _, part = tensor.partition(".")
        if head == "attention" and part == "embedding.weight":
            return (*self.text, END_SYMBOL, START_SYMBOL)
        if not part.startswith("output."):
            return None
        return {
            "ctc": self.text,
            "attention": (*self.text, END_SYMBOL),
            "frame": self.frame,
            "utterance": self.utterance,
        }.get(head)


@dataclass(frozen=True, slots=True)
class Matched:
    """How much of a model was taken over: tensors of all, output rows of known labels."""

    tensors: int
    all_tensors: int
    labels: int


def match_weights(
    network: Network, own: HeadLabels, *, weights: Mapping[str, Tensor], labels: HeadLabels
) -> Matched:
    """Copy into `network` what fits of another model's weights.

    Args:
        network: changed in place.
        own: what its output layers' columns stand for.
        weights: of the other model, by the same names.
        labels: the same of the other model.
    """
    state = network.state_dict()
    taken = 0
    with torch.no_grad():
        for name, tensor in state.items():
            other, rows = weights.get(name), own.of(name)
            if other is None:
                continue
            if rows is not None and other.shape[1:] == tensor.shape[1:]:
                for row, column in _shared(rows, labels.of(name) or ()):
                    tensor[row] = other[column]
                taken += 1
            elif rows is None and other.shape == tensor.shape:
                tensor.copy_(other)
                taken += 1
    pairs = [(getattr(own, each.name), getattr(labels, each.name)) for each in fields(own)]
    known = sum(len(_shared(names, others)) for names, others in pairs)
    return Matched(taken, len(state), known)


def _shared(own: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Return the columns, here and there, of each label that both have."""
    columns = {label: column for column, label in enumerate(others)}
    return [(row, columns[label]) for row, label in enumerate(own) if label in columns]
