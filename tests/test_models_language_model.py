"""The recurrent language model's network: probabilities, states, and sentences by themselves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ctcasr.models.language_model as module
from ctcasr.models.language_model import (
    LanguageModelNetwork,
    LmNetworkConfig,
    LmState,
    sentence_log_probs,
)

END, NUM_TOKENS = 0, 5
sentences = st.lists(st.lists(st.integers(1, NUM_TOKENS - 1), max_size=7), min_size=1, max_size=6)


def make_network(*, layers=2, dropout=0.0):
    torch.manual_seed(3)
    config = LmNetworkConfig(embedding=3, hidden=4, layers=layers, dropout=dropout)
    network = LanguageModelNetwork(config, num_tokens=NUM_TOKENS).double().eval()
    for parameter in network.parameters():  # far from even, so that every part matters
        torch.nn.init.uniform_(parameter, -1.5, 1.5)
    return network


NETWORK = make_network()


def lstm_step(network, layer, x, h, c):
    """One step of one layer, by the equations of Hochreiter and Schmidhuber with a forget gate."""
    weights = {name: p.detach().numpy() for name, p in network.lstm.named_parameters()}
    gates = (
        weights[f"weight_ih_l{layer}"] @ x
        + weights[f"bias_ih_l{layer}"]
        + weights[f"weight_hh_l{layer}"] @ h
        + weights[f"bias_hh_l{layer}"]
    )
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_probs_step_by_step(network, sentence):
    """ln p of each token and of the end: the definition, a token at a time, in NumPy."""
    embedding = network.embedding.weight.detach().numpy()
    output, bias = (p.detach().numpy() for p in (network.output.weight, network.output.bias))
    states = [(np.zeros(4), np.zeros(4)) for _ in range(network.lstm.num_layers)]
    found, before = [], END
    for token in (*sentence, END):
        x = embedding[before]
        for layer, (h, c) in enumerate(states):
            states[layer] = lstm_step(network, layer, x, h, c)
            x = states[layer][0]
        logits = output @ x + bias
        found.append(logits[token] - np.logaddexp.reduce(logits))
        before = token
    return np.array(found)


@given(batch=sentences)
def test_a_batch_gives_what_each_sentence_gives_step_by_step(batch):
    found = sentence_log_probs(NETWORK, batch, end=END)

    for sentence, log_probs in zip(batch, found, strict=True):
        np.testing.assert_allclose(
            log_probs, log_probs_step_by_step(NETWORK, sentence), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("largest", [1, NUM_TOKENS, 4 * NUM_TOKENS, 30 * NUM_TOKENS])
def test_bounded_memory_changes_nothing(monkeypatch, largest):
    batch = [[1, 2, 3, 4, 1, 2], [], [4], [3, 3, 1], [2] * 17]
    whole = sentence_log_probs(NETWORK, batch, end=END)

    monkeypatch.setattr(module, "_LARGEST_LOGITS", largest)

    for one, other in zip(whole, sentence_log_probs(NETWORK, batch, end=END), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_probabilities_sum_to_one_over_the_vocabulary():
    logits, _ = NETWORK(torch.tensor([[0, 1, 2], [4, 4, 0]]))

    sums = logits.softmax(-1).sum(-1)
    torch.testing.assert_close(sums, torch.ones(2, 3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_all_sentences_together_have_a_probability_of_one():
    # Sentences of up to n tokens, and the beginnings of longer ones: a tree with leaves of mass 1.
    longest = 3
    shorter = [list(np.ndindex(*[NUM_TOKENS - 1] * n)) for n in range(longest + 1)]
    ended = [[token + 1 for token in sentence] for level in shorter for sentence in level]
    found = sentence_log_probs(NETWORK, ended, end=END)
    mass = math.fsum(math.exp(row.sum()) for row in found)
    open_mass = math.fsum(
        math.exp(row[:-1].sum()) * -math.expm1(row[-1]) for row in found if len(row) == longest + 1
    )
    assert mass + open_mass == pytest.approx(1, abs=1e-12)


@given(cuts=st.lists(st.integers(1, 9), max_size=4))
def test_a_text_may_be_read_in_pieces(cuts):
    tokens = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 1, 2, 0], [3, 2, 1, 0, 0, 4, 4, 2, 1, 3]])
    whole, whole_state = NETWORK(tokens)

    pieces = []
    state: LmState | None = None
    for piece in torch.tensor_split(tokens, sorted(set(cuts)), dim=1):
        logits, state = NETWORK(piece, state)
        pieces.append(logits)

    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-12)
    assert state is not None
    for one, other in zip(state, whole_state, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_dropout_is_for_training_only():
    network = make_network(dropout=0.5)
    tokens = torch.tensor([[0, 1, 2]])
    assert torch.equal(network(tokens)[0], network(tokens)[0])
    network.train()
    assert not torch.equal(network(tokens)[0], network(tokens)[0])
