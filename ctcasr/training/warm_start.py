"""Starting from another model: weights of equal shape, the output layer label by label.

The rows of the output layer belong to labels, not to columns: a label both models know brings its
row to wherever its column is now, and a new label keeps its fresh one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctcasr.alphabet import Alphabet
from ctcasr.models.network import Network

_OUTPUT = ("ctc.output.weight", "ctc.output.bias")


@dataclass(frozen=True, slots=True)
class Matched:
    """How much of a model was taken over: tensors of all, output rows of known labels."""

    tensors: int
    all_tensors: int
    labels: int


def match_weights(
    network: Network, alphabet: Alphabet, *, weights: Mapping[str, Tensor], labels: Sequence[str]
) -> Matched:
    """Copy into `network` what fits of another model's weights.

    Args:
        network: changed in place.
        alphabet: of `network`.
        weights: of the other model, by the same names.
        labels: of the other model, in the order of its columns.
    """
    columns = {label: column for column, label in enumerate(labels)}
    known = [(row, columns[label]) for row, label in enumerate(alphabet.labels) if label in columns]
    own = network.state_dict()
    taken = 0
    with torch.no_grad():
        for name, tensor in own.items():
            other = weights.get(name)
            if other is None:
                continue
            if name in _OUTPUT and other.shape[1:] == tensor.shape[1:]:
                for row, column in known:
                    tensor[row] = other[column]
                taken += 1
            elif other.shape == tensor.shape:
                tensor.copy_(other)
                taken += 1
    return Matched(taken, len(own), len(known))
