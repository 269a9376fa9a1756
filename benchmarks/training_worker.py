"""Train one contestant of bench_training: a job in, what each pass came to out, both as JSON.

Runs in ctcasr's environment or in the peers'; each contestant is imported where it trains.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from benchmarks.training_work import (
    Job,
    Pass,
    Recording,
    Tally,
    make_network,
    make_optimizer,
    read_recordings,
    warm_up,
)


def main() -> None:
    job = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # a peer may be talkative
        torch.manual_seed(job["seed"])
        passes = _CONTESTANTS[job["contestant"]](job)
    json.dump([dataclasses.asdict(each) for each in passes], sys.stdout)


def train_ctcasr(job: Job) -> list[Pass]:
    """Train as `ctcasr train` does, checkpoints and logs included."""
    from ctcasr.config import parse_config
    from ctcasr.pipeline.train import train
    from ctcasr.training.metrics import read_metrics

    run = Path(job["run"])
    train(parse_config(job["config"]), run=run, device="cpu")
    passes, steps_before = [], 0
    for epoch in read_metrics(run / "metrics.jsonl"):
        steps = epoch.step - steps_before
        passes.append(Pass(epoch.throughput, epoch.padding, epoch.loss, steps))
        steps_before = epoch.step
    return passes


def train_plain(job: Job) -> list[Pass]:
    """Train with the loop of many a tutorial: random batches of equal size, packed sequences."""
    network = make_network(job)
    optimizer = make_optimizer(network.parameters(), job)
    loss_function = nn.CTCLoss(reduction="sum")
    loader: DataLoader[Recording] = DataLoader(
        read_recordings(job),  # type: ignore[arg-type]  # a list serves as a data set
        batch_size=job["batch_size"],
        shuffle=True,
        num_workers=job["workers"],
        collate_fn=Collate(job),
    )
    passes, step = [], 0
    for _ in range(job["epochs"]):
        tally = Tally(job["sample_rate"])
        for features, frames, labels, label_lengths, num_samples in loader:
            warm_up(optimizer, job, step)
            logits, frames = network(features, frames)
            log_probs = logits.log_softmax(-1).transpose(0, 1)
            summed = loss_function(log_probs, labels, frames, label_lengths)
            optimizer.zero_grad()
            (summed / label_lengths.sum()).backward()
            nn.utils.clip_grad_norm_(network.parameters(), job["optim"]["max_grad_norm"])
            optimizer.step()
            step += 1
            tally.add(num_samples, loss=summed.item(), num_labels=int(label_lengths.sum()))
        passes.append(tally.finish())
    return passes


class Collate:
    """Makes a batch of recordings: torchaudio's log-mel features, normalised, then padding."""

    def __init__(self, job: Job) -> None:
        from torchaudio.transforms import MelSpectrogram

        frontend = job["frontend"]
        self.mel_spectrogram = MelSpectrogram(
            sample_rate=job["sample_rate"],
            n_fft=frontend["fft_size"],
            win_length=frontend["window"],
            hop_length=frontend["hop"],
            n_mels=frontend["num_mels"],
        )

    def __call__(
        self, recordings: Sequence[Recording]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, list[int]]:
        """Return (B, T, F) features, (B,) frames, (B, U) labels, (B,) of each, and samples."""
        features = [self.extract(recording.samples) for recording in recordings]
        labels = [recording.labels for recording in recordings]
        return (
            pad_sequence(features, batch_first=True),
            torch.tensor([len(each) for each in features]),
            pad_sequence(labels, batch_first=True),
            torch.tensor([len(each) for each in labels]),
            [len(recording.samples) for recording in recordings],
        )

    def extract(self, samples: Tensor) -> Tensor:
        """Return (T, F) features of zero mean and unit variance."""
        log_mel = self.mel_spectrogram(samples).clamp(min=1e-8).log().T
        normalised: Tensor = (log_mel - log_mel.mean(0)) / (log_mel.std(0) + 1e-5)
        return normalised


def train_speechbrain(job: Job) -> list[Pass]:
    """Train with SpeechBrain's Brain; imported here, since only the peers' environment has it."""
    from benchmarks.training_speechbrain import train

    return train(job)


_CONTESTANTS: dict[str, Callable[[Job], list[Pass]]] = {
    "ctcasr": train_ctcasr,
    "plain": train_plain,
    "speechbrain": train_speechbrain,
}

if __name__ == "__main__":
    main()
