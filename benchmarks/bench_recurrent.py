"""Dense bidirectional LSTM layers against packed ones, in fp32 and bf16: one training pass.

    python -m benchmarks.bench_recurrent [--repeats 5]

The batch is as in training: utterances of similar length, 60 s of 10 ms frames, stacked by three.
A pass is forward and backward through one layer of H units per direction. Dense is
`RecurrentLayer`, which reverses inside each length; packed is nn.LSTM on the same utterances.
"""

import functools
import timeit
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.setting import machine, parse_repeats
from ctcasr.models.recurrent import RecurrentLayer

FRAMES, FEATURES = 2_000, 240
LENGTH, SPREAD = 100, 0.05  # frames of the longest utterance; how much shorter the shortest is


def main() -> None:
    repeats = parse_repeats(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lengths = utterance_lengths()
    features = torch.randn(len(lengths), LENGTH, FEATURES, device=device)
    lengths = lengths.to(device)

    print(f"## {machine(device)}, torch {torch.__version__}, best of {repeats}\n")
    print("| H | format | packed frames/s | dense frames/s | dense / packed |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for hidden in (160, 256, 384):
        dense = RecurrentLayer(FEATURES, hidden).to(device)
        packed = nn.LSTM(FEATURES, hidden, batch_first=True, bidirectional=True).to(device)
        layers = (functools.partial(run_packed, packed), dense)
        for name, bf16 in (("fp32", False), ("bf16", True)):
            slow, fast = (
                frames_per_second(layer, features, lengths, bf16=bf16, repeats=repeats)
                for layer in layers
            )
            print(f"| {hidden} | {name} | {slow:,.0f} | {fast:,.0f} | {fast / slow:.2f} |")


def utterance_lengths() -> Tensor:
    """Return (B,) lengths, longest first: a batch of the sorted order."""
    count = FRAMES // LENGTH
    return torch.linspace(LENGTH, LENGTH * (1 - SPREAD), count).long()


def run_packed(layer: nn.LSTM, features: Tensor, lengths: Tensor) -> Tensor:
    """Run nn.LSTM on the packed batch; return it padded."""
    packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True)
    output: Tensor = pad_packed_sequence(layer(packed)[0], batch_first=True)[0]
    return output


def frames_per_second(
    layer: Callable[[Tensor, Tensor], Tensor],
    features: Tensor,
    lengths: Tensor,
    *,
    bf16: bool,
    repeats: int,
) -> float:
    """Return valid frames per second of forward and backward together."""
    kind = features.device.type

    def step() -> None:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=bf16):
            output = layer(features, lengths)
        output.float().square().mean().backward()  # type: ignore[no-untyped-call]
        if kind == "cuda":
            torch.cuda.synchronize()

    step()  # the first pass chooses kernels
    return float(lengths.sum()) / min(timeit.repeat(step, number=1, repeat=repeats))


if __name__ == "__main__":
    main()
