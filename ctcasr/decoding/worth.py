"""What language model, lexicon and hotwords are worth to a text: chosen once, for any search."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctcasr.alphabet import Alphabet
from ctcasr.decoding.arpa import read_arpa
from ctcasr.decoding.context import Context, LmUnit, PrefixContext, make_context
from ctcasr.decoding.fusion import StepModel, make_fusion
from ctcasr.decoding.ngram import NgramModel, label_token


@dataclass(frozen=True, slots=True)
class LanguageWorth:
    """What a decoder adds to the network's output.

    Attributes:
        alphabet: of the labels.
        context: what prefixes are worth; None where all are worth the same.
        lm: the language model, if any.
    """

    alphabet: Alphabet
    context: PrefixContext | None
    lm: NgramModel | StepModel | None

    @property
    def unwritten_words(self) -> tuple[str, ...]:
        """Words of the language model that the labels cannot write, so that they are never found.

        Empty where a lexicon chooses the words.
        """
        return self.context.unwritten if self.context else ()

    def of(self, labels: Sequence[int]) -> float:
        """Return what a whole label sequence is worth, in nats.

        Language model, lexicon and hotwords together, as they are added up; minus infinity where
        the lexicon forbids it.
        """
        context, total = self.context, 0.0
        if context is None:
            return total
        state = context.start()
        for label in labels:
            state, worth = context.extend(state, label)
            total += worth
            if total == -np.inf:
                return total
        return total + context.finish(state)

    def lm_log_prob(self, labels: tuple[int, ...]) -> float | None:
        """Return what the language model alone gives a label sequence; None where there is none."""
        if self.context is None or self.lm is None:
            return None
        tokens = [label_token(self.alphabet.labels[label]) for label in labels]
        if not isinstance(self.lm, NgramModel):
            return self.lm.score([tokens])[0].log_prob
        if isinstance(self.context, Context) and self.context.lexicon is not None:
            tokens = self.alphabet.words(labels)
        score = self.lm.log_prob(tokens)
        return score.log_prob if self.lm.unknown >= 0 else score.known_log_prob


def make_worth(
    alphabet: Alphabet,
    *,
    lm: NgramModel | StepModel | str | Path | None = None,
    lm_unit: LmUnit | str = LmUnit.WORD,
    lexicon: str | Path | Iterable[str] | None = None,
    open_vocabulary: bool | None = None,
    hotwords: Mapping[str, float] | None = None,
    alpha: float = 0.5,
    beta: float = 0.0,
    unknown: float = 0.0,
) -> LanguageWorth:
    """Return what a decoder's settings mean; see `PrefixBeamDecoder` for them.

    Raises:
        ValueError: a setting is out of range, or two do not go together.
        LanguageModelError, LexiconError, HotwordError: see their readers.
    """
    model = read_arpa(Path(lm)) if isinstance(lm, str | Path) else lm
    unit = LmUnit(lm_unit)
    context = make_context(
        alphabet,
        lm=model if isinstance(model, NgramModel) else None,
        lm_unit=unit,
        lexicon=lexicon,
        is_open=open_vocabulary,
        hotwords=hotwords,
        alpha=alpha,
        beta=beta,
        unknown=unknown,
    )
    if model is None or isinstance(model, NgramModel):
        return LanguageWorth(alphabet, context, model)
    if unit is LmUnit.WORD or lexicon is not None:
        raise ValueError(
            f"{model.name}: a recurrent language model in the beam counts labels; say "
            f"lm_unit=label and leave lexicons out, or weigh whole texts by it: rescore"
        )
    fusion = make_fusion(
        alphabet, lm=model, others=context, alpha=alpha, beta=beta, unknown=unknown
    )
    return LanguageWorth(alphabet, fusion, model)
