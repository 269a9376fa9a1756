"""Training on pieces: a first model finds where to cut, a second learns from what was cut.

See ctcasr/pipeline/pieces.py for why.
"""

import argparse
import sys
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.pipeline.align import align_inputs, find_texts
from ctcasr.pipeline.pieces import write_pieces
from recipes.experiment import configure, train_model


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
    pieces = make_pieces(name, args, run / "first", train=train)
    return train_model(configure(name, args, train=pieces, dev=dev), run, device=args.device)


def make_pieces(name: str, args: argparse.Namespace, run: Path, *, train: Path) -> Path:
    """Train a first model and cut the training set with it; return the manifest of pieces.

    Args:
        name: conf/NAME_first.yaml is the configuration.
        args: of the command line.
        run: folder of the model and the manifest.
        train: manifest to learn from.

    Raises:
        CtcasrError, Interrupted: see `train_model`.
    """
    first = train_model(configure(f"{name}_first", args, train=train), run, device=args.device)
    return cut_training_set(train, first, run / "pieces.jsonl", device=args.device)


def cut_training_set(manifest: Path, model: Path, out: Path, *, device: str) -> Path:
    """Write a manifest of all labelled utterances and of their pieces; return its path.

    What has no text is left out and what cannot be aligned stays whole; either is named on stderr.
    """
    inputs, without_text = find_texts(manifest)
    for utterance in without_text:
        print(f"{utterance.id}: no text, left out", file=sys.stderr)
    words = {}
    for _, transcript in align_inputs(load(model, device=device), inputs):
        if transcript.error is not None:
            print(
                f"{transcript.id}: {transcript.error.message}; not cut into pieces", file=sys.stderr
            )
        words[transcript.id] = transcript.words
    write_pieces(out, [item.utterance for item in inputs], words)
    return out
