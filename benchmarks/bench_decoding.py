"""Our CTC search against others: utterances per second, search error, memory, word error rate.

    python -m benchmarks.bench_decoding --peers exp/decoding-peers [--quick] [--only labels wide]

The other decoders live in an environment of their own, which is made in the folder of `--peers`
when it is not there (requirements: decoding_peers.txt). Every decoder runs in a process by itself,
on one thread, over the same log-probabilities; the seconds are the median of several passes.

The search error is the gap: by how many nats ln p(labels) of what a decoder returned lies below
the best that any of them found, as a mean over the utterances. ln p(labels) is computed for all by
one function, torch's CTC loss in float64. `prefix_search` takes part to know the best; its speed is
not the point.

pyctcdecode and flashlight-text prune as they do by default (torchaudio's defaults for the latter),
except that the latter adds the paths of one text. fast-ctc-decode and our search drop symbols or
prefixes under a threshold.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.decoding_work import Work, make_labels_work, make_words_work
from benchmarks.peers import prepare_peers, python_of, run_worker
from ctcasr.decoding import PrefixBeamDecoder
from ctcasr.scoring import ErrorCounts, count_errors

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "decoding_peers.txt"
MODULES = ("fast_ctc_decode", "pyctcdecode", "flashlight.lib.text.decoder.kenlm", "kenlm")
LM_WEIGHTS = {"alpha": 0.5, "beta": 1.5}  # pyctcdecode's defaults, the same for everyone


@dataclass(frozen=True)
class Contestant:
    """A decoder with its settings, under a name of its own."""

    name: str
    decoder: str
    settings: dict[str, Any] = field(hash=False)


PREFIX_SEARCH = Contestant("ctcasr, prefix search", "prefix_search", {"max_work": 10_000_000})


@dataclass(frozen=True)
class Outcome:
    """What a contestant did with one work; memory is the peak of its process, in bytes."""

    texts: list[str]
    seconds: float
    memory_before: int
    memory: int

    @property
    def speed(self) -> float:
        """Utterances per second."""
        return len(self.texts) / self.seconds


@dataclass(frozen=True)
class Bench:
    """Where things run and how often."""

    peers: Path
    folder: Path
    repeats: int
    quick: bool

    def run(self, work: Work, who: Contestant, *, workers: int = 0) -> Outcome:
        """Run one contestant over one work in a process of its own."""
        is_ours = who.decoder in ("ctcasr", "prefix_search")
        job = {
            "decoder": who.decoder,
            "settings": who.settings,
            "labels": work.labels,
            "log_probs": str(work.log_probs),
            "lengths": work.lengths,
            "repeats": self.repeats,
            "workers": workers,
        }
        if work.lexicon:
            job |= {"arpa": str(work.arpa), "lexicon": work.lexicon}
            job |= {"open_vocabulary": work.open_vocabulary}
        python = Path(sys.executable) if is_ours else python_of(self.peers)
        answer = run_worker(python, HERE / "decoding_worker.py", job, name=who.name, threads=1)
        answer["seconds"] = statistics.median(answer["seconds"])
        return Outcome(**answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="their environment's folder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two utterances once: does it all run")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    args = parser.parse_args()

    prepare_peers(args.peers, requirements=REQUIREMENTS, modules=MODULES)
    print(f"# {platform.machine()}, Python {platform.python_version()}, one thread, ", end="")
    print("one pass" if args.quick else f"median of {args.repeats} passes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        repeats = 1 if args.quick else args.repeats
        bench = Bench(args.peers, Path(folder), repeats, args.quick)
        for name in args.only:
            for line in WORKLOADS[name](bench):
                print(line, flush=True)


def compare_on_labels(bench: Bench) -> Iterator[str]:
    """No language model, 28 labels."""
    work = make_labels_work(
        bench.folder / "labels", num_symbols=29, num_utterances=2 if bench.quick else 16
    )
    exact = bench.run(work, PREFIX_SEARCH)
    yield "\n## No language model, V=29, T=500, peaky\n"
    for beam in (16, 64, 128):
        contestants = [
            *ours(beam, thresholds=(0.0, 1e-6, 1e-3)),
            Contestant(
                "fast-ctc-decode, 1e-3", "fast-ctc-decode", {"beam": beam, "threshold": 1e-3}
            ),
            Contestant("pyctcdecode", "pyctcdecode", {"beam": beam}),
            Contestant("flashlight-text", "flashlight-text", {"beam": beam}),
        ]
        outcomes = {who: bench.run(work, who) for who in contestants}
        yield f"beam {beam}\n"
        yield from table(work, {**outcomes, PREFIX_SEARCH: exact})
        yield ""


def compare_on_wide(bench: Bench) -> Iterator[str]:
    """No language model, 1,023 labels; fast-ctc-decode takes no threshold of 1/V or more."""
    work = make_labels_work(
        bench.folder / "wide", num_symbols=1024, num_utterances=2 if bench.quick else 8
    )
    contestants = [
        *ours(64, thresholds=(0.0, 1e-6)),
        Contestant("fast-ctc-decode, 9e-4", "fast-ctc-decode", {"beam": 64, "threshold": 9e-4}),
        Contestant("pyctcdecode", "pyctcdecode", {"beam": 64}),
        Contestant("flashlight-text", "flashlight-text", {"beam": 64}),
        Contestant("flashlight-text, 32 tokens", "flashlight-text", {"beam": 64, "tokens": 32}),
        PREFIX_SEARCH,
    ]
    yield "\n## No language model, V=1024, T=500, peaky, beam 64\n"
    yield from table(work, {who: bench.run(work, who) for who in contestants})


def compare_on_words(bench: Bench) -> Iterator[str]:
    """A word 3-gram and a closed lexicon."""
    work = make_words_work(bench.folder / "words", num_utterances=2 if bench.quick else 50)
    yield "\n## Word 3-gram and lexicon of 2,000 words, V=29, beam 64\n"
    yield from table(work, {who: bench.run(work, who) for who in with_language_model()})


def compare_on_open_vocabulary(bench: Bench) -> Iterator[str]:
    """A word 3-gram, and words that it does not know; flashlight-text cannot write them."""
    work = make_words_work(
        bench.folder / "open", num_utterances=2 if bench.quick else 50, unknown_share=0.06
    )
    yield "\n## Word 3-gram, 6 % of the words unknown, V=29, beam 64\n"
    yield from table(work, {who: bench.run(work, who) for who in with_language_model()})


def compare_threads(bench: Bench) -> Iterator[str]:
    """A batch with two workers against the same with one."""
    work = make_labels_work(
        bench.folder / "threads", num_symbols=29, num_utterances=2 if bench.quick else 32
    )
    (who,) = ours(64, thresholds=(1e-6,))
    one, two = (bench.run(work, who, workers=workers) for workers in (1, 2))
    yield "\n## Threads: V=29, beam 64\n"
    yield "| decoder | one thread, utterances/s | two threads | two / one |"
    yield "| --- | ---: | ---: | ---: |"
    yield f"| {who.name} | {one.speed:,.1f} | {two.speed:,.1f} | {two.speed / one.speed:.2f} |"


def count_proofs(bench: Bench) -> Iterator[str]:
    """How many of our results are proven to be the best there is, by their certificates."""
    count = 2 if bench.quick else 200
    work = make_labels_work(bench.folder / "proofs", num_symbols=29, num_utterances=count)
    items = np.load(work.log_probs)
    yield "\n## Certificates: V=29, T=500, peaky\n"
    yield "| beam | utterances | proven | utterances/s |"
    yield "| ---: | ---: | ---: | ---: |"
    for beam in (16, 64):
        decoder = PrefixBeamDecoder(work.labels, beam=beam, nbest=1, confidence=False, certify=True)
        started = time.perf_counter()
        proven = sum(bool(decoder(item)[0].is_proven) for item in items)
        speed = count / (time.perf_counter() - started)
        yield f"| {beam} | {count} | {proven} ({proven / count:.1%}) | {speed:,.1f} |"


WORKLOADS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "labels": compare_on_labels,
    "wide": compare_on_wide,
    "words": compare_on_words,
    "open": compare_on_open_vocabulary,
    "threads": compare_threads,
    "proofs": count_proofs,
}


def ours(beam: int, *, thresholds: Sequence[float], **settings: float) -> list[Contestant]:
    """Return our decoder at several thresholds."""
    return [
        Contestant(
            f"ctcasr, {threshold:g}" if threshold else "ctcasr, exact",
            "ctcasr",
            {"beam": beam, "threshold": threshold, **settings},
        )
        for threshold in thresholds
    ]


def with_language_model() -> list[Contestant]:
    """Return who can read a word 3-gram."""
    return [
        *ours(64, thresholds=(0.0, 1e-6), **LM_WEIGHTS),
        Contestant("pyctcdecode", "pyctcdecode", {"beam": 64, **LM_WEIGHTS}),
        Contestant("flashlight-text", "flashlight-text", {"beam": 64, **LM_WEIGHTS}),
    ]


def table(work: Work, outcomes: dict[Contestant, Outcome]) -> Iterator[str]:
    """Return the rows of a Markdown table: speed, our speeds as ratios to it, error, memory."""
    our_speeds = {who.name: done.speed for who, done in outcomes.items() if who.decoder == "ctcasr"}
    error, unit = ("WER", "%") if work.references else ("gap", "nats")
    columns = ["utterances/s", *(f"{name} / it" for name in our_speeds), f"{error}, {unit}"]
    columns += ["peak MiB", "of it before decoding"]
    yield f"| decoder | {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    errors = word_error_rates(work, outcomes) if work.references else gaps(work, outcomes)
    for who, done in outcomes.items():
        ratios = (f"{speed / done.speed:,.2f}" for speed in our_speeds.values())
        memory = (f"{size / 2**20:,.0f}" for size in (done.memory, done.memory_before))
        cells = [f"{done.speed:,.1f}", *ratios, errors[who], *memory]
        yield f"| {who.name} | {' | '.join(cells)} |"


def word_error_rates(work: Work, outcomes: dict[Contestant, Outcome]) -> dict[Contestant, str]:
    """Return the word error rate of each, in per cent."""
    assert work.references is not None
    rates = {}
    for who, done in outcomes.items():
        pairs = zip(work.references, done.texts, strict=True)
        counts = sum(
            (count_errors(said.split(), read.split()) for said, read in pairs), ErrorCounts()
        )
        rates[who] = f"{100 * (counts.rate or 0.0):.2f}"
    return rates


def gaps(work: Work, outcomes: dict[Contestant, Outcome]) -> dict[Contestant, str]:
    """Return by how many nats each falls short of the best that anyone found, on average."""
    columns = {label: column for column, label in enumerate(work.labels)}
    log_probs = torch.from_numpy(np.load(work.log_probs)).double()
    scores = {
        who: np.array(
            [
                ctc_log_prob(item[:length], [columns[label] for label in text])
                for item, length, text in zip(log_probs, work.lengths, done.texts, strict=True)
            ]
        )
        for who, done in outcomes.items()
    }
    best = np.max(list(scores.values()), axis=0)
    return {who: f"{(best - score).mean():.4f}" for who, score in scores.items()}


def ctc_log_prob(log_probs: torch.Tensor, labels: Sequence[int]) -> float:
    """Return ln p(labels): the judge of every decoder's output."""
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None],
        torch.tensor([labels], dtype=torch.long).reshape(1, len(labels)),
        torch.tensor([len(log_probs)]),
        torch.tensor([len(labels)]),
        reduction="none",
    )
    return -float(loss.item())


if __name__ == "__main__":
    main()
