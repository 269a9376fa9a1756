"""What a GPU makes of training: dense bf16 batches against packed ones, CTC losses, features.

    python -m benchmarks.bench_gpu [--repeats 5]
    python -m benchmarks.bench_gpu --device cpu --tiny     # does it all run, where there is no GPU

Needs, all of it without a network: an NVIDIA GPU with bf16 (Ampere or newer; 16 GB should do, but
has not been tried), its driver, a CUDA build of torch 2.11 with cuDNN and the torchaudio 2.11 that
matches it, and ctcasr installed. No corpus: the input is random. Training end to end is the recipe,
`python -m recipes.an4.run --corpus DIR -o exp/an4-gpu --device cuda`, which needs AN4.

Stacks: a training step (forward, CTC, backward, AdamW) of five bidirectional LSTMs over one pass of
batches of 2 to 16 s, planned as in training. Dense is ctcasr's network, packed the same network as
nn.LSTM on packed input. fp32 may use TF32, as cuDNN's LSTM does unasked. The share of the limit is
that of the LSTMs' matrix products, without padding, in what one large product reaches.

CTC: torch's own kernel against cuDNN's, value and gradient. cuDNN's wants every utterance as long
as the batch, at most 256 labels each, in one row of 32-bit integers; whether torch chose it is read
off the graph.

Features: waveforms of 10 s that already lie on the GPU, to normalised features.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.matmul_rate import lstm_stack_flops, matmul_rate
from benchmarks.setting import machine, seconds_of
from benchmarks.training_work import PlainNetwork
from ctcasr.batching import plan_batches
from ctcasr.device import pick_device
from ctcasr.errors import ConfigError
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.sound.spectral import FrontendConfig, FrontendKind
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network
from ctcasr.training.optim import OptimConfig, make_optimizer

NUM_FEATURES, NUM_LABELS = 80, 29
FRAMES_PER_SECOND = 100
FRAMES_PER_LABEL = 8  # of features; English speech has about 12 letters a second
Work = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is computed.

    Attributes:
        hidden: H of the stacks; layers: of each.
        utterances: in a pass; batch_frames: most feature frames in a batch.
        seconds: shortest and longest utterance.
        ctc: (B, T, U, V) of the CTC losses.
        clips: of 10 s in the batch that features are made of.
        matmul_size: of the product that gives the limit.
    """

    hidden: tuple[int, ...] = (512, 1024)
    layers: int = 5
    utterances: int = 256
    batch_frames: int = 48_000
    seconds: tuple[float, float] = (2.0, 16.0)
    ctc: tuple[tuple[int, int, int, int], ...] = (
        (32, 300, 60, 29),
        (64, 500, 100, 29),
        (32, 500, 100, 1024),
    )
    clips: int = 64
    matmul_size: int = 8_192


TINY = Scale(
    hidden=(8,),
    layers=2,
    utterances=6,
    batch_frames=1_000,
    seconds=(1.0, 4.0),
    ctc=((2, 20, 5, 29),),
    clips=1,
    matmul_size=64,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things run, how large and how often."""

    device: torch.device
    scale: Scale
    repeats: int


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """(B, T, F) features and (B,) lengths; (B, U) labels and (B,) of each; on the device."""

    features: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="very little: does it all run")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
    except ConfigError as error:
        print(f"bench_gpu: {error} --tiny, to see that it works", file=sys.stderr)
        return 2

    torch.set_float32_matmul_precision("high")  # TF32, as cuDNN's LSTM takes it
    bench = Bench(device, TINY if args.tiny else Scale(), args.repeats)
    print(f"## {machine(device)}, torch {torch.__version__}, best of {args.repeats}")
    for section in (compare_stacks, compare_ctc, measure_features):
        for line in section(bench):
            print(line, flush=True)
    return 0


def compare_stacks(bench: Bench) -> Iterator[str]:
    """Dense and packed stacks, in bf16 and fp32."""
    scale = bench.scale
    batches = make_batches(bench)
    audio = sum(int(batch.lengths.sum()) for batch in batches) / FRAMES_PER_SECOND
    padded = sum(batch.features.shape[0] * batch.features.shape[1] for batch in batches)
    padding = 1 - audio * FRAMES_PER_SECOND / padded
    limits = {
        "bf16": matmul_rate(bench.device, torch.bfloat16, size=scale.matmul_size),
        "fp32": matmul_rate(bench.device, torch.float32, size=scale.matmul_size),
    }
    yield f"\n### {scale.layers} bidirectional LSTMs: forward, CTC, backward, optimizer\n"
    yield (
        f"{len(batches)} batches, {audio:,.0f} s of audio, {padding:.1%} padding. One large matrix "
        f"product: {limits['bf16'] / 1e12:,.2f} TFLOP/s in bf16, {limits['fp32'] / 1e12:,.2f} in "
        f"fp32.\n"
    )
    yield "| H | network | format | audio s/s | dense bf16 / it | of the limit |"
    yield "| ---: | --- | --- | ---: | ---: | ---: |"
    for hidden in scale.hidden:
        flops = sum(stack_flops(batch, scale, hidden) for batch in batches)
        dense_bf16 = None
        for (name, make), (number_format, limit) in itertools.product(NETWORKS, limits.items()):
            network = make(scale, hidden).to(bench.device)
            one_pass = make_pass(network, batches, bf16=number_format == "bf16")
            seconds = seconds_of(one_pass, bench.repeats)
            dense_bf16 = dense_bf16 or seconds
            yield (
                f"| {hidden} | {name} | {number_format} | {audio / seconds:,.0f} "
                f"| {seconds / dense_bf16:.2f} | {flops / seconds / limit:.1%} |"
            )


def make_batches(bench: Bench) -> list[FeatureBatch]:
    """Return one pass of random utterances, in batches as training plans them."""
    generator = np.random.default_rng(0)
    seconds = generator.uniform(*bench.scale.seconds, bench.scale.utterances)
    frames = [round(each * FRAMES_PER_SECOND) for each in seconds]
    plans = plan_batches(frames, max_frames=bench.scale.batch_frames, generator=generator)
    return [make_batch([frames[index] for index in plan], bench.device) for plan in plans]


def make_batch(frames: Sequence[int], device: torch.device) -> FeatureBatch:
    """Return random features and labels of the given lengths."""
    lengths = torch.tensor(frames)
    valid = torch.arange(max(frames)) < lengths[:, None]
    features = torch.randn(len(frames), max(frames), NUM_FEATURES) * valid[..., None]
    label_lengths = lengths // FRAMES_PER_LABEL
    labels = torch.randint(1, NUM_LABELS, (len(frames), int(label_lengths.max())))
    parts = (features, lengths, labels, label_lengths)
    return FeatureBatch(*(part.to(device) for part in parts))


def make_dense(scale: Scale, hidden: int) -> nn.Module:
    """Return ctcasr's network."""
    encoder = EncoderConfig(layers=scale.layers, hidden=hidden, dropout=0)
    return Network(encoder, num_features=NUM_FEATURES, num_labels=NUM_LABELS)


def make_packed(scale: Scale, hidden: int) -> nn.Module:
    """Return the same network on packed input."""
    return PlainNetwork(
        num_features=NUM_FEATURES,
        num_labels=NUM_LABELS,
        stride=EncoderConfig().stride,
        layers=scale.layers,
        hidden=hidden,
        dropout=0,
    )


NETWORKS = (("dense", make_dense), ("packed", make_packed))


def make_pass(network: nn.Module, batches: Sequence[FeatureBatch], *, bf16: bool) -> Work:
    """Return the training steps over all batches, as a function to be timed."""
    optimizer = make_optimizer(OptimConfig(), network)

    def one_pass() -> None:
        for batch in batches:
            with torch.autocast(batch.features.device.type, dtype=torch.bfloat16, enabled=bf16):
                logits, lengths = network(batch.features, batch.lengths)
            losses = ctc_loss(logits, lengths, batch.labels, batch.label_lengths, blank=0)
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return one_pass


def stack_flops(batch: FeatureBatch, scale: Scale, hidden: int) -> int:
    """Return the operations in the matrix products of one training step."""
    encoder = EncoderConfig()
    return lstm_stack_flops(
        num_frames=sum(map(encoder.num_frames, batch.lengths.tolist())),
        input_size=NUM_FEATURES * encoder.stride,
        hidden_sizes=[hidden] * scale.layers,
        training=True,
    )


@dataclass(frozen=True, slots=True)
class CtcTargets:
    """What CTC losses are computed of, as torch takes it.

    Attributes:
        labels: (B, U) padded, or all in one row.
        frames, label_lengths: (B,).
    """

    labels: Tensor
    frames: Tensor
    label_lengths: Tensor

    def losses(self, log_probs: Tensor) -> Tensor:
        """Return the (B,) losses of (T, B, V) log-probabilities."""
        return nn.functional.ctc_loss(
            log_probs, self.labels, self.frames, self.label_lengths, reduction="none"
        )

    def in_one_row(self, place: torch.device) -> "CtcTargets":
        """Return the same as cuDNN wants it: 32-bit integers, the labels in one row."""
        parts = (self.labels, self.frames, self.label_lengths)
        return CtcTargets(*(part.flatten().to(place, torch.int32) for part in parts))


def compare_ctc(bench: Bench) -> Iterator[str]:
    """CTC on padded labels, which only torch's kernel takes, and on labels in one row."""
    columns = ("B", "T", "U", "V", "padded, ms", "one row, ms", "padded / one row", "one row by")
    yield "\n### CTC loss and its gradient\n"
    yield f"| {' | '.join(columns)} |"
    yield "|" + " ---: |" * (len(columns) - 1) + " --- |"
    for shape in bench.scale.ctc:
        batch, num_frames, num_labels, num_symbols = shape
        log_probs = torch.randn(num_frames, batch, num_symbols, device=bench.device)
        log_probs = log_probs.log_softmax(-1).requires_grad_()
        padded = CtcTargets(
            torch.randint(1, num_symbols, (batch, num_labels), device=bench.device),
            *(torch.full((batch,), n, device=bench.device) for n in (num_frames, num_labels)),
        )
        row, kernel = choose_row(log_probs, padded)
        slow, fast = (
            seconds_of(make_ctc_step(log_probs, targets), bench.repeats)
            for targets in (padded, row)
        )
        cells = (*(f"{n:,}" for n in shape), f"{1e3 * slow:.2f}", f"{1e3 * fast:.2f}")
        yield f"| {' | '.join(cells)} | {slow / fast:.2f} | {kernel} |"


def choose_row(log_probs: Tensor, padded: CtcTargets) -> tuple[CtcTargets, str]:
    """Return the labels in one row, where cuDNN takes them, and whose kernel it is.

    Releases of torch differ in whether cuDNN's integers lie on the GPU or on the CPU.
    """
    for place in (log_probs.device, torch.device("cpu")):
        row = padded.in_one_row(place)
        node = row.losses(log_probs).grad_fn
        assert node is not None
        if "Cudnn" in node.name():
            return row, "cuDNN"
    return row, "torch: cuDNN not taken"


def make_ctc_step(log_probs: Tensor, targets: CtcTargets) -> Work:
    """Return value and gradient of a CTC loss, as a function to be timed."""

    def step() -> None:
        torch.autograd.grad(targets.losses(log_probs).sum(), log_probs)

    return step


def measure_features(bench: Bench) -> Iterator[str]:
    """Each frontend, as multiples of real time."""
    seconds = 10
    yield "\n### Features\n"
    yield "| features | times real time |"
    yield "| --- | ---: |"
    for kind in FrontendKind:
        config = FrontendConfig(kind=kind)
        extractor = FeatureExtractor(config).to(bench.device)
        num_samples = seconds * config.sample_rate
        waveforms = torch.rand(bench.scale.clips, num_samples, device=bench.device) - 0.5
        lengths = torch.full((bench.scale.clips,), num_samples, device=bench.device)
        with torch.inference_mode():
            work = functools.partial(extractor, waveforms, lengths)
            elapsed = seconds_of(work, bench.repeats)
        yield f"| {kind} | {seconds * bench.scale.clips / elapsed:,.0f} |"


if __name__ == "__main__":
    sys.exit(main())
