"""`ctcasr tune`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcasr.cli.options import (
    PATH,
    SearchOptions,
    batch_size_option,
    command,
    device_option,
    model_option,
    search_options,
    workers_option,
)
from ctcasr.cli.progress import announce, announce_left_out, announce_notes, counting
from ctcasr.cli.writing import ITEMS_FAILED

if TYPE_CHECKING:
    from ctcasr.pipeline.tune import Trial, Tuned


@command(
    "tune",
    "ctcasr tune -m exp/mine data/dev.jsonl --lm words.arpa -o mine-lm.safetensors",
    "ctcasr tune -m exp/mine data/dev.jsonl --lm words.arpa.gz --name-only -o mine-lm.safetensors",
)
@model_option
@click.argument("manifest", type=PATH, metavar="MANIFEST")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="NEW_MODEL", help="The tuned model's file."
)
@click.option(
    "--name-only",
    is_flag=True,
    help="Name language model and lexicon by SHA-256 instead of embedding them; who decodes must "
    "give the same files.",
)
@search_options
@device_option
@batch_size_option
@workers_option
def tune_command(
    model: str,
    manifest: Path,
    output: Path,
    name_only: bool,
    search: SearchOptions,
    device: str,
    batch_size: int | None,
    workers: int,
) -> int:
    """Find the best search settings, for a new model.

    MANIFEST lists recordings with their texts, none of which may be in the training or the test
    set. The network computes once; then some sixty searches try decode.alpha, decode.beta,
    decode.beam and decode.threshold, decode.gamma and decode.delta with --rescore,
    decode.ctc_weight and decode.length_power with an attention decoder, and decode.unknown where
    words outside language model and lexicon may be said, but not those that --beam or --set gives.
    Errors are counted by the model's score.rules. NEW_MODEL is MODEL with the best of them as its
    defaults, with the language model and lexicon in it, and with the temperature that makes its
    confidences fit how often words of MANIFEST are right.
    """
    from ctcasr.bundle import load
    from ctcasr.pipeline.calibrate import FEWEST_WORDS, fit_temperature
    from ctcasr.pipeline.emissions import EmissionStore
    from ctcasr.pipeline.tune import find_settings, hear, require_new, save_tuned

    require_new(output)
    recognizer = load(model, device=device)
    base = search.config(recognizer.config.decode)
    # Built here, so that what is missing is told before anything is computed.
    announce_notes(recognizer.decoder(base, workers=workers).notes)
    with EmissionStore() as emissions:
        with counting("hearing") as advance:
            heard = hear(
                recognizer,
                manifest,
                emissions,
                batch_size=batch_size,
                workers=workers,
                progress=advance,
            )
        for _, message in heard.failed:
            announce(f"failed: {message}")
        announce_left_out(heard.without_text)
        with counting("searching") as advance:
            tuned = find_settings(
                recognizer,
                heard,
                base,
                fixed=search.fixed(),
                workers=workers,
                progress=advance,
            )
        calibrated = fit_temperature(recognizer, heard, tuned.best.decode)
    click.echo(_render(tuned), nl=False)
    decode = tuned.best.decode
    save_tuned(
        recognizer,
        decode,
        output,
        name_only=name_only,
        calibration=None
        if calibrated is None
        else calibrated.to_json(recognizer.decoder(decode, workers=workers).description),
    )
    if calibrated:
        announce(
            f"confidence: temperature {calibrated.temperature:.2f} from {calibrated.words:,} "
            f"words; expected calibration error {100 * calibrated.before:.1f} % before, "
            f"{100 * calibrated.after:.1f} % after, on these same words"
        )
    elif decode.beam:
        announce(f"confidence: not calibrated, which takes {FEWEST_WORDS} words at least")
    if base.rescore is not None and decode.rescore is None:
        announce(f"note: {base.rescore} makes no fewer errors; the new model does without it")
    best, plain = tuned.best, tuned.best_path
    if best is not plain and best.word.errors >= plain.word.errors:
        announce("note: no setting has fewer word errors than the best path without any search")
    announce(f"model: {output}")
    return ITEMS_FAILED if heard.failed else 0


def _render(tuned: "Tuned") -> str:
    """Return a table of all that was tried, the best one marked, and a line about that one."""
    from ctcasr.reporting.tables import render_table

    weights = ["alpha", "beta", "unknown"]
    if any(trial.decode.rescore for trial in tuned.trials):
        weights += ["gamma", "delta"]
    weights += [
        key
        for key in ("ctc_weight", "length_power")
        if len({getattr(trial.decode, key) for trial in tuned.trials}) > 1
    ]
    header = ["", "beam", "threshold", *weights, "WER %", "CER %", "seconds"]
    rows = [
        _row(trial, weights, is_best=trial is tuned.best)
        for trial in (tuned.best_path, *tuned.trials)
    ]
    table = render_table(header, rows, numeric=[False, *[True] * (len(header) - 1)])
    names = ["search", *header[1:-1]]
    shown = zip(names, _row(tuned.best, weights, is_best=False)[:-1], strict=True)
    return f"{table}\nbest: {', '.join(f'{name} {cell}' for name, cell in shown if cell)}\n"


def _row(trial: "Trial", weights: Sequence[str], *, is_best: bool) -> list[str]:
    decode = trial.decode
    weighs_words = decode.lm or decode.lexicon
    matters = {
        "alpha": decode.lm,
        "beta": weighs_words,
        "unknown": weighs_words and decode.is_open,
        "gamma": decode.rescore,
        "delta": decode.rescore,
    }
    settings = [str(decode.beam), f"{decode.threshold:g}"] if decode.beam else ["", ""]
    cells = [f"{getattr(decode, key):g}" if matters.get(key, True) else "" for key in weights]
    mark = "best" if is_best else "best path" if decode.beam == 0 else ""
    rates = (trial.word.rate, trial.char.rate)
    errors = ["n/a" if rate is None else f"{100 * rate:.2f}" for rate in rates]
    return [mark, *settings, *cells, *errors, f"{trial.seconds:.2f}"]
