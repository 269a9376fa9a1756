"""A matrix that step after step multiplies by: its gradient is one product over all steps.

Autograd would make a matrix of its size for every step and add them up, which for the decoder's
small batches costs more than the steps themselves.
"""

from typing import Any

import torch
from torch import Tensor

_Used = list[tuple[Tensor, Tensor]]
"""What each step has multiplied, and the gradient of the product: (N, I) and (N, O)."""


class StepMatrix:
    """A matrix for the steps of one forward pass.

    Args:
        weight: (O, I).
    """

    def __init__(self, weight: Tensor) -> None:
        self._used: _Used = []
        self._weight: Tensor = _Gathered.apply(weight, self._used)  # type: ignore[no-untyped-call]

    def __call__(self, values: Tensor) -> Tensor:
        """Return (N, O) of (N, I)."""
        product: Tensor = _Product.apply(values, self._weight, self._used)  # type: ignore[no-untyped-call]
        return product


class _Gathered(torch.autograd.Function):
    """The matrix itself; backwards, what all its products have left."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, used: _Used) -> Tensor:
        ctx.used = used
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        if not ctx.used:
            return None, None
        values, products = (torch.cat(column) for column in zip(*ctx.used, strict=True))
        ctx.used.clear()
        return products.T @ values, None


class _Product(torch.autograd.Function):
    """values @ weight.T; backwards, the matrix's share is left for the end."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, used: _Used) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.used = used
        return values @ weight.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        values, weight = ctx.saved_tensors
        (gradient,) = gradients
        if ctx.needs_input_grad[1]:
            ctx.used.append((values, gradient))
        return gradient @ weight, None, None
