import hashlib
import json

import pytest

from ctcasr.decode_config import DecodeConfig
from ctcasr.errors import ManifestError
from ctcasr.pipeline.evaluate import evaluate

RESULT_KEYS = [
    *("schema", "command", "commit", "versions", "model", "decoder", "reference_sha256", "rules"),
    *("raw", "normalised", "items", "partial", "rtf", "utterances"),
]
MORE_KEYS = ["costs", "clusters", "confidence_kind", "analysis"]
COUNT_KEYS = ["n", "hit", "sub", "del", "ins", "rate", "ci95", "resampled_by"]


@pytest.fixture
def manifest_of(tone_run, tmp_path):
    """Return a function that writes the tones' manifest with changes, by line number."""

    def make(changes):
        lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        for record in records:
            record["audio"] = (tone_run.manifest.parent / record["audio"]).as_posix()
        for number, change in changes.items():
            records[number] |= change
        path = tmp_path / "changed.jsonl"
        path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
        return path

    return make


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_results_hold_what_the_schema_says(ctcasr, tone_run, tmp_path):
    out = tmp_path / "eval"

    ended = ctcasr("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", out)

    assert ended.status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "hypotheses.jsonl",
        "report.html",
        "report.md",
        "results.json",
    ]
    results = results_of(out)
    assert [key for key in results if key not in MORE_KEYS] == RESULT_KEYS
    assert set(results) <= {*RESULT_KEYS, *MORE_KEYS}
    for score in (results["raw"], results["normalised"]):
        assert list(score) == ["word", "char", "sentence"]
        assert list(score["word"]) == list(score["char"]) == COUNT_KEYS
        assert list(score["sentence"]) == ["n", "wrong", "rate", "ci95"]
    assert list(results["items"]) == ["total", "scored", "failed"]
    utterance = results["utterances"][0]
    assert list(utterance)[:6] == ["id", "speaker", "ref", "hyp", "word", "char"]
    assert set(utterance["measured"]) >= {"duration", "verdict", "proven", "wider"}
    digest = hashlib.sha256(tone_run.manifest.read_bytes()).hexdigest()
    assert results["reference_sha256"] == digest
    assert results["command"].startswith("ctcasr evaluate -m ") or "pytest" in results["command"]
    assert results["decoder"] == {"search": "best_path"}
    assert results["rtf"] > 0
    assert "PARTIAL" not in (out / "report.md").read_text(encoding="utf-8")


def test_a_model_that_knows_its_tones_makes_no_error(ctcasr, tone_run, tmp_path):
    ended = ctcasr(
        "evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", tmp_path, "--beam", 4
    )

    results = results_of(tmp_path)
    assert results["raw"]["word"]["rate"] == results["raw"]["char"]["rate"] == 0
    assert results["items"] == {"total": 8, "scored": 8, "failed": []}
    assert results["decoder"]["beam"] == 4
    assert "0.00" in ended.out
    lines = (tmp_path / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    assert {line["id"]: line["text"] for line in map(json.loads, lines)} == tone_run.texts


def test_an_item_that_fails_counts_and_marks_the_result(ctcasr, tone_run, manifest_of, tmp_path):
    manifest = manifest_of({3: {"audio": "gone.wav"}})

    ended = ctcasr("evaluate", "-m", tone_run.folder, manifest, "-o", tmp_path / "out")

    assert ended.status == 3
    results = results_of(tmp_path / "out")
    assert results["partial"] is True
    ((failed),) = results["items"]["failed"]
    assert failed["id"] == "3-cad"
    assert "gone.wav: no such file" in failed["reason"]
    assert results["raw"]["char"]["del"] == 3
    assert "[PARTIAL]" in ended.out
    assert "[PARTIAL]" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_items_without_text_are_not_scored(tone_run, manifest_of, tmp_path):
    results = evaluate(tone_run.folder, manifest_of({0: {"text": None}}), out=tmp_path / "out")

    assert len(results.utterances) == 7
    assert results.unlabelled == ("0-ab",)


def test_the_rules_and_the_search_can_be_chosen(tone_run, manifest_of, tmp_path):
    results = evaluate(
        tone_run.folder,
        manifest_of({0: {"text": "AB"}}),
        out=tmp_path / "out",
        rules=("casefold",),
        decode=DecodeConfig(beam=2),
    )

    assert results.raw.char.counts.errors == 2
    assert results.normalised.char.counts.errors == 0


def test_without_any_text_there_is_nothing_to_score(tone_run, manifest_of, tmp_path):
    manifest = manifest_of({number: {"text": None} for number in range(8)})

    with pytest.raises(ManifestError, match="none of 8 items has a text to score against"):
        evaluate(tone_run.folder, manifest, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_name_the_language_model(ctcasr, tone_run, tmp_path):
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("\n".join(tone_run.texts.values()), encoding="utf-8")
    out = tmp_path / "eval"

    ended = ctcasr(
        *("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", out),
        *("--lexicon", lexicon, "--hotword", "bad=2", "--nbest", 2),
    )

    assert ended.status == 0
    decoder = results_of(out)["decoder"]
    digest = hashlib.sha256(lexicon.read_bytes()).hexdigest()
    assert decoder["lexicon"] == {"name": "words.txt", "sha256": digest}
    assert decoder["hotwords"] == {"bad": 2.0}
    report = (out / "report.md").read_text(encoding="utf-8")
    assert f"beam 64, threshold 1e-06, lexicon words.txt {digest}, open_vocabulary False" in report
    line = json.loads((out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert line["decoder"] == decoder
    assert len(line["nbest"]) == 2


def test_nist_files_are_written_where_asked_for(ctcasr, tone_run, tmp_path):
    ctcasr(
        "evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", tmp_path, "--export", "trn,ctm"
    )

    written = {path.name for path in tmp_path.iterdir()}
    assert {"ref.trn", "hyp.trn", "hyp.ctm"} <= written
    assert "(3-cad)" in (tmp_path / "ref.trn").read_text(encoding="utf-8")


def test_words_never_seen_are_told_by_the_runs_own_training_set(ctcasr, tone_run, tmp_path):
    ctcasr("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", tmp_path / "own")
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "x", "audio": "x.wav", "text": "ab cad"}\n', encoding="utf-8")
    seen = ("--seen", other)
    ctcasr("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", tmp_path / "told", *seen)

    assert results_of(tmp_path / "own")["analysis"]["unseen"]["said"] == 0
    assert results_of(tmp_path / "told")["analysis"]["unseen"]["said"] == 6


def test_intervals_draw_the_groups_that_are_asked_for(ctcasr, tone_run, manifest_of, tmp_path):
    manifest = manifest_of({number: {"room": f"r{number // 2}"} for number in range(8)})
    run = ("evaluate", "-m", tone_run.folder, manifest, "-o", tmp_path)

    assert ctcasr(*run, "--cluster", "room").status == 0
    assert results_of(tmp_path)["clusters"] == {"by": "room", "n": 4}

    refused = ctcasr(*run, "--cluster", "rom")
    assert refused.status == 2
    assert "no utterance has such a field; choose from: speaker, room" in refused.err


def test_the_page_draws_some_utterances(ctcasr, tone_run, tmp_path):
    run = ("evaluate", "-m", tone_run.folder, tone_run.manifest, "-o", tmp_path)
    ctcasr(*run, "--examples", "1")
    one = (tmp_path / "report.html").read_text(encoding="utf-8").count("utterance-picture")
    ctcasr(*run, "--examples", "0")
    none = (tmp_path / "report.html").read_text(encoding="utf-8").count('class="utterance-picture')

    assert one > none == 0


def test_without_any_error_every_output_is_proven_or_not_by_the_search(tone_run, tmp_path):
    evaluate(tone_run.folder, tone_run.manifest, out=tmp_path, decode=DecodeConfig(beam=8))

    search = results_of(tmp_path)["analysis"]["search"]
    assert (search["wrong"], search["search"], search["proven"]) == (0, 0, 8)
