"""en-alnum: the built-in model, and how well its recipe does on people it never heard.

    python -m recipes.en_alnum.run CORPORA -o exp/en-alnum-folds --task folds [--fold K]
    python -m recipes.en_alnum.run CORPORA -o exp/en-alnum --task final

The model carries the words of its training set, and writes no others.

CORPORA is one or more of --an4 DIR, --fsdd DIR, --speech-commands DIR, --speechocean DIR. `folds`
prints one row per condition; `final` learns from all speakers but those of the corpora's own tests
and writes the model that ships.
Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import ctcasr
from ctcasr.bundle import load
from ctcasr.decode_config import DecodeConfig
from ctcasr.model_file import read_model, write_model
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.tune import save_tuned
from ctcasr.reporting import render_error_table
from ctcasr.scoring import Results
from recipes.en_alnum.conditions import file_name, write_conditions
from recipes.en_alnum.prepare import (
    NUM_FOLDS,
    TRAINING_IDS,
    Corpora,
    EnAlnumManifests,
    SpeakerFold,
    prepare,
)
from recipes.en_alnum.speech_commands import NINE_WORDS
from recipes.experiment import make_parser, run_recipe
from recipes.pieces import train_on_pieces
from recipes.rescoring import score_together
from recipes.words import write_words

SHIPPED = Path(ctcasr.__file__).parent / "pretrained" / "en-alnum.safetensors"
LICENCE = "CC-BY-SA-4.0"  # docs/decisions/0002-licence-of-en-alnum.md
ORDER = 2
WEIGHTS: Mapping[str, Any] = {"beam": 32, "alpha": 0.5, "beta": 2.0}
"""Of the search among the words of the training set; tried on the people of fold 0."""
SHIPPED_IDS = Path(__file__).parent / TRAINING_IDS


def main() -> None:
    args = parse_args()
    corpora = Corpora(
        an4=args.an4,
        fsdd=args.fsdd,
        speech_commands=args.speech_commands,
        speechocean=args.speechocean,
    )
    manifests = prepare(corpora, args.out / "manifests", words=args.words)
    results = make_final(args, manifests) if args.task == "final" else judge(args, manifests)
    print(render_error_table(results), end="")


def parse_args() -> argparse.Namespace:
    parser = make_parser("recipes.en_alnum.run", __doc__)
    for name in ("an4", "fsdd", "speech-commands", "speechocean"):
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help="as downloaded, or a pack")
    parser.add_argument("--words", nargs="+", default=NINE_WORDS, help="of Speech Commands")
    parser.add_argument("--task", choices=("folds", "final"), required=True)
    parser.add_argument("--fold", type=int, choices=range(NUM_FOLDS), help="only this fold")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="where `final` writes")
    return parser.parse_args()


def judge(args: argparse.Namespace, manifests: EnAlnumManifests) -> Mapping[str, Results]:
    """Train a model per fold; return each condition's results, all folds together."""
    chosen = range(NUM_FOLDS) if args.fold is None else [args.fold]
    by_condition: dict[str, list[Results]] = {}
    for number in chosen:
        for condition, results in judge_fold(args, number, manifests.folds[number]).items():
            by_condition.setdefault(condition, []).append(results)
    return {condition: score_together(parts) for condition, parts in by_condition.items()}


def judge_fold(args: argparse.Namespace, number: int, fold: SpeakerFold) -> Mapping[str, Results]:
    run = args.out / f"fold-{number}"
    model = learn(args, run, fold.train)
    return judge_model(args, model, run, fold.test, args.out / "variants" / f"fold-{number}")


def learn(args: argparse.Namespace, run: Path, train: Path) -> Path:
    """Train a model, give it the words of its training set, and return its file."""
    trained = load(train_on_pieces("en_alnum", args, run, train=train), device="cpu")
    words = write_words(train, run / "words", order=ORDER)
    decode = DecodeConfig(lm=str(words.lm), lexicon=str(words.lexicon), **WEIGHTS)
    model = run / "with-words.safetensors"
    model.unlink(missing_ok=True)  # of an earlier run; the same is made again
    save_tuned(trained, decode, model)
    return model


def judge_model(
    args: argparse.Namespace, model: Path, run: Path, held_out: Path, variants: Path
) -> Mapping[str, Results]:
    """Return a model's results under every condition."""
    return {
        name: evaluate(model, manifest, out=run / "eval" / file_name(name), device=args.device)
        for name, manifest in write_conditions(held_out, variants).items()
    }


def make_final(args: argparse.Namespace, manifests: EnAlnumManifests) -> Mapping[str, Results]:
    """Train on everything, write the model that ships, and judge what was written."""
    trained = read_model(learn(args, args.out, manifests.train))
    header = {**trained.header, "licence": LICENCE}
    write_model(args.model, header=header, tensors=trained.tensors, dtype=torch.int8)
    # What ships says what it learned from; an experiment keeps its list to itself.
    ids = SHIPPED_IDS if args.model == SHIPPED else args.model.with_name(TRAINING_IDS)
    shutil.copyfile(manifests.training_ids, ids)
    if manifests.test is None:
        return {}
    return judge_model(args, args.model, args.out, manifests.test, args.out / "variants")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
