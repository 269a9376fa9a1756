"""Pieces: utterances cut between their words, to be put together anew while training.

With little text a recognizer learns by heart which word, and which letter, comes after which, and
then writes that where something else was said. Cut into pieces of a few words, which
`augment.join_items` puts one after another as they come, the same recordings make sentences that
nobody has said, in the same voice. Where to cut is found by aligning the texts with a first model.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.frontends.augmentation import keyed_generator
from ctcasr.manifest import Utterance, read_manifest, write_manifest
from ctcasr.pipeline.align import align_inputs, find_texts
from ctcasr.transcript import TimedWord
from recipes.experiment import configure, train_model

MOST_WORDS = 4
SHORTEST = 0.1


def train_on_pieces(
    name: str, args: argparse.Namespace, run: Path, *, train: Path, dev: Path | None = None
) -> Path:
    """Train a first model, cut the training set with it, train the second; return its file.

    Args:
        name: conf/NAME_first.yaml and conf/NAME.yaml are the configurations.
        args: of the command line; `--seed` and `--set` hold for both.
        run: folder of the second model; the first lies in it.
        train: manifest to learn from.
        dev: manifest to judge on after each epoch of the second.

    Raises:
        CtcasrError, Interrupted: see `train_model`.
    """
    first = train_model(
        configure(f"{name}_first", args, train=train), run / "first", device=args.device
    )
    pieces = write_pieces(train, first, run / "first" / "pieces.jsonl", device=args.device)
    return train_model(configure(name, args, train=pieces, dev=dev), run, device=args.device)


def write_pieces(manifest: Path, model: Path, out: Path, *, device: str) -> Path:
    """Write a manifest of all utterances and of the pieces that they fall into; return its path.

    Utterances whose text cannot be aligned stay whole.

    Args:
        manifest: the training set.
        model: a first recognizer that has learned from it.
        out: the manifest to write.
        device: where to compute.

    Raises:
        CtcasrError: see `read_manifest` and `load`.
    """
    utterances = read_manifest(manifest)
    inputs, _ = find_texts(manifest)
    words = {
        transcript.id: transcript.words
        for _, transcript in align_inputs(load(model, device=device), inputs)
    }
    pieces = [piece for u in utterances for piece in cut(u, words.get(u.id, ()))]
    write_manifest(out, [*utterances, *pieces])
    return out


def cut(utterance: Utterance, words: tuple[TimedWord, ...]) -> Iterator[Utterance]:
    """Yield an utterance in pieces of one to four words, in order; nothing for a single word.

    A cut lies half-way between the end of a word and the start of the next. How many words a piece
    has depends on the utterance's id alone.

    Args:
        utterance: with a duration.
        words: all words of its text, in seconds from the beginning of its file.
    """
    generator = keyed_generator("pieces", utterance.id)
    end = utterance.offset + (utterance.duration or 0.0)
    cuts = [utterance.offset]
    cuts += [(a.end + b.start) / 2 for a, b in pairwise(words)]
    cuts.append(end)
    first = 0
    while first < len(words):
        # The whole utterance is no piece of itself.
        most = len(words) - 1 if first == 0 else len(words)
        last = min(first + int(generator.integers(1, MOST_WORDS + 1)), most)
        if last <= first:
            return
        if cuts[last] - cuts[first] >= SHORTEST:
            yield replace(
                utterance,
                id=f"{utterance.id}.{first + 1}",
                text=" ".join(word.text for word in words[first:last]),
                offset=cuts[first],
                duration=cuts[last] - cuts[first],
            )
        first = last
