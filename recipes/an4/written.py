"""AN4 as a person would write it: "twenty three" is 23, "t h r e e" is three.

    python -m recipes.an4.written --corpus DIR -o exp/an4-written                  judge on dev
    python -m recipes.an4.written --corpus DIR -o exp/an4-written-test --on test

What is written is not what is said, label by label: of "thirteen" the 3 is heard before the 1,
"hundred" is no label or two zeros, and whether letters are one word is known at its end. Three
models of the same encoder learn the same targets (`write_out` in prepare.py): CTC, attention, and
both, which is then searched in each way. conf/an4_written.yaml has what they share.

Measured error rates and the commit that made them: RESULTS.md, beside this file.
"""

import sys

from ctcasr.decode_config import DecodeConfig
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.reporting import render_error_table
from recipes.an4.heads import BEAMS, SEARCHES, parse_arguments, with_heads
from recipes.an4.prepare import prepare
from recipes.experiment import configure, run_recipe, train_model


def main() -> None:
    args = parse_arguments("recipes.an4.written", __doc__, default_set="dev")

    manifests = prepare(args.corpus, args.out / "manifests", written=True)
    if args.on == "test":
        train, held_out, dev = manifests.train_all, manifests.test, None
    else:
        train, held_out, dev = manifests.train_nodev, manifests.train_dev, manifests.train_dev
    results = {}
    for name in args.models:
        config = configure("an4_written", with_heads(args, name), train=train, dev=dev)
        model = train_model(config, args.out / name.lower(), device=args.device)
        for search in SEARCHES[name]:
            results[f"{name}, decoded by {search}"] = evaluate(
                model,
                held_out,
                out=args.out / "eval" / f"{args.on}-{name.lower()}-{search}",
                device=args.device,
                decode=DecodeConfig(search=search, beam=BEAMS[search]),
            )
    print(render_error_table(results), end="")


if __name__ == "__main__":
    sys.exit(run_recipe(main))
