"""Evaluate: transcribe a manifest, count the errors, failures included, and say where they are."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ctcasr.batching import Stretch, classify_frames
from ctcasr.bundle import describe_recognizer, find_model, load
from ctcasr.checking import class_of, stretches_of
from ctcasr.config import RunConfig
from ctcasr.decode_config import DecodeConfig
from ctcasr.device import pick_device
from ctcasr.distributed import ALONE, World, join_world
from ctcasr.files import write_text
from ctcasr.manifest import Utterance, read_manifest
from ctcasr.pipeline.evaluation_report import write_evaluation
from ctcasr.pipeline.evidence import Examiner
from ctcasr.pipeline.inputs import Input, read_labelled
from ctcasr.pipeline.provenance import command_line, commit, file_sha256, versions
from ctcasr.pipeline.score import Scored, export
from ctcasr.pipeline.show import Sound, show_inputs
from ctcasr.pipeline.transcribe import Tally, transcribe_inputs
from ctcasr.recognizer import Recognizer
from ctcasr.reporting.html.examples import SHOWN, Examples, choose_examples, describe
from ctcasr.reporting.nist_export import NistFormat, Place
from ctcasr.scoring import Costs, Failed, Provenance, Reference, Results, score_utterances
from ctcasr.scoring.analysis import analyse
from ctcasr.scoring.classes import score_classes
from ctcasr.scoring.results import FieldValue, find_clusters
from ctcasr.scoring.significance import BY_SPEAKER
from ctcasr.text_rules import apply_rules
from ctcasr.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What a report is to say, and how.

    Attributes:
        cluster: the field whose values say which utterances the intervals draw together.
        costs: of the alignments in which errors are counted.
        seen: manifest of the training set, for the words that are not in it.
        examples: utterances drawn of each kind: worst, median, random.
        sound: how the page gets at their recordings.
        exports: NIST's formats to write references and outputs in too.
    """

    cluster: str = BY_SPEAKER
    costs: Costs = Costs.LEVENSHTEIN
    seen: Path | None = None
    examples: int = SHOWN
    sound: Sound = Sound.LINK
    exports: Sequence[NistFormat] = ()


def evaluate(
    model: Path | str,
    manifest: Path,
    *,
    out: Path,
    device: str = "auto",
    decode: DecodeConfig | None = None,
    rules: Sequence[str] | None = None,
    options: ReportOptions = ReportOptions(),
) -> Results:
    """Score a model on a manifest; see `evaluate_with`. Of several processes, all must call this.

    Args:
        model: a model file, a run folder, or the name of a built-in model.
        manifest: recordings with texts.
        out: folder for results.json, hypotheses.jsonl, report.md and report.html.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        decode: how to search; the model's own way where not given.
        rules: text rules of the normalised score; the model's own where not given.
        options: of the report.

    Raises:
        CtcasrError: the model or the manifest cannot be read, or no item has a text.
    """
    with join_world(pick_device(device)) as world:
        with world.agreed():
            recognizer = load(model, device=device)
        return evaluate_with(
            recognizer,
            manifest,
            out=out,
            decode=decode,
            rules=rules,
            options=options if options.seen else replace(options, seen=find_training_set(model)),
            model_card=describe_recognizer(recognizer, num_bytes=find_model(model).stat().st_size),
            world=world,
        )


def find_training_set(model: Path | str) -> Path | None:
    """Return the manifest that a run folder's model learned from, where it is still there."""
    config = Path(model) / "config.yaml"
    if not config.is_file():
        return None
    values = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    named = (values.get("data") or {}).get("train")
    return Path(named) if named and Path(named).is_file() else None


def evaluate_with(
    recognizer: Recognizer,
    manifest: Path,
    *,
    out: Path,
    decode: DecodeConfig | None = None,
    rules: Sequence[str] | None = None,
    options: ReportOptions = ReportOptions(),
    model_card: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
    world: World = ALONE,
) -> Results:
    """Transcribe the items of a manifest that have a text, score them, and write the results.

    Of a model that writes no text, what stands in the transcript is scored as if it were one: the
    labels that its frames run through, or the one label of each recording.

    The real-time factor is that of reading, network and search, with what is measured beside them
    (pipeline/evidence.py) taken off.

    Args:
        recognizer: the model.
        manifest: recordings with texts.
        out: folder for results.json, hypotheses.jsonl, report.md and report.html.
        decode: how to search; the model's own way where not given.
        rules: text rules of the normalised score; the model's own where not given.
        options: of the report.
        model_card: facts about the model, for the page.
        batch_size: most recordings computed together.
        workers: reading threads.
        progress: told how many of how many items are done.
        world: the processes that share the items; the first one writes the results.

    Raises:
        ManifestError: the manifest cannot be read, or no item has a text.
        ScoringError: no item has the field that is to be the cluster.
        OutputError: the results cannot be written.
    """
    decode = decode or recognizer.config.decode
    with world.agreed():
        heads = recognizer.config.heads
        first = "text" if recognizer.writes_text else heads.frame.field or heads.utterance.field
        inputs, without_text = read_labelled(
            manifest,
            why="to score against; use `ctcasr transcribe` for recordings without",
            field=first or "text",
        )
        rules = tuple(rules if rules is not None else recognizer.config.score.rules)
        seen = None
        if options.seen is not None and recognizer.writes_text:
            seen = words_of(options.seen, rules)
        utterances = [*(item.utterance for item in inputs), *without_text]
        references = [
            Reference(u.id, _reference_text(recognizer, u), u.speaker, fields_of(u))
            for u in utterances
        ]
        find_clusters(references, options.cluster)  # refused before anything is computed
    tally = Tally()
    examiner = None
    if recognizer.writes_text:
        examiner = Examiner(
            recognizer, decode, {item.utterance.id: item.utterance.text or "" for item in inputs}
        )
    transcripts: list[Transcript] = []
    for _, transcript in transcribe_inputs(
        recognizer,
        inputs,
        decode=decode,
        batch_size=batch_size,
        workers=workers,
        split_channels=False,
        tally=tally,
        watch=examiner,
        world=world,
    ):
        transcripts.append(transcript)
        progress(tally.items, len(inputs))
    evidence = world.gather((examiner.seconds, examiner.measured) if examiner else (0.0, {}))
    tally.seconds -= max(seconds for seconds, _ in evidence)
    measured = {name: one for _, mine in evidence for name, one in mine.items()}

    def conclude() -> Results:
        results = score_utterances(
            references,
            {t.id: Failed(t.error.message) if t.error else t.text for t in transcripts},
            rules=rules,
            costs=options.costs,
            cluster=options.cluster,
            measured=measured,
            seed=recognizer.config.seed,
            provenance=Provenance(
                command=command_line(),
                commit=commit(),
                versions=versions(),
                model=recognizer.describe_model(),
                decoder=recognizer.describe_decoder(decode, workers=workers),
                reference_sha256=file_sha256(manifest),
                rtf=tally.real_time_factor,
            ),
        )
        if decode.beam and recognizer.writes_text:
            kind = recognizer.decoder(decode, workers=workers).confidence_kind
            results = replace(results, confidence_kind=kind)
        results = _score_other_heads(recognizer, results, utterances, transcripts)
        lines = [json.dumps(t.to_json(), ensure_ascii=False) + "\n" for t in transcripts]
        write_text(out / "hypotheses.jsonl", "".join(lines))
        export(out, _timed(results, transcripts), options.exports)
        write_evaluation(
            out,
            results,
            analyse(results, seen=seen, seed=recognizer.config.seed),
            examples=(
                draw_examples(recognizer, results, inputs, decode, out, options)
                if recognizer.writes_text
                else None
            ),
            model_card=model_card,
        )
        return results

    return world.from_first(conclude)


def _reference_text(recognizer: Recognizer, utterance: Utterance) -> str | None:
    """Return what stands for the text of an item: that of the model's first head."""
    heads, rules = recognizer.config.heads, recognizer.config.text.rules
    if recognizer.writes_text:
        return utterance.text
    if heads.frame.field is not None:
        stretches = stretches_of(utterance, heads.frame.field)
        return None if stretches is None else " ".join(text for *_, text in stretches)
    assert heads.utterance.field is not None
    return class_of(utterance, heads.utterance.field, rules=rules)


def _score_other_heads(
    recognizer: Recognizer,
    results: Results,
    utterances: Sequence[Utterance],
    transcripts: Sequence[Transcript],
) -> Results:
    """Add the errors of labels of whole recordings, and of frames, where the model gives them."""
    heads, rules = recognizer.config.heads, recognizer.config.text.rules
    by_id = {one.id: one for one in utterances}
    found = {one.id: one for one in transcripts}
    pairs = [(by_id[one.id], found.get(one.id)) for one in results.utterances]
    clusters, seed = results.clusters.names, recognizer.config.seed
    if heads.utterance.field is not None:
        labels = [class_of(one, heads.utterance.field, rules=rules) for one, _ in pairs]
        score = score_classes(
            heads.utterance.field,
            [None if label is None else [label] for label in labels],
            [[made.label.text] if made and made.label else [] for _, made in pairs],
            clusters,
            seed=seed,
        )
        results = replace(results, label=score)
    if heads.frame.field is not None:
        frames = [_frames(recognizer.config, one, made) for one, made in pairs]
        score = score_classes(
            heads.frame.field,
            [right for right, _ in frames],
            [given for _, given in frames],
            clusters,
            seed=seed,
        )
        results = replace(results, frames=score)
    return results


def _frames(
    config: RunConfig, utterance: Utterance, transcript: Transcript | None
) -> tuple[list[str] | None, list[str]]:
    """Return the label of each frame of an item, and what was given; "" is nothing."""
    stretches = stretches_of(utterance, config.heads.frame.field or "")
    if stretches is None:
        return None, []
    frame_s = config.frame_shift
    if transcript is None or transcript.duration is None:  # all of its frames are wrong
        last = max((end for _, end, _ in stretches), default=0.0)
        return _spell(stretches, math.ceil(last / frame_s), frame_s), []
    num_samples = round(transcript.duration * config.frontend.rate)
    num_frames = config.num_encoder_frames(num_samples)
    begin = transcript.offset
    given = [(one.start - begin, one.end - begin, one.text) for one in transcript.frames]
    return _spell(stretches, num_frames, frame_s), _spell(given, num_frames, frame_s)


def _spell(
    stretches: Sequence[tuple[float, float, str]], num_frames: int, frame_s: float
) -> list[str]:
    names = ["", *sorted({text for *_, text in stretches} - {""})]
    placed = [Stretch(start, end, names.index(text)) for start, end, text in stretches]
    return [names[label] for label in classify_frames(placed, num_frames, frame_s=frame_s)]


def _timed(results: Results, transcripts: Sequence[Transcript]) -> Scored:
    """Return results with what the transcripts know of times."""
    heard = [one for one in transcripts if one.duration is not None]
    places = {
        one.id: Place(one.offset, one.offset + (one.duration or 0.0), one.channel) for one in heard
    }
    return Scored(results, places, {one.id: one.words for one in heard})


def fields_of(utterance: Utterance) -> dict[str, FieldValue]:
    """Return what a manifest says of an utterance that a test set can be broken down by."""
    known = {"group": utterance.group, "split": utterance.split, **utterance.extra}
    return {
        name: value for name, value in known.items() if isinstance(value, str | int | float | bool)
    }


def words_of(manifest: Path, rules: Sequence[str]) -> frozenset[str]:
    """Return the words of a manifest's texts, after text rules.

    Raises:
        ManifestError: it cannot be read.
    """
    texts = (apply_rules(utterance.text or "", rules) for utterance in read_manifest(manifest))
    return frozenset(word for text in texts for word in text.split())


def draw_examples(
    recognizer: Recognizer,
    results: Results,
    inputs: Sequence[Input],
    decode: DecodeConfig,
    folder: Path,
    options: ReportOptions,
) -> list[Examples]:
    """Draw the utterances that a report shows one by one."""
    by_id = {item.utterance.id: item for item in inputs}
    utterances = [utterance.to_json() for utterance in results.utterances]
    return [
        Examples(
            choice.title,
            choice.why,
            show_inputs(
                recognizer,
                [by_id[one["id"]] for one in choice.utterances],
                folder=folder,
                decode=decode,
                sound=options.sound,
                facts={one["id"]: describe(one) for one in choice.utterances},
            ),
        )
        for choice in choose_examples(utterances, options.examples)
    ]
