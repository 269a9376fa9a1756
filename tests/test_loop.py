import dataclasses
import json
import math
import signal

import pytest
import torch

from ctcasr.errors import OutputError, RunFolderError, TrainingError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.media import without_augmentation
from ctcasr.frontends.sound.augmentation import NO_AUGMENTATION, AugmentConfig
from ctcasr.frontends.sound.recordings import Recordings
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.models.ctc import CtcHeadConfig, ctc_loss
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.heads import CTC_ONLY, HeadsConfig
from ctcasr.models.network import Network
from ctcasr.models.utterance import UtteranceHeadConfig
from ctcasr.training.checkpoint import (
    average_weights,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from ctcasr.training.computing import Precision, uses_bf16
from ctcasr.training.dev_set import DevSet
from ctcasr.training.interruption import Interrupted, StopRequest
from ctcasr.training.loading import TrainingData
from ctcasr.training.loop import (
    AverageOf,
    Progress,
    Trainer,
    TrainingConfig,
)
from ctcasr.training.optim import OptimConfig
from tests.conftest import tone_alphabet

ALPHABET = tone_alphabet()
FRONTEND = FrontendConfig(sample_rate=8_000, num_mels=20)
STRONG = AugmentConfig(noise_probability=0.5, response_db=3, join_items=2)
CLOCKS = ("throughput", "waiting", "seconds", "cpu_seconds")


def make_dev(items):
    medium = without_augmentation(FRONTEND)
    return DevSet(items, frontend=FRONTEND, medium=medium, batch_frames=300)


class Watcher:
    """Keeps what it is told; after `stop_at` steps calls `then`."""

    def __init__(self, *, stop_at=None, then=None):
        self.steps, self.epochs, self.warnings = [], [], []
        self.stop_at, self.then = stop_at, then

    def on_step(self, report):
        self.steps.append(report)
        if report.step == self.stop_at:
            self.then()

    def on_epoch(self, report):
        self.epochs.append(report)

    def on_warning(self, message):
        self.warnings.append(message)


SMALL = EncoderConfig(layers=1, hidden=16, stride=2, dropout=0.2)


def make_trainer(
    run,
    items,
    *,
    dev=True,
    watcher=None,
    augment=STRONG,
    optim=None,
    encoder=SMALL,
    heads=CTC_ONLY,
    **training,
):
    """A small network and everything around it, equal at every call."""
    torch.manual_seed(5)
    settings = {"epochs": 3, "average": 2, "precision": Precision.FP32} | training
    return Trainer(
        run=run,
        network=Network(
            encoder, num_features=20, num_labels=len(ALPHABET), heads=heads, num_classes=2
        ),
        features=FeatureExtractor(FRONTEND),
        alphabet=ALPHABET,
        data=TrainingData(
            items,
            frontend=FRONTEND,
            medium=Recordings(FRONTEND, augment),
            num_encoder_frames=lambda n: encoder.num_frames(FRONTEND.num_frames(n)),
            space=ALPHABET.encode(" "),
            batch_frames=10_000,
            batch_size=2,
            seed=1,
            workers=0,
            cache_mb=64,
        ),
        dev=make_dev(items[:3]) if dev else None,
        optim=optim or OptimConfig(warmup_steps=3),
        training=TrainingConfig(**settings),
        seed=1,
        device=torch.device("cpu"),
        observer=watcher or Watcher(),
    )


def fit(trainer, stop=None):
    return trainer.fit(stop or StopRequest())


def resume(trainer):
    checkpoint, _ = latest_checkpoint(trainer.run)
    if checkpoint is not None:
        trainer.resume(checkpoint)
    return trainer


def metrics_of(run):
    """metrics.jsonl without what clocks say."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [{k: v for k, v in record.items() if k not in CLOCKS} for record in records]


def assert_same_run(some, others):
    """Two (weights, run folder) pairs are equal bit for bit."""
    (weights, run), (other_weights, other_run) = some, others
    assert weights.keys() == other_weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, other_weights[name]), name
    assert metrics_of(run) == metrics_of(other_run)


# Learning


def test_a_tiny_network_learns_eight_utterances_to_zero_errors(tone_items, tmp_path):
    trainer = make_trainer(
        tmp_path,
        tone_items,
        augment=NO_AUGMENTATION,
        optim=OptimConfig(peak_lr=2e-2, warmup_steps=5),
        epochs=40,
        average=1,
    )
    trainer.dev = make_dev(tone_items)

    trainer.network.load_state_dict(fit(trainer))
    scores = trainer.score_dev()

    assert (scores.dev_cer, scores.dev_wer) == (0.0, 0.0)


@pytest.mark.parametrize(("limit", "share"), [(1e-9, 1.0), (1e9, 0.0)])
def test_metrics_say_how_many_gradients_were_scaled_down(tone_items, tmp_path, limit, share):
    fit(make_trainer(tmp_path, tone_items, optim=OptimConfig(max_grad_norm=limit), epochs=2))

    assert [record["clipped"] for record in metrics_of(tmp_path)] == [share, share]


def test_metrics_say_what_happened(tone_items, tmp_path):
    watcher = Watcher()
    fit(make_trainer(tmp_path, tone_items, watcher=watcher))

    records = metrics_of(tmp_path)

    assert [(r["epoch"], r["epochs"], r["step"]) for r in records] == [
        (1, 3, 4),
        (2, 3, 8),
        (3, 3, 12),
    ]
    assert [report.step for report in watcher.steps] == [*range(1, 13)]
    assert [report.batch for report in watcher.steps] == [1, 2, 3, 4] * 3
    assert records[0]["learning_rate"] > records[2]["learning_rate"] > 0
    assert all(0 <= report.waiting <= 1 for report in watcher.steps)
    assert watcher.steps[-1].seconds_left == pytest.approx(0, abs=1e-6)
    for report, record in zip(watcher.epochs, records, strict=True):
        assert record["loss"] == report.loss
        assert report.skipped == 0
        assert report.throughput > 0


def test_padding_is_that_of_the_batches_as_they_were(tone_items, tmp_path):
    cut = NO_AUGMENTATION.model_copy(update={"trim_probability": 0.5, "join_items": 3})
    trainer = make_trainer(tmp_path, tone_items, augment=cut, epochs=1)
    batches = list(trainer.data.epoch(0))

    fit(trainer)

    padded = sum(batch.signals.numel() for batch in batches)
    recorded = sum(int(batch.lengths.sum()) for batch in batches)
    (epoch,) = trainer.observer.epochs
    assert epoch.padding == pytest.approx(1 - recorded / padded)
    assert epoch.padding > 0.01


def test_without_a_dev_set_there_are_no_dev_scores(tone_items, tmp_path):
    fit(make_trainer(tmp_path, tone_items, dev=False, epochs=1, average_of=AverageOf.BEST))

    (record,) = metrics_of(tmp_path)
    assert {record[key] for key in ("dev_loss", "dev_cer", "dev_wer", "blank_share")} == {None}


# Resuming


@pytest.fixture
def unbroken(tone_items, tmp_path):
    run = tmp_path / "unbroken"
    return fit(make_trainer(run, tone_items)), run


@pytest.mark.parametrize("step", [1, 3, 4, 5, 11, 12])
def test_a_run_interrupted_and_resumed_ends_as_if_unbroken(tone_items, tmp_path, unbroken, step):
    stop = StopRequest()
    watcher = Watcher(stop_at=step, then=lambda: stop(signal.SIGTERM, None))
    run = tmp_path / "interrupted"

    with pytest.raises(Interrupted) as caught:
        fit(make_trainer(run, tone_items, watcher=watcher), stop)
    assert caught.value.signal_number == signal.SIGTERM
    checkpoint, _ = latest_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.facts["step"] == step

    assert_same_run((fit(resume(make_trainer(run, tone_items))), run), unbroken)


@pytest.mark.parametrize("step", [2, 4, 6, 9])
def test_a_run_killed_and_resumed_ends_as_if_unbroken(tone_items, tmp_path, unbroken, step):
    def die():
        raise KeyboardInterrupt

    run = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        fit(make_trainer(run, tone_items, watcher=Watcher(stop_at=step, then=die)))

    assert_same_run((fit(resume(make_trainer(run, tone_items))), run), unbroken)


def test_a_run_whose_newest_checkpoint_is_broken_ends_as_if_unbroken(
    tone_items, tmp_path, unbroken
):
    def die():
        raise KeyboardInterrupt

    run = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        fit(make_trainer(run, tone_items, watcher=Watcher(stop_at=10, then=die)))
    (list_checkpoints(run)[-1] / "state.safetensors").write_bytes(b"short")

    assert_same_run((fit(resume(make_trainer(run, tone_items))), run), unbroken)


def test_a_checkpoint_that_cannot_be_saved_loses_no_epoch_and_no_line(
    tone_items, tmp_path, unbroken
):
    run = tmp_path / "full"
    obstacle = run / "checkpoints" / "step-00000008"
    with pytest.raises(OutputError, match="step-00000008"):
        fit(make_trainer(run, tone_items, watcher=Watcher(stop_at=7, then=obstacle.touch)))
    obstacle.unlink()

    assert_same_run((fit(resume(make_trainer(run, tone_items))), run), unbroken)


def test_metrics_that_cannot_be_written_are_written_by_the_resumed_run(
    tone_items, tmp_path, unbroken
):
    run = tmp_path / "full"
    metrics, aside = run / "metrics.jsonl", run / "aside.jsonl"

    def block():
        metrics.rename(aside)
        metrics.mkdir()

    with pytest.raises(OutputError, match=r"metrics\.jsonl: cannot be written"):
        fit(make_trainer(run, tone_items, watcher=Watcher(stop_at=7, then=block)))
    metrics.rmdir()
    aside.rename(metrics)

    assert_same_run((fit(resume(make_trainer(run, tone_items))), run), unbroken)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_run_past_an_unreadable_batch_resumes_as_if_unbroken(tone_items, tmp_path, step):
    for item in tone_items[4:6]:
        item.utterance.path.write_bytes(item.utterance.path.read_bytes()[:999])

    def make(run, **values):
        alone = STRONG.model_copy(update={"join_items": 1})
        trainer = make_trainer(
            tmp_path / run, tone_items, epochs=1, average=1, augment=alone, **values
        )
        trainer.data._batch_size = 1  # so that whole batches cannot be read
        return trainer

    whole, first = Watcher(), Watcher()
    weights = fit(make("whole", watcher=whole))
    stop = StopRequest()
    first.stop_at, first.then = step, lambda: stop(signal.SIGINT, None)
    with pytest.raises(Interrupted):
        fit(make("parts", watcher=first), stop)
    second = Watcher()
    resumed = fit(resume(make("parts", watcher=second)))

    assert_same_run((resumed, tmp_path / "parts"), (weights, tmp_path / "whole"))
    assert first.warnings + second.warnings == whole.warnings
    assert len(whole.warnings) == 2
    for item in tone_items[4:6]:
        start = f"epoch 1: {item.utterance.id} left out: {item.utterance.path}: "
        assert sum(warning.startswith(start) for warning in whole.warnings) == 1
    assert whole.epochs[0].skipped == 2
    assert whole.epochs[0].step == 6


EVERYTHING = {
    "encoder": EncoderConfig(
        layers=3,
        hidden=(16, 12, 16),
        stride=2,
        dropout=0.2,
        dropout_per_sequence=True,
        cell="gru",
        directions="forwards",
        layer_norm=True,
        projection=14,
        skip="residual",
        start_state="learned",
    ),
    "heads": HeadsConfig(
        ctc=CtcHeadConfig(intermediate_layers=(1, 2), label_smoothing=0.1),
        utterance=UtteranceHeadConfig(field="speaker", weight=0.3),
    ),
    "optim": OptimConfig(warmup_steps=3, freeze=("encoder.layers.0.*",)),
    "ema_decay": 0.9,
    "bptt_frames": 5,
}


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_run_with_everything_on_resumes_as_if_unbroken(tone_items, tmp_path, step):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    stop = StopRequest()
    watcher = Watcher(stop_at=step, then=lambda: stop(signal.SIGTERM, None))

    weights = fit(make_trainer(whole, tone_items, **EVERYTHING))
    with pytest.raises(Interrupted):
        fit(make_trainer(parts, tone_items, watcher=watcher, **EVERYTHING), stop)
    resumed = fit(resume(make_trainer(parts, tone_items, **EVERYTHING)))

    assert_same_run((resumed, parts), (weights, whole))


# What is minimised, and what moves


def test_layers_before_the_last_learn_to_write_too_where_asked(tone_items, tmp_path):
    def loss_of_first_layer(**values):
        two = EncoderConfig(layers=2, hidden=16, stride=2, dropout=0)
        trainer = make_trainer(
            tmp_path / str(len(values)),
            tone_items,
            encoder=two,
            augment=NO_AUGMENTATION,
            optim=OptimConfig(peak_lr=2e-2, warmup_steps=5),
            epochs=15,
            average=1,
            **values,
        )
        trainer.network.load_state_dict(fit(trainer))
        batch = next(iter(trainer.data.epoch(0)))
        features, lengths = trainer.features(batch.signals, batch.lengths)
        outputs = trainer.network.eval().outputs(features, lengths, layers=[1]).ctc
        return [
            ctc_loss(logits, frames, batch.labels, batch.label_lengths, blank=0).sum().item()
            for logits, frames in outputs
        ]

    alone_first, alone_last = loss_of_first_layer()
    with_first, with_last = loss_of_first_layer(
        heads=HeadsConfig(ctc=CtcHeadConfig(intermediate_layers=(1,)))
    )

    assert alone_first > 3 * alone_last
    assert with_first < 0.5 * alone_first
    assert with_last < 0.5 * alone_first


def test_the_loss_in_the_metrics_is_that_of_the_labels_alone(tone_items, tmp_path):
    still = {"optim": OptimConfig(peak_lr=1e-30), "epochs": 1}
    plain = fit(make_trainer(tmp_path / "plain", tone_items, **still))
    smoothed = fit(
        make_trainer(
            tmp_path / "smoothed",
            tone_items,
            heads=HeadsConfig(ctc=CtcHeadConfig(label_smoothing=0.5)),
            **still,
        )
    )

    (one,), (other,) = metrics_of(tmp_path / "plain"), metrics_of(tmp_path / "smoothed")
    assert plain.keys() == smoothed.keys()
    assert one["loss"] == other["loss"]
    assert one["grad_norm"] > 1.5 * other["grad_norm"]


def test_frozen_layers_end_as_they_began(tone_items, tmp_path):
    frozen = OptimConfig(freeze=("encoder.*.forwards.*", "ctc.output.bias"))
    trainer = make_trainer(tmp_path, tone_items, optim=frozen, epochs=1, average=1)
    before = {name: t.clone() for name, t in trainer.network.state_dict().items()}

    weights = fit(trainer)

    still = {name for name, tensor in weights.items() if torch.equal(tensor, before[name])}
    assert still == {name for name in before if "forwards" in name or name == "ctc.output.bias"}


def test_the_moving_average_is_judged_and_becomes_the_model(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items, ema_decay=0.9, epochs=2, average=1)
    seen = []
    score = trainer.score_dev

    def watch():
        seen.append({name: t.clone() for name, t in trainer.network.state_dict().items()})
        return score()

    trainer.score_dev = watch
    weights = fit(trainer)

    last = load_checkpoint(list_checkpoints(tmp_path)[-1])
    own, average = last.tensors("model."), last.tensors("average.")
    for name, tensor in weights.items():
        assert torch.equal(tensor, average[name])
        assert torch.equal(tensor, seen[-1][name])
        assert torch.equal(trainer.network.state_dict()[name], own[name])
    assert not torch.equal(own["ctc.output.weight"], average["ctc.output.weight"])


def test_the_moving_average_leaves_the_training_as_it_is(tone_items, tmp_path):
    fit(make_trainer(tmp_path / "without", tone_items))
    fit(make_trainer(tmp_path / "with", tone_items, ema_decay=0.9))

    one, other = (load_checkpoint(list_checkpoints(tmp_path / n)[-1]) for n in ("without", "with"))
    others = other.tensors("model.")
    assert all(torch.equal(tensor, others[name]) for name, tensor in one.tensors("model.").items())


def test_a_cut_of_the_gradient_longer_than_every_utterance_changes_nothing(tone_items, tmp_path):
    forwards = EncoderConfig(layers=2, hidden=16, stride=2, directions="forwards")

    def train(name, **values):
        return fit(make_trainer(tmp_path / name, tone_items, encoder=forwards, epochs=1, **values))

    whole, long, short = train("0"), train("1", bptt_frames=500), train("2", bptt_frames=3)

    assert all(torch.equal(tensor, long[name]) for name, tensor in whole.items())
    assert not torch.equal(whole["ctc.output.weight"], short["ctc.output.weight"])


# When to stop, and what to keep


def test_training_stops_early_when_the_dev_error_no_longer_falls(tone_items, tmp_path):
    standstill = OptimConfig(peak_lr=1e-12)

    fit(make_trainer(tmp_path, tone_items, optim=standstill, epochs=9, patience=2))

    assert len(metrics_of(tmp_path)) == 3


def test_epochs_without_gain_count_from_the_best():
    def count(*errors):
        return Progress(history=[(i, i, e) for i, e in enumerate(errors)]).epochs_without_gain

    assert count() == 0
    assert count(None, None) == 0
    assert count(0.5, 0.4, 0.4, 0.6) == 2
    assert count(0.5, 0.6, 0.4) == 0


def test_the_last_epochs_are_averaged(tone_items, tmp_path):
    weights = fit(make_trainer(tmp_path, tone_items, epochs=4, average=2))

    last = [load_checkpoint(folder) for folder in list_checkpoints(tmp_path)[-2:]]
    assert [checkpoint.facts["step"] for checkpoint in last] == [12, 16]
    for name, tensor in average_weights(last).items():
        assert torch.equal(tensor, weights[name])


def test_the_best_epochs_are_averaged_and_kept(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items, epochs=4, average=2, average_of=AverageOf.BEST)
    trainer.progress.history = []
    errors = iter([0.2, 0.9, 0.3, 0.8])
    scores = trainer.score_dev()
    trainer.score_dev = lambda: dataclasses.replace(scores, dev_cer=next(errors))

    weights = fit(trainer)

    folders = {int(f.name.removeprefix("step-")): f for f in list_checkpoints(tmp_path)}
    assert sorted(folders) == [4, 12, 16]  # the best two, and the newest two
    best = average_weights([load_checkpoint(folders[4]), load_checkpoint(folders[12])])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in best.items())


def test_a_checkpoint_missing_for_the_average_is_named(tone_items, tmp_path):
    def remove_first():
        for file in (tmp_path / "checkpoints" / "step-00000004").iterdir():
            file.unlink()
        (tmp_path / "checkpoints" / "step-00000004").rmdir()

    watcher = Watcher(stop_at=7, then=remove_first)
    with pytest.raises(RunFolderError, match="the checkpoint of step 4, to be averaged, is gone"):
        fit(make_trainer(tmp_path, tone_items, epochs=2, average=2, watcher=watcher))


# When a step goes wrong


def test_a_loss_that_is_not_finite_names_the_utterance_and_leaves_the_weights(tone_items, tmp_path):
    endless = dataclasses.replace(tone_items[3], labels=(2,) * 200)
    watcher = Watcher()
    items = [*tone_items[:3], endless, *tone_items[4:]]
    trainer = make_trainer(tmp_path, items, epochs=1, watcher=watcher, augment=NO_AUGMENTATION)
    before = {name: t.clone() for name, t in trainer.network.state_dict().items()}
    trainer.data.items = [endless]

    fit(trainer)

    (warning,) = watcher.warnings
    assert warning == (
        "step 1: the loss is not finite for 3-cad; the step was not taken (1 in a row)"
    )
    assert watcher.epochs[0].skipped == 1
    assert all(torch.equal(t, before[n]) for n, t in trainer.network.state_dict().items())


def test_one_bad_utterance_is_told_from_its_neighbours(tone_items, tmp_path):
    endless = dataclasses.replace(tone_items[3], labels=(2,) * 200)
    watcher = Watcher()
    items = [*tone_items[:3], endless, *tone_items[4:]]

    fit(make_trainer(tmp_path, items, epochs=2, watcher=watcher, augment=NO_AUGMENTATION))

    assert len(watcher.warnings) == 2
    assert all("not finite for 3-cad;" in warning for warning in watcher.warnings)
    assert [record["step"] for record in metrics_of(tmp_path)] == [4, 8]
    assert all(math.isfinite(record["loss"]) for record in metrics_of(tmp_path))


def test_a_gradient_that_is_not_finite_names_the_batch(tone_items, tmp_path):
    watcher = Watcher()
    trainer = make_trainer(tmp_path, tone_items, epochs=1, max_bad_steps=0, watcher=watcher)
    trainer.network.ctc.output.bias.register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(TrainingError) as caught:
        fit(trainer)

    ids = next(iter(trainer.data.epoch(0))).ids
    assert len(ids) == 2
    assert str(caught.value) == (
        f"step 1: the gradient is not finite for {', '.join(ids)}; the step was not taken (1 in a "
        f"row); training.max_bad_steps allows 0: look at these utterances, or lower "
        f"optim.peak_lr; no epoch had been finished"
    )


@pytest.mark.parametrize("patience", [0, 2, 3])
def test_training_stops_when_its_patience_with_bad_steps_is_at_an_end(
    tone_items, tmp_path, patience
):
    watcher = Watcher()
    trainer = make_trainer(tmp_path, tone_items, max_bad_steps=patience, watcher=watcher)
    with torch.no_grad():
        trainer.network.ctc.output.bias[0] = math.nan

    with pytest.raises(TrainingError, match=rf"\({patience + 1} in a row\)"):
        fit(trainer)

    assert len(watcher.warnings) == patience + 1
    assert not list_checkpoints(tmp_path)


def test_good_steps_restore_the_patience(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items, epochs=2, max_bad_steps=1)
    batches = []

    def spoil_every_second(gradient):
        batches.append(gradient)
        return gradient * math.nan if len(batches) % 2 else gradient

    trainer.network.ctc.output.bias.register_hook(spoil_every_second)

    fit(trainer)

    assert [record["skipped"] for record in metrics_of(tmp_path)] == [2, 2]


class Greedy(FeatureExtractor):
    """Wants more memory than there is."""

    def forward(self, waveforms, lengths, distortion=None):
        """Ask for a petabyte."""
        torch.empty(10**15, dtype=torch.uint8)
        return super().forward(waveforms, lengths, distortion)


def test_a_batch_too_large_for_memory_is_named(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items)
    trainer.features = Greedy(FRONTEND)

    with pytest.raises(TrainingError) as caught:
        fit(trainer)

    batch = next(iter(trainer.data.epoch(0)))
    assert str(caught.value) == (
        f"out of memory in a batch of 2 utterances of up to {int(batch.lengths.max())} positions "
        f"({batch.ids[0]}, ...); lower data.batch_frames, or leave long ones out by "
        f"data.max_frames, and go on with --resume"
    )


def test_other_errors_are_not_taken_for_want_of_memory(tone_items, tmp_path):
    trainer = make_trainer(tmp_path, tone_items)
    trainer.features = FeatureExtractor(FRONTEND.model_copy(update={"num_mels": 24}))

    with pytest.raises(RuntimeError, match="input_size"):
        fit(trainer)


def test_precision_is_as_asked_for():
    cpu = torch.device("cpu")

    assert uses_bf16(Precision.BF16, cpu)
    assert not uses_bf16(Precision.FP32, cpu)
    assert isinstance(uses_bf16(Precision.AUTO, cpu), bool)
