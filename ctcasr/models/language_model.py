"""Recurrent language model: what follows on all tokens so far.

    embedding -> LSTM layers -> linear -> softmax over the vocabulary

What the LSTM remembers is handed in and out, so a text may be read in pieces of any length: the
numbers are those of reading it at once. A token is an id here; what it stands for is the business
of `ctcasr.recurrent_lm`.

Sources: Mikolov et al. 2010, "Recurrent neural network based language model"; Sundermeyer et al.
2012, "LSTM neural networks for language modeling"; Zaremba et al. 2014, arXiv:1409.2329, for where
dropout goes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from ctcasr.batching import plan_batches
from ctcasr.models.dropout import Dropout
from ctcasr.models.initialisation import InitConfig, initialise
from ctcasr.settings import Section

_LARGEST_LOGITS = 2**22
"""Most logits computed at a time while scoring: 16 MB."""
_EMBEDDING_RANGE = 0.1

LmState = tuple[Tensor, Tensor]
"""What the LSTM remembers: output and cell, (layers, B, H) each."""


class LmNetworkConfig(Section):
    """The network of a recurrent language model. Section `network` of its settings."""

    embedding: int = Field(64, ge=1)
    """Numbers that stand for a token at the input."""

    hidden: int = Field(256, ge=1)
    """LSTM units per layer."""

    layers: int = Field(1, ge=1)
    """LSTM layers."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the values set to zero while training: after the embedding, between the layers and
    before the output."""


class LanguageModelNetwork(nn.Module):
    """The probabilities of the next token, after each of some tokens.

    Args:
        config: its sizes.
        num_tokens: V, the vocabulary.

    Shape:
        tokens: (B, T) int64.
        state: after what came before; None where nothing did.
        returns: logits (B, T, V) of the token after each, and the state after the last.
    """

    def __init__(self, config: LmNetworkConfig, *, num_tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, config.embedding)
        nn.init.uniform_(self.embedding.weight, -_EMBEDDING_RANGE, _EMBEDDING_RANGE)
        self.lstm = nn.LSTM(
            config.embedding,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        initialise(self.lstm, InitConfig())
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, num_tokens)

    @property
    def num_tokens(self) -> int:
        """V, the vocabulary."""
        return self.output.out_features

    def blank_state(self) -> LmState:
        """Return what one sentence starts from: nothing is remembered."""
        empty = self.output.weight.new_zeros(self.lstm.num_layers, 1, self.lstm.hidden_size)
        return empty, empty

    def forward(self, tokens: Tensor, state: LmState | None = None) -> tuple[Tensor, LmState]:
        """Read some tokens; see the class for shapes."""
        hidden, state = self.lstm(self.dropout(self.embedding(tokens)), state)
        return self.output(self.dropout(hidden)), state


def sentence_log_probs(
    network: LanguageModelNetwork, sentences: Sequence[Sequence[int]], *, end: int
) -> list[NDArray[np.float64]]:
    """Return the log-probability of every token of some sentences, and of their ends.

    Each sentence stands alone: it begins after the token `end`, with nothing remembered. Memory is
    bounded, however long or many the sentences are.

    Args:
        network: in evaluation mode.
        sentences: token ids.
        end: the token that ends a sentence.

    Returns:
        (U + 1,) natural logs for each sentence of U tokens, in order.
    """
    found: list[NDArray[np.float64]] = [np.zeros(0)] * len(sentences)
    most = max(1, _LARGEST_LOGITS // network.num_tokens)
    for batch in plan_batches([len(sentence) + 1 for sentence in sentences], max_frames=most):
        rows = _batch_log_probs(network, [sentences[at] for at in batch], end=end, most=most)
        for at, row in zip(batch, rows, strict=True):
            found[at] = row
    return found


@torch.inference_mode()
def _batch_log_probs(
    network: LanguageModelNetwork, sentences: Sequence[Sequence[int]], *, end: int, most: int
) -> list[NDArray[np.float64]]:
    """Return the same for one batch, right-padded; `most` tokens are computed at a time."""
    longest = max(map(len, sentences))
    padded = np.full((len(sentences), longest + 2), end)
    for row, sentence in zip(padded, sentences, strict=True):
        row[1 : len(sentence) + 1] = sentence
    tokens = torch.from_numpy(padded).to(network.output.weight.device)
    state, pieces = None, []
    length = max(1, most // len(sentences))
    for at in range(0, longest + 1, length):
        inputs = tokens[:, at : min(at + length, longest + 1)]
        targets = tokens[:, at + 1 : at + 1 + inputs.shape[1]]
        logits, state = network(inputs, state)
        log_probs = logits.double().log_softmax(-1)
        pieces.append(log_probs.gather(-1, targets[..., None])[..., 0].cpu().numpy())
    rows = np.concatenate(pieces, axis=1)
    return [row[: len(s) + 1] for row, s in zip(rows, sentences, strict=True)]
