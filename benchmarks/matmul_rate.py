"""How near a step comes to the machine's limit: the work in its matrix products, and their speed.

Only the LSTMs' products are counted; what else a step does is small beside them, and counts as time
lost. The limit is what one large matrix product reaches in the same number format on the same
threads, measured, not what the maker promises.
"""

from collections.abc import Sequence

import torch

from benchmarks.setting import seconds_of

_GATES = 4
_FLOPS_PER_WEIGHT = 2  # a multiplication and an addition


def lstm_stack_flops(
    *, num_frames: int, input_size: int, hidden_sizes: Sequence[int], training: bool
) -> int:
    """Return the operations in the matrix products of a stack of bidirectional LSTMs.

    Training adds two products for each one of the forward pass: the gradients of the weights and of
    what came in. The first layer's input is data and needs none.

    Args:
        num_frames: T', summed over the utterances.
        input_size: values in a frame of the first layer's input.
        hidden_sizes: H, units per direction, of each layer.
        training: forward and backward pass, not forward only.
    """
    forward = first_input = 0
    size = input_size
    for hidden in hidden_sizes:
        forward += 2 * _GATES * hidden * (size + hidden)  # weights of both directions
        first_input = first_input or 2 * _GATES * hidden * size
        size = 2 * hidden
    weights_used = 3 * forward - first_input if training else forward
    return _FLOPS_PER_WEIGHT * weights_used * num_frames


def matmul_rate(device: torch.device, dtype: torch.dtype, *, size: int, repeats: int = 5) -> float:
    """Return the operations per second of one `size` x `size` matrix product, the best of several.

    It must be large enough that starting it costs nothing: 4,096 on a CPU, 8,192 on a GPU.
    """
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    with torch.inference_mode():
        seconds = seconds_of(lambda: left @ right, repeats)
    return _FLOPS_PER_WEIGHT * size**3 / seconds
