"""Tuning: every setting is tried, the best one wins, and the new model has it as its default."""

import copy
import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys

import pytest

import ctcasr as package
from ctcasr.bundle import load
from ctcasr.config import ScoreConfig
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding import estimate_ngrams, write_arpa
from ctcasr.manifest import read_manifest, write_manifest
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.tune import BEAMS, THRESHOLDS, UNKNOWNS, Trial, find_settings, hear
from ctcasr.scoring import ErrorCounts
from tests.conftest import TONE_TEXTS


@pytest.fixture
def arpa(tmp_path):
    """A language model that knows half of the words, and another one in place of "cad"."""
    path = tmp_path / "words.arpa"
    write_arpa(path, estimate_ngrams([[t] for t in [*TONE_TEXTS[4:], "bad"]], order=2).model)
    return path


@pytest.fixture
def heard(recognizer, tone_run):
    with EmissionStore() as emissions:
        yield hear(recognizer, tone_run.manifest, emissions)


@pytest.fixture
def tune(ctcasr, tone_run):
    """Return a function that runs `ctcasr tune -m RUN ...`."""

    def run(*arguments):
        return ctcasr("tune", "-m", tone_run.folder, "--device", "cpu", *arguments)

    return run


def settings(tuned):
    return [
        (t.decode.beam, t.decode.threshold, t.decode.alpha, t.decode.beta, t.decode.unknown)
        for t in tuned.trials
    ]


# The search for settings


def test_no_setting_is_tried_twice_and_none_beats_the_best(recognizer, heard, arpa):
    tuned = find_settings(recognizer, heard, DecodeConfig(lm=str(arpa)))

    tried = settings(tuned)
    assert len(set(tried)) == len(tried) > 40
    corners = {(64, 1e-6, alpha, beta, 0) for alpha in (0.0, 2.0) for beta in (0.0, 8.0)}
    assert corners <= set(tried)
    assert all(trial.rank() >= tuned.best.rank() for trial in tuned.trials)
    best = tuned.best.decode
    around = {(b, t, best.alpha, best.beta, 0) for b in BEAMS for t in THRESHOLDS}
    assert around <= set(tried)
    last = (best.beam, best.threshold, best.alpha, best.beta)
    assert {t[4] for t in tried if t[:4] == last} == set(UNKNOWNS)
    assert {t[4] for t in tried if t[:4] != last} == {0}


def test_among_equals_the_cheaper_wins():
    def trial(*, words=1, chars=2, **changes):
        word, char = (ErrorCounts(hits=9, substitutions=n) for n in (words, chars))
        return Trial(DecodeConfig(beam=8).model_copy(update=changes), word, char, seconds=0.1)

    in_order = [
        trial(words=0, chars=9, beam=99),
        trial(chars=1, beam=99),
        trial(threshold=1e-3, alpha=2),
        trial(alpha=0.5, beta=3),
        trial(alpha=0.5, beta=-4),
        trial(alpha=0.6, beta=0),
        trial(beam=9, threshold=1e-3),
    ]
    ranks = [one.rank() for one in in_order]
    assert all(before < after for before, after in itertools.pairwise(ranks))


def test_errors_are_those_that_evaluate_counts(recognizer, heard, arpa, tone_run, tmp_path):
    base = DecodeConfig(lm=str(arpa))
    tuned = find_settings(recognizer, heard, base, fixed=["alpha", "beta", "unknown"])

    assert {trial.decode.unknown for trial in tuned.trials} == {base.unknown}
    for trial in (tuned.best_path, *tuned.trials[::7]):
        results = evaluate(
            tone_run.folder, tone_run.manifest, out=tmp_path / "e", decode=trial.decode
        )
        assert trial.word.errors == results.raw.word.counts.errors
        assert trial.char.errors == results.raw.char.counts.errors


def test_errors_are_counted_by_the_rules_that_the_model_is_scored_by(
    recognizer, tone_run, tmp_path
):
    rules, manifest = ("casefold",), tmp_path / "loud.jsonl"
    items = read_manifest(tone_run.manifest)
    write_manifest(manifest, [dataclasses.replace(i, text=(i.text or "").upper()) for i in items])
    lenient = copy.copy(recognizer)
    lenient.config = recognizer.config.model_copy(update={"score": ScoreConfig(rules=rules)})

    with EmissionStore() as emissions:
        tuned = find_settings(lenient, hear(lenient, manifest, emissions), DecodeConfig())

    results = evaluate(tone_run.folder, manifest, out=tmp_path / "e", rules=rules)
    assert tuned.best_path.word == results.normalised.word.counts
    assert tuned.best_path.char == results.normalised.char.counts
    assert all(t.word.errors < results.raw.word.counts.errors for t in tuned.trials)


def test_unknown_words_are_made_dear_or_cheap_where_that_helps(recognizer, heard, arpa):
    dear = DecodeConfig(lm=str(arpa), unknown=-200)
    fixed = ["beam", "threshold", "alpha", "beta"]

    tuned = find_settings(recognizer, heard, dear, fixed=fixed)

    assert [trial.decode.unknown for trial in tuned.trials] == [-200, *UNKNOWNS]
    assert tuned.best.decode.unknown in UNKNOWNS
    assert tuned.best.word.errors < tuned.trials[0].word.errors
    again = find_settings(recognizer, heard, tuned.best.decode, fixed=fixed)
    assert again.best.decode == tuned.best.decode  # among equals it stays what it was


def test_only_what_matters_and_is_free_is_searched(recognizer, heard, tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("\n".join(TONE_TEXTS), encoding="utf-8")

    plain = find_settings(recognizer, heard, DecodeConfig())
    assert len(plain.trials) == len(BEAMS) * len(THRESHOLDS)
    assert plain.best is plain.best_path  # nothing better than no errors, nothing cheaper
    with_lexicon = find_settings(
        recognizer, heard, DecodeConfig(lexicon=str(lexicon), beam=20), fixed=["beam"]
    )
    assert {(s[0], s[2]) for s in settings(with_lexicon)} == {(20, 0.5)}
    assert len({s[3] for s in settings(with_lexicon)}) > 5
    assert with_lexicon.best.decode.beam == 20
    assert {s[4] for s in settings(with_lexicon)} == {0}  # nobody may say an unknown word
    open_lexicon = DecodeConfig(lexicon=str(lexicon), open_vocabulary=True)
    found = find_settings(recognizer, heard, open_lexicon, fixed=["beam", "threshold", "beta"])
    assert {s[4] for s in settings(found)} == set(UNKNOWNS)


def test_the_beam_holds_the_n_best(recognizer, heard):
    tuned = find_settings(recognizer, heard, DecodeConfig(nbest=100))

    assert {trial.decode.beam for trial in tuned.trials} == {100, 128, 256}
    assert tuned.best.decode.nbest == 100


# The command


def test_the_new_model_decodes_with_the_best_settings(tune, ctcasr, arpa, tone_run, tmp_path):
    new = tmp_path / "tuned.safetensors"

    ended = tune(tone_run.manifest, "--lm", arpa, "-o", new)

    assert ended.status == 0
    lines = ended.out.splitlines()
    titles = ["", "beam", "threshold", "alpha", "beta", "unknown", "WER %", "CER %", "seconds"]
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == titles
    assert lines[2].startswith("| best path |")
    assert sum(line.startswith("| best  ") for line in lines) == 1
    assert lines[-1].startswith("best: beam ")
    assert f"model: {new}" in ended.err
    arpa_bytes = arpa.read_bytes()
    arpa.unlink()
    decode = package.load(new, device="cpu").config.decode
    assert lines[-1].startswith(f"best: beam {decode.beam}, threshold {decode.threshold:g}, ")
    assert f", unknown {decode.unknown:g}, WER % " in lines[-1]
    path = tone_run.recordings / "3-cad.wav"
    (line,) = map(json.loads, ctcasr("transcribe", "-m", new, path, "-f", "jsonl").out.splitlines())
    digest = hashlib.sha256(arpa_bytes).hexdigest()
    assert line["decoder"]["lm"] == {"name": "words.arpa", "sha256": digest}
    assert line["decoder"]["alpha"] == decode.alpha
    before = load(tone_run.folder, device="cpu").header
    after = package.load(new, device="cpu").header
    assert (after["training"], after["rules"]) == (before["training"], before["rules"])
    refused = ctcasr("transcribe", "-m", new, path, "--beam", 0)
    assert refused.status == 2
    assert ctcasr("transcribe", "-m", new, path, "--beam", 0, "--set", "decode.lm=null").status == 0


def test_a_language_model_can_be_named_only(tune, ctcasr, arpa, tone_run, tmp_path):
    new, path = tmp_path / "named.safetensors", tone_run.recordings / "4-bd.wav"

    assert tune(tone_run.manifest, "--lm", arpa, "-o", new, "--name-only").status == 0

    refused = ctcasr("transcribe", "-m", new, path)
    assert (refused.status, refused.out) == (2, "")
    assert "decoding needs the language model words.arpa (SHA-256 " in refused.err
    assert ctcasr("transcribe", "-m", new, path, "--lm", arpa).out == "bd\n"
    arpa.write_bytes(arpa.read_bytes() + b"\n")
    assert "another language model than decoding needs" in (
        ctcasr("transcribe", "-m", new, path, "--lm", arpa).err
    )
    assert ctcasr("align", "-m", new, tone_run.manifest, "-o", tmp_path / "a.jsonl").status == 0


def test_words_that_cannot_be_written_are_told_of_once(tune, arpa, tone_run, tmp_path):
    write_arpa(arpa, estimate_ngrams([[t] for t in [*TONE_TEXTS, "Bad"]], order=1).model)

    ended = tune(tone_run.manifest, "--lm", arpa, "-o", tmp_path / "new", "--beam", 4)

    assert ended.status == 0
    told = f"note: {arpa}: 1 of 9 words cannot be written with the recognizer's labels, such as"
    assert ended.err.count("cannot be written") == ended.err.count(told) == 1


def test_nothing_is_replaced(tune, tone_run, tmp_path):
    new = tmp_path / "tuned.safetensors"
    new.write_bytes(b"mine")

    ended = tune(tone_run.manifest, "-o", new)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"ctcasr: error: {new}: exists already; name another file for the tuned model\n"
    )
    assert new.read_bytes() == b"mine"


def test_texts_are_needed(tune, tone_run, tmp_path):
    manifest = tmp_path / "m.jsonl"
    path = tone_run.recordings / "4-bd.wav"
    manifest.write_text(json.dumps({"audio": str(path)}) + "\n", encoding="utf-8")

    ended = tune(manifest, "-o", tmp_path / "new")

    assert ended.status == 2
    assert ended.err == (
        f"ctcasr: error: {manifest}: none of 1 items has a text to tune on; give recordings whose "
        f"words are known\n"
    )


def test_recordings_that_fail_are_named_and_left_out(tune, tone_run, tmp_path):
    first, second, *_ = read_manifest(tone_run.manifest)
    manifest, new = tmp_path / "m.jsonl", tmp_path / "new.safetensors"
    gone = first.__class__(id="gone", path=tmp_path / "gone.wav", text="ab")
    silent = first.__class__(id="untold", path=first.path)
    write_manifest(manifest, [first, gone, silent, second])

    ended = tune(manifest, "-o", new, "--beam", 4)

    assert ended.status == 3
    assert "gone.wav: no such file" in ended.err
    assert "1 item left out, without a text: untold" in ended.err
    assert load(new, device="cpu").config.decode.beam == 4
    write_manifest(manifest, [gone])
    only = tune(manifest, "-o", tmp_path / "other")
    assert only.status == 2
    assert "none of 1 recordings can be used; the first: " in only.err


def test_the_installed_command_ends_with_its_status(tone_run, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ctcasr", "tune", "-m", str(tone_run.folder)),
            *(str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "new")),
        ],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ctcasr: error: {tmp_path / 'none.jsonl'}: ")
    assert done.stderr.count("\n") == 1
