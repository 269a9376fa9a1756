"""Run one decoder over prepared log-probabilities, and say how fast it was and what it read.

    python benchmarks/decoding_worker.py < JOB.json > ANSWER.json

`bench_decoding` starts it in an own process for each decoder: this package's in its environment,
the others in theirs. Nothing of ctcasr is imported unless the job asks for it. Each decoder gets
the log-probabilities in the form and type that it takes; making that is not counted.

A job: decoder, settings, labels (the first is blank), log_probs (path of a (B, T, V) float32
array), lengths, repeats; workers, for this package's batches: threads, or 0 for an item at a time,
as all others are called; and for a language model arpa and lexicon (words). The answer:
texts, seconds of each repeat, and the most bytes the process held, before decoding and after it.
"""

import itertools
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Decoder = Callable[[Array], str]
Job = dict[str, Any]

_LN_10 = 2.302585092994046


def main() -> None:
    job = json.load(sys.stdin)
    make, prepare = _DECODERS[job["decoder"]]
    padded = np.load(job["log_probs"])
    items = [prepare(item[:length]) for item, length in zip(padded, job["lengths"], strict=True)]
    before = peak_memory()
    decode_all = make_ctcasr_batch(job) if job["workers"] else one_by_one(make(job), items)
    texts = decode_all()  # also warms caches; not counted
    seconds = []
    for _ in range(job["repeats"]):
        started = time.perf_counter()
        decode_all()
        seconds.append(time.perf_counter() - started)
    answer = {"texts": texts, "seconds": seconds, "memory_before": before, "memory": peak_memory()}
    json.dump(answer, sys.stdout)


def one_by_one(decode: Decoder, items: list[Array]) -> Callable[[], list[str]]:
    return lambda: [decode(item) for item in items]


def peak_memory() -> int:
    """Return the most bytes that this process has held; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count what the parent held when it forked
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        return 1024 * int(peak)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def log_probs_as_they_are(item: Array) -> Array:
    return np.ascontiguousarray(item)


def probabilities(item: Array) -> Array:
    return np.exp(item)


def make_ctcasr(job: Job) -> Decoder:
    """Return our prefix beam search; every setting of the job is an argument of it."""
    from ctcasr.decoding import PrefixBeamDecoder

    settings = dict(job["settings"])
    if "arpa" in job:
        settings["lm"] = Path(job["arpa"])
    if "lexicon" in job and not job["open_vocabulary"]:
        settings["lexicon"] = job["lexicon"]
    decoder = PrefixBeamDecoder(job["labels"], nbest=1, confidence=False, **settings)
    return lambda item: decoder(item)[0].text


def make_ctcasr_batch(job: Job) -> Callable[[], list[str]]:
    """Return the same search over all items in one call, in the threads asked for."""
    from ctcasr.decoding import PrefixBeamDecoder

    settings = {**job["settings"], "workers": job["workers"]}
    decoder = PrefixBeamDecoder(job["labels"], nbest=1, confidence=False, **settings)
    log_probs = np.load(job["log_probs"])
    return lambda: [best.text for best, *_ in decoder(log_probs, job["lengths"])]


def make_prefix_search(job: Job) -> Decoder:
    from ctcasr.decoding import prefix_search

    return lambda item: prefix_search(item, job["labels"], **job["settings"]).hypothesis.text


def make_fast_ctc_decode(job: Job) -> Decoder:
    import fast_ctc_decode

    alphabet, beam, threshold = job["labels"], job["settings"]["beam"], job["settings"]["threshold"]

    def decode(item: Array) -> str:
        text: str = fast_ctc_decode.beam_search(
            item, alphabet, beam_size=beam, beam_cut_threshold=threshold
        )[0]
        return text

    return decode


def make_pyctcdecode(job: Job) -> Decoder:
    """Return pyctcdecode with its own pruning; words outside the lexicon cost its own penalty."""
    import pyctcdecode

    settings = job["settings"]
    with_lm = {}
    if "arpa" in job:
        with_lm = {
            "kenlm_model_path": job["arpa"],
            "unigrams": job["lexicon"],
            "alpha": settings["alpha"],
            "beta": settings["beta"],
        }
    decoder = pyctcdecode.build_ctcdecoder(["", *job["labels"][1:]], **with_lm)

    def decode(item: Array) -> str:
        text: str = decoder.decode(item, beam_width=settings["beam"])
        return text

    return decode


def make_flashlight(job: Job) -> Decoder:
    """Return flashlight-text as torchaudio sets it up, with paths of one text added (log_add)."""
    from flashlight.lib.text import decoder as flashlight

    settings, labels = job["settings"], job["labels"]
    common = {
        "beam_size": settings["beam"],
        "beam_size_token": settings.get("tokens", len(labels)),
        "beam_threshold": 50.0,
        "lm_weight": _LN_10 * settings.get("alpha", 0.0),  # KenLM's scores are in base 10
        "sil_score": 0.0,
        "log_add": True,
        "criterion_type": flashlight.CriterionType.CTC,
    }
    if "arpa" in job:
        return _flashlight_with_words(job, common)
    options = flashlight.LexiconFreeDecoderOptions(**common)
    decoder = flashlight.LexiconFreeDecoder(options, flashlight.ZeroLM(), 0, 0, [])

    def decode(item: Array) -> str:
        best = decoder.decode(item.ctypes.data, *item.shape)[0]
        collapsed = (token for token, _ in itertools.groupby(best.tokens))
        return "".join(labels[token] for token in collapsed if token > 0)

    return decode


def _flashlight_with_words(job: Job, common: dict[str, Any]) -> Decoder:
    from flashlight.lib.text import decoder as flashlight
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    columns = {label: column for column, label in enumerate(job["labels"])}
    words = Dictionary([*job["lexicon"], "<unk>"])
    lm = KenLM(job["arpa"], words)
    space = columns[" "]
    trie = flashlight.Trie(len(columns), space)
    start = lm.start(False)
    for word in job["lexicon"]:
        index = words.get_index(word)
        spelling = [*(columns[letter] for letter in word), space]
        trie.insert(spelling, index, lm.score(start, index)[1])
    trie.smear(flashlight.SmearingMode.MAX)
    options = flashlight.LexiconDecoderOptions(
        **common, word_score=job["settings"]["beta"], unk_score=-np.inf
    )
    unknown = words.get_index("<unk>")
    decoder = flashlight.LexiconDecoder(options, trie, lm, space, 0, unknown, [], False)

    def decode(item: Array) -> str:
        found = decoder.decode(item.ctypes.data, *item.shape)
        indices = [index for index in found[0].words if index >= 0] if found else []
        return " ".join(words.get_entry(index) for index in indices)

    return decode


_DECODERS: dict[str, tuple[Callable[[Job], Decoder], Callable[[Array], Array]]] = {
    "ctcasr": (make_ctcasr, log_probs_as_they_are),
    "prefix_search": (make_prefix_search, log_probs_as_they_are),
    "fast-ctc-decode": (make_fast_ctc_decode, probabilities),
    "pyctcdecode": (make_pyctcdecode, log_probs_as_they_are),
    "flashlight-text": (make_flashlight, log_probs_as_they_are),
}

if __name__ == "__main__":
    main()
