"""Recurrent language models: a text becomes a trained network in one file."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctcasr.decoding.ngram import END, UNKNOWN
from ctcasr.decoding.ngram_estimation import choose_words
from ctcasr.decoding.tokens import RECURRENT_SUFFIX, Tokens
from ctcasr.device import pick_device
from ctcasr.errors import LanguageModelError
from ctcasr.models.language_model import LanguageModelNetwork
from ctcasr.pipeline.language_model import read_texts
from ctcasr.pipeline.outputs import Existing, require_free
from ctcasr.pipeline.provenance import ctcasr_version
from ctcasr.recurrent_lm import RecurrentLm, write_recurrent_lm
from ctcasr.training.language_model import LmConfig, LmEpoch, fit_language_model
from ctcasr.training.loop import seed_everything


@dataclass(frozen=True, slots=True)
class Learned:
    """What a recurrent model learned from, and how well.

    Attributes:
        num_sentences, num_tokens: that it learned from; num_words: its vocabulary.
        num_parameters: of the network.
        best: the epoch whose weights were kept.
    """

    num_sentences: int
    num_tokens: int
    num_words: int
    num_parameters: int
    best: LmEpoch

    def to_json(self) -> dict[str, Any]:
        """Return the record "training" of the model's header."""
        return {
            "sentences": self.num_sentences,
            "tokens": self.num_tokens,
            "epoch": self.best.epoch,
            "dev_perplexity": math.exp(self.best.dev_nats),
        }


def train_recurrent_model(
    texts: Sequence[Path],
    output: Path,
    *,
    config: LmConfig,
    tokens: Tokens,
    dev: Path | None = None,
    vocabulary: int | None = None,
    existing: Existing = Existing.REFUSE,
    device: str = "auto",
    on_epoch: Callable[[LmEpoch], None],
) -> tuple[Learned, tuple[str, ...]]:
    """Train a recurrent model on texts and write it as one safetensors file.

    Nothing is written before the last epoch, so what stands at `output` is always whole.

    Args:
        texts: see `ctcasr.pipeline.language_model`.
        output: the file; its name ends in `.safetensors`.
        config: network, training and seed.
        tokens: what a sentence is split into: a unit, not the labels of a recognizer.
        dev: a text to choose the best epoch by; a share of the sentences where not given.
        vocabulary: how many tokens are kept; the others become `<unk>`.
        existing: whether `output` may be replaced.
        device: where to compute.
        on_epoch: told of every epoch.

    Returns:
        What was learned, and notes on what was left out of the texts.

    Raises:
        LanguageModelError: a text that cannot be read or holds nothing, too few sentences to hold
            any out, or another suffix.
        ManifestError: a manifest that cannot be read.
        ConfigError: a text rule that does not exist, or a device that is not there.
        OutputError: the output exists, is one of the texts, or cannot be written.
        TrainingError: the loss is not finite any more.
    """
    require_free([output], existing)
    if output in [*texts, dev]:
        raise LanguageModelError(f"{output}: is one of the texts; name another file for the model")
    if output.suffix != RECURRENT_SUFFIX:
        raise LanguageModelError(
            f"{output}: a recurrent model is a {RECURRENT_SUFFIX} file; name it so: "
            f"-o {output.stem}{RECURRENT_SUFFIX}"
        )
    place = pick_device(device)
    text = read_texts(texts, tokens)
    held = None if dev is None else read_texts([dev], tokens)
    said, unsaid = (
        _hold_out(text.sentences, config) if held is None else (text.sentences, held.sentences)
    )
    seed_everything(config.seed)
    words = (END, UNKNOWN, *choose_words(said, vocabulary)[3:])
    network = LanguageModelNetwork(config.network, num_tokens=len(words)).to(place)
    lm = RecurrentLm(network, words, tokens)
    best = fit_language_model(
        network,
        [lm.encode(sentence) for sentence in said],
        [lm.encode(sentence) for sentence in unsaid],
        end=lm.encode([END])[0],
        config=config.training,
        seed=config.seed,
        on_epoch=on_epoch,
    )
    learned = Learned(
        num_sentences=len(said),
        num_tokens=sum(map(len, said)),
        num_words=len(lm.known_words()),
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        best=best,
    )
    write_recurrent_lm(
        output,
        lm,
        config=config.model_dump(mode="json"),
        training=learned.to_json(),
        created_with=ctcasr_version(),
    )
    return learned, text.notes + (held.notes if held else ())


def _hold_out(
    sentences: Sequence[list[str]], config: LmConfig
) -> tuple[Sequence[list[str]], Sequence[list[str]]]:
    """Return the sentences to learn from and the others, drawn from the seed; at least one each."""
    if len(sentences) < 2:
        raise LanguageModelError(
            "the text has one sentence, so none can be held out to choose the best epoch by; give "
            "more, or others: --dev FILE"
        )
    number = max(1, round(config.training.held_out * len(sentences)))
    number = min(number, len(sentences) - 1)
    order = np.random.default_rng([config.seed]).permutation(len(sentences))
    held_out = set(order[:number].tolist())
    said = [sentence for at, sentence in enumerate(sentences) if at not in held_out]
    return said, [sentences[at] for at in sorted(held_out)]
