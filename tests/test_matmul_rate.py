"""The count of a training step's matrix products, held against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.matmul_rate import lstm_stack_flops

BATCH, FRAMES, FEATURES = 3, 7, 5


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_lstm_stack_flops_are_those_that_torch_counts(layers, training):
    hidden = 4
    stack = nn.LSTM(FEATURES, hidden, layers, batch_first=True, bidirectional=True)
    stack.double()  # float64 has no fused kernel, so each product is seen
    features = torch.randn(BATCH, FRAMES, FEATURES, dtype=torch.float64)
    # A start state that wants a gradient: else the first frame's product would have none.
    start = tuple(
        torch.zeros(2 * layers, BATCH, hidden, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )

    with FlopCounterMode(display=False) as counter:
        output, _ = stack(features, start)
        if training:
            output.sum().backward()

    assert counter.get_total_flops() == lstm_stack_flops(
        num_frames=BATCH * FRAMES,
        input_size=FEATURES,
        hidden_sizes=[hidden] * layers,
        training=training,
    )
