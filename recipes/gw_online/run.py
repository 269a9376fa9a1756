"""gw-online: one writer's words, from pen strokes to a scored model, in minutes.

    python -m recipes.gw_online.run --corpus DIR -o exp/gw                judge on test
    python -m recipes.gw_online.run --corpus DIR -o exp/gw-dev --on dev   judge on dev

Measured error rates, run times and the commit that made them: RESULTS.md, beside this file.
"""

import sys

from ctcasr.decode_config import DecodeConfig
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.experiment import add_corpus, configure, make_parser, run_recipe, train_model
from recipes.gw_online.prepare import prepare


def main() -> None:
    parser = make_parser("recipes.gw_online.run", __doc__)
    add_corpus(parser)
    parser.add_argument("--on", choices=("test", "dev"), default="test", help="what to judge on")
    args = parser.parse_args()

    manifests = prepare(args.corpus, args.out / "manifests")
    config = configure("gw_online", args, train=manifests.train, dev=manifests.dev)
    model = train_model(config, args.out, device=args.device)
    held_out = manifests.test if args.on == "test" else manifests.dev
    results = {
        f"{args.on}, {name}": evaluate(
            model,
            held_out,
            out=args.out / "eval" / f"{args.on}-{name.replace(' ', '-')}",
            device=args.device,
            decode=decode,
        )
        for name, decode in {
            "best path": DecodeConfig(),
            "prefix beam": DecodeConfig(beam=16),
        }.items()
    }
    print(render_error_table(results), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
