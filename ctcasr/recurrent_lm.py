"""A recurrent language model with its vocabulary: texts in, log-probabilities out.

One safetensors file holds the network's weights and, in its header, the tokens it knows and the
text rules and unit by which texts become tokens, so whoever uses it need not repeat them.

Every sentence stands alone: it begins after `</s>`, with nothing remembered, and its own end is
counted. A token that the model does not know is `<unk>` to it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ctcasr.decoding.ngram import END, UNKNOWN, SentenceScore
from ctcasr.decoding.tokens import Tokens, TokenUnit
from ctcasr.errors import LanguageModelError, ModelFileError
from ctcasr.model_file import LANGUAGE_MODEL, parse_model, write_model
from ctcasr.models.language_model import (
    LanguageModelNetwork,
    LmNetworkConfig,
    LmState,
    sentence_log_probs,
)

_END, _UNKNOWN = 0, 1
_SCORES_KEPT = 100_000
"""Texts whose log-probability is remembered: tuning asks for the same ones again and again."""


class RecurrentLm:
    """A network that says how probable texts are.

    Args:
        network: its output's columns are `words`; put in evaluation mode.
        words: the vocabulary: `</s>`, `<unk>`, then all others.
        tokens: what a text is split into; a unit, not the labels of a recognizer.
        name: what messages call it; its file, where it was read from one.
    """

    def __init__(
        self,
        network: LanguageModelNetwork,
        words: Sequence[str],
        tokens: Tokens,
        *,
        name: str = "recurrent language model",
    ) -> None:
        assert tuple(words[:2]) == (END, UNKNOWN)
        self.network = network.eval()
        self.words = tuple(words)
        self.tokens = tokens
        self.name = name
        self._ids = {word: number for number, word in enumerate(self.words)}
        self._kept: dict[str, float] = {}

    def known_words(self) -> tuple[str, ...]:
        """Return the vocabulary without `</s>` and `<unk>`."""
        return self.words[2:]

    def encode(self, sentence: Sequence[str]) -> list[int]:
        """Return the ids of some tokens."""
        return [self._ids.get(word, _UNKNOWN) for word in sentence]

    def score(self, sentences: Sequence[Sequence[str]]) -> list[SentenceScore]:
        """Return what the model says of sentences of tokens, each standing alone."""
        ids = [self.encode(sentence) for sentence in sentences]
        return [
            _sentence_score(np.array(sentence, dtype=np.int64), log_probs)
            for sentence, log_probs in zip(
                ids, sentence_log_probs(self.network, ids, end=_END), strict=True
            )
        ]

    @torch.inference_mode()
    def step(
        self, memories: Sequence[LmState | None], tokens: Sequence[int]
    ) -> tuple[list[LmState], NDArray[np.float64]]:
        """Read one token after each of K memories, all in one step of the network.

        Args:
            memories: what was remembered so far; None where nothing was read.
            tokens: ids.

        Returns:
            The new memories, and (K, V) natural logs of what follows.
        """
        nothing = self.network.blank_state()
        states = [nothing if memory is None else memory for memory in memories]
        before = (
            torch.cat([hidden for hidden, _ in states], dim=1),
            torch.cat([cell for _, cell in states], dim=1),
        )
        logits, (hidden, cell) = self.network(torch.tensor(tokens)[:, None], before)
        after = zip(hidden.split(1, dim=1), cell.split(1, dim=1), strict=True)
        return list(after), logits[:, 0].double().log_softmax(-1).numpy()

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        """Return the natural log of each text's probability, its end included."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        known = {text: self._kept[text] for text in texts if text in self._kept}
        scores = self.score([self.tokens.split(text) for text in new])
        known |= {text: one.log_prob for text, one in zip(new, scores, strict=True)}
        if len(self._kept) + len(new) > _SCORES_KEPT:
            self._kept.clear()
        self._kept |= known
        return [known[text] for text in texts]


def write_recurrent_lm(
    path: Path,
    lm: RecurrentLm,
    *,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    created_with: str,
) -> None:
    """Write a model atomically; equal models are equal files.

    Args:
        path: of the file.
        lm: the model.
        config: what it was trained with, of which `network` is needed to read it.
        training: what it learned from, and how well.
        created_with: name and version of the program.

    Raises:
        OutputError: it cannot be written.
    """
    header = {
        "created_with": created_with,
        "config": config,
        "unit": lm.tokens.unit.value,
        "rules": list(lm.tokens.rules),
        "words": list(lm.words),
        "training": training,
    }
    write_model(path, header=header, tensors=lm.network.state_dict(), kind=LANGUAGE_MODEL)


def read_recurrent_lm(path: Path) -> RecurrentLm:
    """Read a model.

    Raises:
        LanguageModelError: the file cannot be read.
        ModelFileError: cut short, of another kind, or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LanguageModelError(
            f"{path}: cannot be read ({error.strerror or error}); check the path"
        ) from error
    return parse_recurrent_lm(content, name=str(path))


def parse_recurrent_lm(content: bytes, *, name: str) -> RecurrentLm:
    """Return the model that the bytes of a file hold.

    Raises:
        ModelFileError: cut short, of another kind, or of a newer format.
    """
    stored = parse_model(content, name=name, kind=LANGUAGE_MODEL)
    header = stored.header
    try:
        words = header["words"]
        config = LmNetworkConfig.model_validate(header["config"]["network"])
        network = LanguageModelNetwork(config, num_tokens=len(words))
        network.load_state_dict(stored.tensors)
        tokens = Tokens(unit=TokenUnit(header["unit"]), rules=tuple(header["rules"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{name}: header and tensors do not fit together ({reason}); the file is damaged or "
            f"was changed; train it again"
        ) from error
    return RecurrentLm(network, words, tokens, name=name)


def _sentence_score(ids: NDArray[np.int64], log_probs: NDArray[np.float64]) -> SentenceScore:
    """Return the score of the (U,) ids of a sentence from the (U + 1,) logs of ids and end."""
    is_unknown = np.append(ids == _UNKNOWN, False)
    unknown = float(log_probs[is_unknown].sum())
    known = float(log_probs[~is_unknown].sum())
    return SentenceScore(
        log_prob=known + unknown,
        num_words=len(ids),
        num_unknown=int(is_unknown.sum()),
        unknown_log_prob=unknown,
        known_log_prob=known,
    )
