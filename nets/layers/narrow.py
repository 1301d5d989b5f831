"""Linear layers where torch's own are slow on a CPU: on few inputs, and of many networks at once under vmap."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C import _functorch
from torch.autograd.function import once_differentiable

from agent_gym.nets.beneath import applied

# The gradient [out, in] of 8,192 rows of 64 units on 4 inputs takes 625 µs as d_y^T x and 90 as (x^T d_y)^T; on 24
# inputs a quarter less, on 32 nothing. Below so many numbers a call of ours costs more than it gains.
INPUTS = range(2, 25)
ENOUGH = 16_384


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [..., in] -> [..., out], as torch.nn.functional.linear."""
    if _functorch.is_batchedtensor(weight):
        return _of_many(x, weight, bias)
    if x.shape[-1] in INPUTS and x.device.type == "cpu" and torch.is_grad_enabled() and x.dtype == weight.dtype:
        rows = x.numel() // x.shape[-1]
        if rows * len(weight) >= ENOUGH and not torch.compiler.is_exporting() and not torch.is_autocast_enabled("cpu"):
            return _Narrow.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def _of_many(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Under vmap, S layers on rows of their own as one product: torch's rule takes several operations, and at 512 rows
    of 32 units three times as long."""
    level = _functorch.maybe_get_level(weight)
    parts = (x, weight, bias)
    if any(_functorch.maybe_get_level(part) != level or _functorch.maybe_get_bdim(part) != 0 for part in parts):
        return F.linear(*parts)
    x, weight, bias = map(_functorch.get_unwrapped, parts)
    rows = x.flatten(1, -2)
    if torch.is_grad_enabled() and weight.requires_grad:
        y = applied(_Products, rows, weight, bias)
        if y is None:
            return F.linear(*parts)
    else:
        y = torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
    return _functorch._add_batch_dim(y.view(*x.shape[:-1], -1), 0, level)


class _Products(torch.autograd.Function):
    """x [S, n, in], weight [S, out, in], bias [S, out] -> [S, n, out]."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        d_x = torch.bmm(d_y, weight) if ctx.needs_input_grad[0] else None
        few = weight.shape[1] < INPUTS.stop  # 16 x 512 rows, 32 units and 2: 48 µs in this order, 300 in the other
        d_weight = torch.bmm(d_y.mT, x) if few else torch.bmm(x.mT, d_y).mT
        return d_x, d_weight, d_y.sum(1)


class Linear(nn.Linear):
    """nn.Linear, which under vmap is one product too."""

    def forward(self, x: Tensor) -> Tensor:
        many = _functorch.is_batchedtensor(self.weight)
        return (_of_many if many else F.linear)(x, self.weight, self.bias)


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
