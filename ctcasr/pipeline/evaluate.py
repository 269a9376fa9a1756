"""Evaluate: transcribe a manifest and count the errors, failures included."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ctcasr.bundle import load
from ctcasr.config import DecodeConfig
from ctcasr.files import write_text
from ctcasr.pipeline.inputs import Input, read_labelled
from ctcasr.pipeline.provenance import command_line, commit, file_sha256, versions
from ctcasr.pipeline.score import write_results
from ctcasr.pipeline.transcribe import Tally, transcribe_inputs
from ctcasr.recognizer import Recognizer
from ctcasr.scoring import Failed, Provenance, Reference, Results, score_utterances
from ctcasr.transcript import Transcript


def evaluate(
    model: Path | str,
    manifest: Path,
    *,
    out: Path,
    device: str = "auto",
    decode: DecodeConfig | None = None,
    rules: Sequence[str] | None = None,
) -> Results:
    """Score a model on a manifest; see `evaluate_with`.

    Args:
        model: a model file, a run folder, or the name of a built-in model.
        manifest: recordings with texts.
        out: folder for results.json, hypotheses.jsonl and report.md.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        decode: how to search; the model's own way where not given.
        rules: text rules of the normalised score; the model's own where not given.

    Raises:
        CtcasrError: the model or the manifest cannot be read, or no item has a text.
    """
    recognizer = load(model, device=device)
    return evaluate_with(recognizer, manifest, out=out, decode=decode, rules=rules)


def evaluate_with(
    recognizer: Recognizer,
    manifest: Path,
    *,
    out: Path,
    decode: DecodeConfig | None = None,
    rules: Sequence[str] | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Results:
    """Transcribe the items of a manifest that have a text, score them, and write the results.

    Args:
        recognizer: the model.
        manifest: recordings with texts.
        out: folder for results.json, hypotheses.jsonl and report.md.
        decode: how to search; the model's own way where not given.
        rules: text rules of the normalised score; the model's own where not given.
        batch_size: most recordings computed together.
        workers: reading threads.
        progress: told how many of how many items are done.

    Raises:
        ManifestError: the manifest cannot be read, or no item has a text.
        OutputError: the results cannot be written.
    """
    decode = decode or recognizer.config.decode
    inputs, without_text = read_labelled(
        manifest, why="to score against; use `ctcasr transcribe` for recordings without texts"
    )
    utterances = [*(item.utterance for item in inputs), *without_text]
    tally = Tally()
    transcripts = _transcribe(
        recognizer,
        inputs,
        decode=decode,
        batch_size=batch_size,
        workers=workers,
        tally=tally,
        progress=progress,
    )
    results = score_utterances(
        [Reference(u.id, u.text, u.speaker) for u in utterances],
        {t.id: Failed(t.error.message) if t.error else t.text for t in transcripts},
        rules=tuple(rules if rules is not None else recognizer.config.score.rules),
        seed=recognizer.config.seed,
        provenance=Provenance(
            command=command_line(),
            commit=commit(),
            versions=versions(),
            model=recognizer.describe_model(),
            decoder=recognizer.decoder(decode, workers=workers).description,
            reference_sha256=file_sha256(manifest),
            rtf=tally.real_time_factor,
        ),
    )
    lines = [json.dumps(t.to_json(), ensure_ascii=False) + "\n" for t in transcripts]
    write_text(out / "hypotheses.jsonl", "".join(lines))
    write_results(out, results)
    return results


def _transcribe(
    recognizer: Recognizer,
    inputs: Sequence[Input],
    *,
    decode: DecodeConfig,
    batch_size: int | None,
    workers: int,
    tally: Tally,
    progress: Callable[[int, int], None],
) -> list[Transcript]:
    """Return one transcript per input, in order."""
    transcripts = []
    for _, transcript in transcribe_inputs(
        recognizer,
        inputs,
        decode=decode,
        batch_size=batch_size,
        workers=workers,
        split_channels=False,
        tally=tally,
    ):
        transcripts.append(transcript)
        progress(tally.items, len(inputs))
    return transcripts
