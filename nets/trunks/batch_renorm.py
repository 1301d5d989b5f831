"""Batch renormalisation (Ioffe 2017): batches by their own statistics, drawn towards those of all batches so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from agent_gym.nets.ranks import RANKS

MOMENTUM = 0.01  # share of a batch in the running statistics
EPS = 1e-3  # added to variances
R_MAX, D_MAX = 3.0, 5.0  # how far the running statistics may correct a batch's deviation and mean
WARM_UP = 100_000  # batches that are normalised by themselves alone


class BatchRenorm(nn.Module):
    """Inputs with mean 0 and deviation 1 in each column, then scaled and shifted as learned.

    [num, B, dim] -> the same for `num` networks, [..., dim] -> the same for one. By the running statistics, which stay
    as they are, but within `BatchStatistics.gathered`. Agrees with sb3-contrib's BatchRenorm1d.
    """

    def __init__(self, dim: int, num: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num, 1, dim))
        self.bias = nn.Parameter(torch.zeros(num, 1, dim))
        self.register_buffer("mean", torch.zeros(num, 1, dim))
        self.register_buffer("var", torch.ones(num, 1, dim))
        self.register_buffer("batches", torch.zeros(()))
        self.note: Callable[[Tensor], None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        rows = x.float() if len(self.weight) > 1 else x.float().reshape(1, -1, x.shape[-1])
        count = len(rows)
        weight, bias, mean, var = (part[:count] for part in (self.weight, self.bias, self.mean, self.var))
        if self.note is None:
            result = torch.addcmul(bias, rows - mean, weight * (var + EPS).rsqrt())
        else:
            result, found = _Renormalise.apply(rows, weight, bias, mean, var, self.batches)
            self.note(found)
        return result.view(x.shape)


class BatchStatistics:
    """The batch renormalisations of a network, if it has any."""

    def __init__(self, network: nn.Module) -> None:
        self.layers = [layer for layer in network.modules() if isinstance(layer, BatchRenorm)]

    @contextmanager
    def gathered(self) -> Iterator[dict[str, Tensor]]:
        """Within it the network normalises by its batch, whose statistics [2, num, 1, dim] are added to the dict."""
        found: dict[str, Tensor] = {}
        for i, layer in enumerate(self.layers):
            layer.note = partial(found.__setitem__, f"moments/{i}")
        try:
            yield found
        finally:
            for layer in self.layers:
                layer.note = None

    @torch.no_grad()
    def absorb(self, stats: dict[str, Tensor]) -> None:
        """Take out of `stats` what a batch has shown, and let the running statistics go towards it."""
        if not self.layers:
            return
        found = [RANKS.union(*stats.pop(f"moments/{i}").unbind(0)) for i in range(len(self.layers))]
        running = [part for layer in self.layers for part in (layer.mean, layer.var)]
        torch._foreach_lerp_(running, [part for pair in found for part in pair], MOMENTUM)
        torch._foreach_add_([layer.batches for layer in self.layers], 1.0)


class _Renormalise(torch.autograd.Function):
    """((x - μ + d s / r) q) weight + bias, with q = (v / r² + EPS)^-½ and the batch's μ and variance v = s².

    r = s / s_running and d = (μ - μ_running) / s_running, clipped, count as constants (equation 1 of the paper; where
    EPS stands is sb3-contrib's choice). Written out, since torch's variance over rows takes 50 times as long as a sum
    and autograd passes over the rows three times as often.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, batches):
        """x [num, B, dim]; returns the same and the batch's mean and variance [2, num, 1, dim]."""
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        var = centred.square().sum(1, keepdim=True) / (x.shape[1] - 1)
        std, warm = (running_var + EPS).sqrt(), batches <= WARM_UP
        r = torch.where(warm, 1.0, ((var + EPS).sqrt() / std).clamp(1.0 / R_MAX, R_MAX))
        d = torch.where(warm, 0.0, ((mean - running_mean) / std).clamp(-D_MAX, D_MAX))
        s, q = var.sqrt(), (var / r.square() + EPS).rsqrt()
        offset = d * s / r
        ctx.save_for_backward(centred, weight, q, r, d, s, offset)
        found = torch.stack((mean, var))
        ctx.mark_non_differentiable(found)
        return torch.addcmul(bias + weight * q * offset, centred, weight * q), found

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        centred, weight, q, r, d, s, offset = ctx.saved_tensors
        rows = centred.shape[1]
        d_bias = grad.sum(1, keepdim=True)
        along = (grad * centred).sum(1, keepdim=True)
        d_weight = q * (along + offset * d_bias)
        total = weight * d_bias
        # What the loss changes with the variance; a column without any has no deviation to divide by.
        by_var = d * q * total / (2.0 * s.clamp(min=1e-12) * r)
        by_var = by_var - 0.5 * q.pow(3) / r.square() * (weight * along + offset * total)
        d_x = torch.addcmul(-q * total / rows, centred, 2.0 / (rows - 1) * by_var)
        return d_x.addcmul(grad, q * weight), d_weight, d_bias, None, None, None
