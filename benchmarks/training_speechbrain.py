"""SpeechBrain's side of bench_training: its Brain, dynamic batches, features and layers.

Put together as its CTC recipes are. They give nn.LSTM the padded batch, so the direction that reads
backwards begins in the padding; `packed` hands the lengths over instead.
"""

from typing import Any

import speechbrain
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import ctc_loss
from speechbrain.nnet.RNN import LSTM
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

from benchmarks.training_work import (
    Job,
    Pass,
    Tally,
    make_network,
    make_optimizer,
    read_recordings,
    stack_frames,
    warm_up,
)

_NUM_BUCKETS = 40  # these pad AN4 by 3 %, about as ctcasr's batches do; 20 pad it by 9 %


def train(job: Job) -> list[Pass]:
    """Train the job's network on its recordings."""
    recordings = read_recordings(job)
    dataset = DynamicItemDataset(
        {str(n): {"waveform": r.samples, "labels": r.labels} for n, r in enumerate(recordings)},
        output_keys=["waveform", "labels"],
    )
    seconds = [len(r.samples) / job["sample_rate"] for r in recordings]
    brain = _CtcBrain(
        job,
        modules=_make_modules(job),
        opt_class=lambda parameters: make_optimizer(parameters, job),
        run_opts={
            "device": "cpu",
            "precision": job["precision"],
            "max_grad_norm": job["optim"]["max_grad_norm"],
            "noprogressbar": True,
        },
    )
    brain.fit(
        range(job["epochs"]),
        dataset,
        train_loader_kwargs={
            "batch_sampler": _make_sampler(seconds, num_batches=job["steps_per_epoch"]),
            "num_workers": job["workers"],
            "collate_fn": PaddedBatch,
        },
    )
    passes: list[Pass] = brain.passes
    return passes


class _CtcBrain(speechbrain.Brain):  # type: ignore[misc]
    """A CTC recognizer that keeps a tally of each epoch."""

    def __init__(self, job: Job, **options: Any) -> None:
        super().__init__(**options)
        self.job = job
        self.passes: list[Pass] = []

    def compute_forward(self, batch: Any, stage: Any) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (B, T', V) and the relative lengths."""
        waveforms, lengths = batch.to(self.device).waveform
        features = self.modules.normalise(self.modules.fbank(waveforms), lengths)
        stacked = stack_frames(features, self.job["network"]["stride"])
        packing = {"lengths": lengths} if self.job["packed"] else {}
        hidden, _ = self.modules.lstm(stacked, **packing)
        logits = self.modules.output(self.modules.dropout(hidden))
        return logits.float().log_softmax(-1), lengths

    def compute_objectives(self, predictions: Any, batch: Any, stage: Any) -> Tensor:
        """Return the loss per label."""
        log_probs, lengths = predictions
        labels, label_lengths = batch.labels
        self.num_labels = int((label_lengths * labels.shape[1]).round().sum())
        summed: Tensor = ctc_loss(
            log_probs, labels, lengths, label_lengths, blank_index=0, reduction="sum"
        )
        return summed / self.num_labels

    def on_stage_start(self, stage: Any, epoch: int | None = None) -> None:
        """Begin a tally."""
        self.tally = Tally(self.job["sample_rate"])

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Set the learning rate."""
        warm_up(self.optimizer, self.job, self.optimizer_step)

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Tensor, should_step: bool) -> None:
        """Count the step."""
        waveforms, lengths = batch.waveform
        num_samples = (lengths * waveforms.shape[1]).round().int().tolist()
        self.tally.add(num_samples, loss=loss.item() * self.num_labels, num_labels=self.num_labels)

    def on_stage_end(self, stage: Any, stage_loss: float, epoch: int | None = None) -> None:
        """Keep the tally."""
        self.passes.append(self.tally.finish())


def _make_modules(job: Job) -> dict[str, nn.Module]:
    """Return SpeechBrain's layers with the weights that everyone starts from."""
    sizes, frontend = job["network"], job["frontend"]
    plain = make_network(job)
    lstm = LSTM(
        hidden_size=sizes["hidden"],
        input_size=sizes["num_features"] * sizes["stride"],
        num_layers=sizes["layers"],
        bidirectional=True,
        dropout=sizes["dropout"],
    )
    lstm.rnn.load_state_dict(plain.lstm.state_dict())
    output = Linear(n_neurons=sizes["num_labels"], input_size=2 * sizes["hidden"])
    output.w.load_state_dict(plain.output.state_dict())
    rate = job["sample_rate"]
    return {
        "fbank": Fbank(
            sample_rate=rate,
            n_fft=frontend["fft_size"],
            n_mels=frontend["num_mels"],
            win_length=1000 * frontend["window"] / rate,  # ms
            hop_length=1000 * frontend["hop"] / rate,
        ),
        "normalise": InputNormalization(norm_type="sentence"),
        "lstm": lstm,
        "dropout": nn.Dropout(sizes["dropout"]),
        "output": output,
    }


def _make_sampler(seconds: list[float], *, num_batches: int) -> Any:
    """Return the sampler whose number of batches in an epoch is nearest to `num_batches`.

    Its budget of seconds in a batch counts the padding to a bucket's edge, so an equal budget would
    mean more and smaller batches than ctcasr's.
    """

    def with_budget(budget: int) -> Any:
        return DynamicBatchSampler(
            range(len(seconds)), budget, num_buckets=_NUM_BUCKETS, lengths_list=seconds
        )

    longest = int(max(seconds)) + 1
    budgets = range(longest, max(longest + 1, 3 * int(sum(seconds)) // num_batches))
    return min(map(with_budget, budgets), key=lambda sampler: abs(len(sampler) - num_batches))
