"""Models that write text by attention, alone or beside CTC, from configuration to report."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ctcasr.bundle import load
from ctcasr.config import load_config
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoder import HeadsApart
from ctcasr.decoding import estimate_ngrams, write_arpa
from ctcasr.errors import ConfigError, ManifestError
from ctcasr.frontends.sound.waveform import read_audio
from ctcasr.manifest import read_manifest, write_manifest
from ctcasr.model_file import read_model
from ctcasr.pipeline.emissions import EmissionStore
from ctcasr.pipeline.evaluate import evaluate
from ctcasr.pipeline.evidence import Examiner
from ctcasr.pipeline.train import train
from ctcasr.pipeline.training_sets import prepare_sets
from ctcasr.pipeline.tune import CTC_WEIGHTS, LENGTH_POWERS, find_settings, hear
from ctcasr.transcript import Segment

SMALL = [
    "heads.attention.size=16",
    "heads.attention.embedding=8",
    "heads.attention.hidden=24",
    "heads.attention.channels=4",
    "heads.attention.reach=3",
    "heads.attention.dropout=0",
    "optim.peak_lr=0.01",
]
ALONE = [*SMALL, "heads.ctc.weight=0", "heads.attention.weight=1", "training.epochs=60"]
JOINT = [*SMALL, "heads.ctc.weight=0.4", "heads.attention.weight=0.6", "training.epochs=60"]
SEARCHES = ("ctc", "attention", "joint", "ctc_first", "attention_first")


def configured(tone_run, *overrides):
    return load_config(tone_run.config, overrides=list(overrides))


@pytest.fixture(scope="module")
def attention_run(tone_run, tmp_path_factory):
    """A model with an attention decoder and nothing else."""
    run = tmp_path_factory.mktemp("attention") / "run"
    train(configured(tone_run, *ALONE), run=run, device="cpu")
    return run


@pytest.fixture(scope="module")
def joint_run(tone_run, tmp_path_factory):
    """A model with both."""
    run = tmp_path_factory.mktemp("joint") / "run"
    schedule = ["heads.attention.first_ctc_share=0.9", "heads.attention.label_smoothing=0.05"]
    train(configured(tone_run, *JOINT, *schedule), run=run, device="cpu")
    return run


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


# What they learn, and what they say


def test_attention_alone_learns_to_read_the_recordings(attention_run, tone_run):
    epochs = json_lines((attention_run / "metrics.jsonl").read_text(encoding="utf-8"))
    recognizer = load(attention_run, device="cpu")

    assert epochs[-1]["dev_cer"] == 0.0
    assert epochs[-1]["dev_loss"] < 0.2 * epochs[0]["dev_loss"]
    assert epochs[-1]["blank_share"] is None
    for name, text in tone_run.texts.items():
        transcript = recognizer.transcribe(tone_run.recordings / f"{name}.wav")
        assert transcript.text == text
        assert not transcript.is_cut


@pytest.mark.parametrize("search", SEARCHES)
def test_a_model_with_both_reads_them_in_every_way(joint_run, tone_run, search):
    recognizer = load(joint_run, device="cpu")
    decode = DecodeConfig(search=search, beam=4)

    found = {
        name: recognizer.transcribe(tone_run.recordings / f"{name}.wav", decode=decode).text
        for name in tone_run.texts
    }

    assert found == tone_run.texts


def test_training_tells_both_error_rates(joint_run):
    epochs = json_lines((joint_run / "metrics.jsonl").read_text(encoding="utf-8"))

    assert epochs[-1]["dev_cer"] == 0.0
    assert epochs[-1]["dev_attention_cer"] == 0.0
    assert "dev attention CER 0.00%" in (joint_run / "log.txt").read_text(encoding="utf-8")
    assert (
        read_model(joint_run / "model.safetensors").header["training"]["scores"][
            "dev_attention_cer"
        ]
        == 0.0
    )


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
def test_transcripts_have_times_confidence_and_alternatives(ctcasr, request, tone_run, which):
    run = request.getfixturevalue(which)

    ended = ctcasr(
        "transcribe", "-m", run, tone_run.manifest, "-f", "jsonl", "--nbest", 3, "--beam", 4
    )

    assert ended.status == 0
    for record in json_lines(ended.out):
        text = tone_run.texts[record["id"]]
        assert record["text"] == text
        assert record["nbest"][0]["text"] == text
        assert 1 < len(record["nbest"]) <= 3
        scores = [other["log_prob"] for other in record["nbest"]]
        assert scores == sorted(scores, reverse=True)
        assert record["log_prob"] == scores[0]
        assert 0.3 < record["confidence"] <= 1
        (word,) = record["words"]
        assert word["text"] == text
        assert 0 <= word["start"] < word["end"] <= record["duration"]
        assert record["decoder"]["search"] == which.removesuffix("_run")
        assert record.get("times", "ctc") == ("ctc" if which == "joint_run" else "attention")


def test_attention_times_words_where_they_are_said(attention_run, joint_run, tone_run):
    by_attention, by_ctc = (load(run, device="cpu") for run in (attention_run, joint_run))
    for name in tone_run.texts:
        path = tone_run.recordings / f"{name}.wav"
        (one,), (other,) = by_attention.transcribe(path).words, by_ctc.transcribe(path).words

        assert abs(one.start - other.start) < 0.15
        assert abs(one.end - other.end) < 0.15


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
def test_texts_do_not_depend_on_batches(request, tone_run, which):
    recognizer = load(request.getfixturevalue(which), device="cpu")
    recordings = [recognizer.prepare(path) for path in sorted(tone_run.recordings.iterdir())]
    decode = DecodeConfig(beam=3)

    together = recognizer.transcribe_batch(recordings, decode=decode)
    alone = recognizer.transcribe_batch(recordings, decode=decode, batch_size=1)

    for one, other in zip(together, alone, strict=True):
        assert one.text == other.text
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
def test_evaluation_scores_them_and_finds_whose_fault_errors_are(
    ctcasr, request, tone_run, tmp_path, which
):
    ended = ctcasr(
        "evaluate", "-m", request.getfixturevalue(which), tone_run.manifest, "-o", tmp_path / "out"
    )

    assert ended.status == 0, ended.err
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["raw"]["char"]["rate"] == 0.0
    assert results["decoder"]["search"] == which.removesuffix("_run")
    assert (tmp_path / "out" / "report.html").is_file()


def test_heads_that_disagree_are_told_of(ctcasr, joint_run, tone_run, tmp_path):
    manifest = tmp_path / "odd.jsonl"
    lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for number, record in enumerate(records):
        record["audio"] = (tone_run.manifest.parent / record["audio"]).as_posix()
        if number < 4:  # cut off, so that they are hard to read
            record["duration"] = 0.12 + 0.05 * number
    manifest.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    out = tmp_path / "out"

    ended = ctcasr("evaluate", "-m", joint_run, manifest, "-o", out)
    told = ctcasr(
        "transcribe", "-m", joint_run, manifest, "-f", "jsonl", "--set", "decode.compare=true"
    )

    assert ended.status == 0, ended.err
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    found = results["analysis"]["disagreement"]
    assert found["outputs"] == len(records)
    apart = {one["id"]: one["disagreement"] for one in found["utterances"]}
    assert found["differing"] == len(apart)
    for record in json_lines(told.out):
        assert record["disagreement"] == pytest.approx(apart.get(record["id"], 0.0), abs=1e-4)
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "## Where CTC and attention disagree" in report
    assert 'id="disagreement"' in (out / "report.html").read_text(encoding="utf-8")


def test_comparing_needs_both_heads(ctcasr, attention_run, tone_run):
    ended = ctcasr(
        "transcribe", "-m", attention_run, tone_run.manifest, "--set", "decode.compare=true"
    )

    assert ended.status == 2
    assert "decode.compare needs heads.ctc and heads.attention" in ended.err


def test_a_stream_is_refused_by_the_key_that_allows_it(joint_run):
    recognizer = load(joint_run, device="cpu")
    decoder = recognizer.decoder()

    with pytest.raises(ConfigError, match=r"set decode\.search=ctc"):
        decoder.stream()
    assert recognizer.decoder(DecodeConfig(search="ctc")).stream().finish()[0].text == ""


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
def test_a_page_shows_where_it_looked_for_each_label(ctcasr, request, tone_run, tmp_path, which):
    page = tmp_path / "tones.html"

    ended = ctcasr("show", "-m", request.getfixturevalue(which), tone_run.manifest, "-o", page)

    assert ended.status == 0, ended.err
    text = page.read_text(encoding="utf-8")
    assert text.count('class="spectrogram attention"') == len(tone_run.texts)
    assert text.count(">&lt;/s&gt;</text>") == len(tone_run.texts)
    assert ("posteriors</text>" in text) == (which == "joint_run")


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
def test_info_says_how_it_writes(ctcasr, request, which):
    ended = ctcasr("info", request.getfixturevalue(which))

    assert ended.status == 0
    beside = "no CTC" if which == "attention_run" else "beside CTC"
    assert f"location, decoder LSTM of 1 x 24, {beside}" in ended.out


@pytest.mark.parametrize("search", ["attention", "joint", "ctc_first", "attention_first"])
def test_language_model_and_hotwords_weigh_what_attention_writes(
    ctcasr, joint_run, tone_run, tmp_path, search
):
    sentences = tmp_path / "texts.txt"
    sentences.write_text("\n".join(tone_run.texts.values()), encoding="utf-8")
    lm = tmp_path / "words.arpa"
    assert ctcasr("lm", "train", sentences, "-o", lm, "--order", 2).status == 0
    way = ["--set", f"decode.search={search}", "--set", "decode.length_power=0", "--beam", 4]

    plain = ctcasr("transcribe", "-m", joint_run, tone_run.manifest, "-f", "jsonl", *way)
    weighed = ctcasr(
        "transcribe", "-m", joint_run, tone_run.manifest, "-f", "jsonl", *way,
        "--lm", lm, "--hotword", "cad=20",
    )  # fmt: skip

    assert weighed.status == 0, weighed.err
    before, after = json_lines(plain.out), json_lines(weighed.out)
    assert after[0]["decoder"]["lm"]["name"] == "words.arpa"
    assert after[3]["text"] == "cad"
    assert after[3]["log_prob"] > before[3]["log_prob"] + 10


# Going on, and starting from


@pytest.mark.parametrize("heads", [ALONE, JOINT])
def test_a_run_that_goes_on_ends_as_one_that_never_stopped(tone_run, tmp_path, heads, monkeypatch):
    schedule = ["heads.attention.sampling=0.5", "heads.attention.dropout=0.2", "training.epochs=4"]
    if heads is JOINT:
        schedule.append("heads.attention.first_ctc_share=1.0")
    config = configured(tone_run, *heads, *schedule, "training.checkpoint_minutes=0")
    whole = train(config, run=tmp_path / "whole", device="cpu")

    kept = tmp_path / "whole" / "checkpoints"
    for folder in sorted(kept.iterdir())[-1:]:
        (folder / "state.json").write_text("{", encoding="utf-8")  # the last one is damaged
    (tmp_path / "whole" / "model.safetensors").rename(tmp_path / "first.safetensors")
    again = train(config, run=tmp_path / "whole", device="cpu", resume=True)

    assert again == whole
    first = read_model(tmp_path / "first.safetensors").tensors
    for name, tensor in read_model(again).tensors.items():
        assert torch.equal(tensor, first[name]), name


def test_a_model_may_start_from_one_with_ctc_alone(tone_run, tmp_path):
    config = configured(
        tone_run, *JOINT, f"training.init_from={tone_run.folder.as_posix()}", "training.epochs=1"
    )

    new = load(train(config, run=tmp_path / "run", device="cpu"), device="cpu")

    assert new.config.heads.attention.is_present
    assert "started from run" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


# Evidence


def test_what_was_searched_in_parts_is_not_weighed_as_a_whole(joint_run, tone_run):
    recognizer = load(joint_run, device="cpu")
    name, text = next(iter(tone_run.texts.items()))
    item = recognizer.prepare(tone_run.recordings / f"{name}.wav")
    decode = DecodeConfig(search="joint", beam=2)
    seen = []
    recognizer.transcribe_batch([item], decode=decode, watch=lambda *shown: seen.append(shown))
    (recording, log_probs, found, transcript, encoded) = seen[0]
    examiner = Examiner(recognizer, decode, {recording.id: text})

    examiner(recording, log_probs, found, transcript, encoded)
    whole = examiner.measured[recording.id]
    parts = replace(transcript, segments=(Segment(text, 0.0, 0.2), Segment(text, 0.2, 0.5)))
    examiner(recording, log_probs, found, parts, encoded)
    in_parts = examiner.measured[recording.id]

    assert whole.wider == text
    assert whole.verdict is not None
    assert (in_parts.wider, in_parts.verdict, in_parts.by_head) == (None, None, None)
    assert in_parts.confidence == whole.confidence


def test_heads_are_compared_part_by_part(joint_run, tone_run, monkeypatch):
    recognizer = load(joint_run, device="cpu")
    name = next(iter(tone_run.texts))
    (samples,), rate = read_audio(tone_run.recordings / f"{name}.wav")
    silence = np.zeros(rate, np.float32)
    long = np.concatenate([silence, samples] * round(70 * rate / (len(silence) + len(samples))))
    asked = []

    def spy(apart, items, encoded, *, call=HeadsApart.__call__):
        asked.append((len(items), max(map(len, items)), len(encoded)))
        return call(apart, items, encoded)

    monkeypatch.setattr(HeadsApart, "__call__", spy)
    decode = DecodeConfig(search="joint", beam=2, compare=True)

    transcript = recognizer.transcribe(long, sample_rate=rate, decode=decode)

    ((count, longest, with_frames),) = asked
    assert count == with_frames > 20
    assert longest < recognizer.config.num_encoder_frames(10 * rate)
    assert len(transcript.segments) > 20
    assert transcript.disagreement is not None


# Tuning


@pytest.mark.parametrize(
    ("which", "shares"), [("attention_run", (0.3,)), ("joint_run", CTC_WEIGHTS)]
)
def test_tuning_tries_the_share_of_ctc_and_the_ranking_by_length(
    request, tone_run, tmp_path, which, shares
):
    run = request.getfixturevalue(which)
    recognizer = load(run, device="cpu")
    arpa = tmp_path / "one.arpa"
    write_arpa(arpa, estimate_ngrams([["a"]] * 3, order=1).model)
    base = DecodeConfig(lm=str(arpa), beam=3)

    with EmissionStore() as emissions:
        heard = hear(recognizer, tone_run.manifest, emissions)
        tuned = find_settings(recognizer, heard, base, fixed=["beam", "threshold", "unknown"])

    tried = [trial.decode for trial in tuned.trials]
    assert {(d.ctc_weight, d.length_power) for d in tried} == {
        (share, power) for share in shares for power in LENGTH_POWERS
    }
    assert len({trial.char.errors for trial in tuned.trials}) > 1  # an odd language model hurts
    assert tuned.best.char.errors == min(trial.char.errors for trial in tuned.trials)
    for trial in tuned.trials[:: len(tried) // 4]:
        results = evaluate(run, tone_run.manifest, out=tmp_path / "e", decode=trial.decode)
        assert trial.char.errors == results.raw.char.counts.errors


def test_a_tuned_model_searches_so_and_its_confidences_are_calibrated(
    ctcasr, joint_run, tone_run, tmp_path
):
    many, new = tmp_path / "many.jsonl", tmp_path / "new.safetensors"
    items = read_manifest(tone_run.manifest)
    again = [replace(item, id=f"{item.id}-{k}") for k in range(60 // len(items)) for item in items]
    write_manifest(many, again)

    ended = ctcasr("tune", "-m", joint_run, many, "-o", new, "--beam", 2)

    assert ended.status == 0
    assert "length_power" in ended.out
    assert "confidence: temperature" in ended.err
    decode = load(new, device="cpu").config.decode
    assert (decode.beam, decode.ctc_weight) == (2, 0.3)
    said = ctcasr("transcribe", "-m", new, many, "-f", "jsonl")
    assert {json.loads(line)["confidence_kind"] for line in said.out.splitlines()} == {"calibrated"}


# What cannot be


def test_alignment_needs_the_frames_of_ctc(ctcasr, attention_run, tone_run, tmp_path):
    ended = ctcasr("align", "-m", attention_run, tone_run.manifest, "-o", tmp_path / "out")

    assert ended.status == 2
    assert "model run: has an attention decoder and no CTC head" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["heads.ctc.weight=0", "heads.attention.weight=1", "decode.search=joint"],
            "decode.search joint needs heads.ctc, whose weight is 0",
        ),
        (["decode.search=attention_first"], "decode.search attention_first needs heads.attention"),
    ],
)
def test_a_search_without_its_heads_is_refused_before_training(
    tone_run, tmp_path, overrides, message
):
    with pytest.raises(ConfigError, match=message):
        train(configured(tone_run, *overrides), run=tmp_path / "run", device="cpu")


def test_a_search_that_the_model_has_no_head_for_is_refused_by_name(
    ctcasr, attention_run, tone_run
):
    ended = ctcasr(
        "transcribe", "-m", attention_run, tone_run.manifest, "--set", "decode.search=joint"
    )

    assert ended.status == 2
    assert "decode.search joint needs heads.ctc, whose weight is 0" in ended.err


def test_texts_that_ctc_cannot_align_are_learned_by_attention_alone(tone_run):
    items = [replace(one, text="ab" * 400) for one in read_manifest(tone_run.manifest)]

    alone = prepare_sets(configured(tone_run, *ALONE), {"train": items})

    assert len(alone.train) == 8
    with pytest.raises(ManifestError, match="none of 8 utterances can be used"):
        prepare_sets(configured(tone_run, *JOINT), {"train": items})


def test_a_text_that_would_go_on_for_ever_is_cut_and_marked(attention_run, tone_run, ctcasr):
    endless = load(attention_run, device="cpu")
    with torch.no_grad():
        endless.network.attention.output.bias[-1] = -1e4  # never the end

    transcript = endless.transcribe(
        tone_run.recordings / "3-cad.wav", decode=DecodeConfig(labels_per_frame=0.5)
    )

    frames = endless.config.num_encoder_frames(round(8_000 * (transcript.duration or 0.0)))
    assert transcript.is_cut
    assert transcript.to_json()["cut"] is True
    assert len(transcript.text) == 10 + -(-frames // 2)


@pytest.mark.parametrize("which", ["attention_run", "joint_run"])
@pytest.mark.parametrize("num_samples", [0, 1, 200, 300])
def test_recordings_of_a_frame_or_none_have_a_transcript(request, which, num_samples):
    recognizer = load(request.getfixturevalue(which), device="cpu")
    noise = 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(0)).numpy()

    transcript = recognizer.transcribe(noise, sample_rate=8_000, decode=DecodeConfig(beam=2))

    assert transcript.error is None


def test_silence_is_no_text(attention_run):
    recognizer = load(attention_run, device="cpu")

    transcript = recognizer.transcribe(torch.zeros(8_000).numpy(), sample_rate=8_000)

    assert transcript.text == ""
    assert transcript.words == ()


@pytest.mark.parametrize("heads", [ALONE, JOINT])
def test_empty_targets_are_learned(tone_run, tmp_path, heads):
    manifest = tmp_path / "empty.jsonl"
    lines = tone_run.manifest.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for number, record in enumerate(records):
        record["audio"] = (tone_run.manifest.parent / record["audio"]).as_posix()
        record["text"] = "" if number % 2 else record["text"]
    manifest.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    config = configured(tone_run, *heads, "training.epochs=2", f"data.train={manifest.as_posix()}")

    train(config, run=tmp_path / "run", device="cpu")

    epochs = json_lines((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8"))
    assert all(epoch["skipped"] == 0 for epoch in epochs)
