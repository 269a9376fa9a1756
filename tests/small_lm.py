"""A recurrent language model with drawn weights: it has opinions, and has learned nothing."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ctcasr.decoding.ngram import END, UNKNOWN
from ctcasr.decoding.tokens import Tokens, TokenUnit
from ctcasr.models.language_model import LanguageModelNetwork, LmNetworkConfig
from ctcasr.recurrent_lm import RecurrentLm, write_recurrent_lm

NETWORK = LmNetworkConfig(embedding=3, hidden=4)
LETTERS = ("<space>", "a", "b")


def make_lm(
    words: Sequence[str] = LETTERS,
    *,
    unit: TokenUnit = TokenUnit.CHAR,
    rules: tuple[str, ...] = ("nfc", "whitespace"),
    seed: int = 5,
    spread: float = 1.5,
    dtype: torch.dtype = torch.float32,
) -> RecurrentLm:
    """Return a model; its weights are drawn from -spread to spread."""
    torch.manual_seed(seed)
    network = LanguageModelNetwork(NETWORK, num_tokens=2 + len(words)).to(dtype)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, -spread, spread)
    return RecurrentLm(network, (END, UNKNOWN, *words), Tokens(unit=unit, rules=rules))


def write_lm(path: Path, lm: RecurrentLm) -> Path:
    """Write a model that `make_lm` returned, and return its file."""
    config = {"network": NETWORK.model_dump()}
    write_recurrent_lm(path, lm, config=config, training={}, created_with="tests")
    return path
