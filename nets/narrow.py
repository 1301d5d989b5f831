"""Linear layers on few inputs: their weights' gradient in the order of factors that a CPU multiplies quickly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# The gradient [out, in] of 8,192 rows of 64 units on 4 inputs takes 625 µs as d_y^T x and 90 as (x^T d_y)^T; on 24
# inputs a quarter less, on 32 nothing. Below so many numbers a call of ours costs more than it gains.
INPUTS = range(2, 25)
ENOUGH = 16_384


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [..., in] -> [..., out], as torch.nn.functional.linear."""
    if x.shape[-1] in INPUTS and x.device.type == "cpu" and torch.is_grad_enabled() and x.dtype == weight.dtype:
        rows = x.numel() // x.shape[-1]
        if rows * len(weight) >= ENOUGH and not torch.compiler.is_exporting() and not torch.is_autocast_enabled("cpu"):
            return _Narrow.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        flat = d_y.flatten(0, -2)
        d_x = d_y @ weight if ctx.needs_input_grad[0] else None
        return d_x, (x.flatten(0, -2).t() @ flat).t(), flat.sum(0)
