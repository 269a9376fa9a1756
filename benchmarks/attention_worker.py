"""Search for one contestant of bench_attention: a job in, seconds and lengths of texts out.

Both are JSON. Runs in ctcasr's environment or in the peers'; each contestant is imported where it
searches.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Job = dict[str, Any]
Search = Callable[[Tensor, Tensor], list[int]]
"""(B, T, F) frames and (B, T, V) logits of CTC -> how many labels each text has."""


def main() -> None:
    job = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr), torch.inference_mode():  # a peer may be talkative
        torch.manual_seed(job["seed"])
        frames = torch.randn(job["utterances"], job["frames"], job["encoder"])
        output = nn.Linear(job["encoder"], job["symbols"])
        search = {"ctcasr": of_ctcasr, "speechbrain": of_speechbrain}[job["contestant"]](
            job, output
        )
        batches = [(part, output(part)) for part in torch.split(frames, job["batch"])]
        seconds = []
        for _ in range(1 + job["repeats"]):  # the first one warms up
            started = time.perf_counter()
            lengths = [count for part, logits in batches for count in search(part, logits)]
            seconds.append(time.perf_counter() - started)
    json.dump({"seconds": min(seconds[1:]), "lengths": lengths}, sys.stdout)


def of_ctcasr(job: Job, output: nn.Linear) -> Search:
    """Return our search for the job's mode."""
    from ctcasr.decoding import PrefixBeamDecoder, best_path
    from ctcasr.decoding.attention_search import BeamRules, search_with_attention
    from ctcasr.decoding.ctc_prefix_score import CtcPrefixScorer
    from ctcasr.models.attention import AttentionDecoder, AttentionHeadConfig, AttentionSteps

    labels = ["_", *(chr(0x4E00 + number) for number in range(1, job["symbols"]))]
    if job["mode"] == "best path":
        return lambda _, logits: [
            len(best_path(one, labels).labels) for one in logits.log_softmax(-1).numpy()
        ]
    if job["mode"] == "prefix beam":
        decoder = PrefixBeamDecoder(labels, beam=job["beam"], nbest=1, confidence=False)
        return lambda _, logits: [
            len(found[0].labels)
            for found in decoder(logits.log_softmax(-1), [job["frames"]] * len(logits))
        ]
    config = AttentionHeadConfig(
        weight=1,
        size=job["attention"],
        hidden=job["hidden"],
        embedding=job["embedding"],
        channels=job["channels"],
        reach=job["reach"],
        dropout=0,
    )
    network = AttentionDecoder(
        config, input_size=job["encoder"], num_labels=job["symbols"], blank=0
    ).eval()
    network.output.bias[-1] = -1e4  # no text ends before it must
    is_joint = job["mode"] == "joint"
    rules = BeamRules(
        blank=0,
        beam=job["beam"],
        threshold=0.0,
        ctc_weight=job["ctc_weight"] if is_joint else 0.0,
    )

    def search(frames: Tensor, logits: Tensor) -> list[int]:
        items = list(logits.log_softmax(-1).numpy())
        found = search_with_attention(
            AttentionSteps(network, list(frames)),
            rules,
            longest=[job["labels"]] * len(frames),
            ctc=CtcPrefixScorer(items, blank=0) if is_joint else None,
        )
        return [len(texts[0].labels) for texts in found]

    return search


def of_speechbrain(job: Job, output: nn.Linear) -> Search:
    """Return SpeechBrain's search for the job's mode."""
    from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder
    from speechbrain.decoders.seq2seq import S2SRNNBeamSearcher
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.RNN import AttentionalRNNDecoder

    symbols = job["symbols"]
    decoder = AttentionalRNNDecoder(
        rnn_type="lstm",
        attn_type="location",
        hidden_size=job["hidden"],
        attn_dim=job["attention"],
        num_layers=1,
        enc_dim=job["encoder"],
        input_size=job["embedding"],
        channels=job["channels"],
        kernel_size=2 * job["reach"] + 1,
    )
    scorer = None
    if job["mode"] == "joint":
        heard = Linear(n_neurons=symbols, input_size=job["encoder"])
        heard.w = output
        by_ctc = CTCScorer(ctc_fc=heard, blank_index=0, eos_index=symbols - 1)
        scorer = ScorerBuilder(full_scorers=[by_ctc], weights={"ctc": job["ctc_weight"]})
    share = (job["labels"] + 1.5) / job["frames"]  # the end is a step too
    searcher = S2SRNNBeamSearcher(
        embedding=nn.Embedding(symbols, job["embedding"]),
        decoder=decoder,
        linear=Linear(n_neurons=symbols, input_size=job["hidden"]),
        bos_index=symbols - 2,
        eos_index=symbols - 1,
        min_decode_ratio=share,
        max_decode_ratio=share,
        beam_size=job["beam"],
        scorer=scorer,
        using_eos_threshold=False,
        length_normalization=False,
    ).eval()

    def search(frames: Tensor, logits: Tensor) -> list[int]:
        hypotheses, *_ = searcher(frames, torch.ones(len(frames)))
        return [len(one) for one in hypotheses]

    return search


if __name__ == "__main__":
    main()
