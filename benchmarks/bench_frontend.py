"""What features cost: each frontend as a share of a training step, and augmentation beside it.

    python -m benchmarks.bench_frontend [--repeats 5]

A step is features, forward and backward through the default network, without the optimizer, on
one batch of 60 s of audio at 16 kHz. Waveform augmentation runs in the loading threads, beside
the step; it is given in the same unit, as a share of the step it must keep up with.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.setting import machine, parse_repeats, seconds_of
from ctcasr.batching import pad_labels, pad_signals
from ctcasr.frontends.features import FeatureExtractor
from ctcasr.frontends.sound.augmentation import AugmentConfig, distort_waveform, draw_distortion
from ctcasr.frontends.sound.spectral import FrontendConfig, FrontendKind
from ctcasr.models.ctc import ctc_loss
from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.network import Network

RATE, NUM_UTTERANCES, NUM_LABELS = 16_000, 20, 30
TARGET = 0.05  # of a step, at most


def main() -> None:
    repeats = parse_repeats(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = np.random.default_rng(0)
    clips = [
        generator.uniform(-0.5, 0.5, 3 * RATE).astype(np.float32) for _ in range(NUM_UTTERANCES)
    ]

    print(f"## {machine(device)}, torch {torch.__version__}, best of {repeats}\n")
    print(f"60 s of audio; target for features: at most {TARGET:.0%} of a step.\n")
    print("| features | features, ms | step, ms | share | augmentation, ms | share |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    augmenting = seconds_of(lambda: augment(clips), repeats)
    for kind in FrontendKind:
        extract, step = make_step(kind, clips, device)
        features, whole = seconds_of(extract, repeats), seconds_of(step, repeats)
        print(
            f"| {kind} | {1e3 * features:.1f} | {1e3 * whole:.1f} | {features / whole:.1%} "
            f"| {1e3 * augmenting:.1f} | {augmenting / whole:.1%} |"
        )


def augment(clips: list[np.typing.NDArray[np.float32]]) -> None:
    """Distort each clip as the loading threads do, with noise on every one."""
    config = AugmentConfig(noise_probability=1)
    for number, clip in enumerate(clips):
        drawn = draw_distortion(config, seed=0, epoch=0, item=str(number))
        distort_waveform(clip, drawn, sample_rate=RATE)


def make_step(
    kind: FrontendKind, clips: list[np.typing.NDArray[np.float32]], device: torch.device
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return feature extraction alone, and the step with it."""
    config = FrontendConfig(kind=kind, sample_rate=RATE)
    extractor = FeatureExtractor(config).to(device)
    network = Network(EncoderConfig(), num_features=config.num_features, num_labels=NUM_LABELS)
    network.to(device)
    waveforms, lengths = (part.to(device) for part in pad_signals(clips))
    labels, label_lengths = pad_labels([range(1, NUM_LABELS)] * len(clips))

    def extract() -> tuple[Tensor, Tensor]:
        features: tuple[Tensor, Tensor] = extractor(waveforms, lengths)
        return features

    def step() -> None:
        logits, frames = network(*extract())
        losses = ctc_loss(logits, frames, labels.to(device), label_lengths.to(device), blank=0)
        losses.mean().backward()  # type: ignore[no-untyped-call]

    return extract, step


if __name__ == "__main__":
    main()
