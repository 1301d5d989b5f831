"""Loss and gradients of dense layers written out, for steps so small that autograd costs more than the arithmetic.

On iris a step by autograd takes 0.4 ms, as one traced graph 0.15 ms, and the graph costs a second to trace; written out
it takes 0.1 ms from the first step on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.nets.layers.activations import get_activation

aten = torch.ops.aten
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # gradient after an activation and its result -> before it
    "relu": lambda grad, result: aten.threshold_backward.default(grad, result, 0.0),
    "tanh": lambda grad, result: aten.tanh_backward.default(grad, result),
    "sigmoid": lambda grad, result: aten.sigmoid_backward.default(grad, result),
    "leaky_relu": lambda grad, result: aten.leaky_relu_backward.default(grad, result, 0.01, True),
}


def _mse(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    error = outputs - target
    return error.square().mean(), error * (2.0 / error.numel())


def _binary_crossentropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    slope = logits.sigmoid().sub_(target).mul_(1.0 / logits.numel())
    return F.binary_cross_entropy_with_logits(logits, target), slope


def _sparse_categorical_crossentropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    log_p, every, mean, none = logits.log_softmax(-1), None, 1, -100  # weights, reduction, class to leave out
    loss, weight = aten.nll_loss_forward.default(log_p, target, every, mean, none)
    slope = aten.nll_loss_backward.default(loss.new_ones(()), log_p, target, every, mean, none, weight)
    return loss, aten._log_softmax_backward_data.default(slope, log_p, -1, log_p.dtype)


LOSSES = {  # outputs [B, n] and target -> the loss of nets.losses [] and its slope [B, n]
    "mse": _mse,
    "binary_crossentropy": _binary_crossentropy,
    "sparse_categorical_crossentropy": _sparse_categorical_crossentropy,
}


class DenseGradients:
    """The loss of dense layers on a batch x [B, n], y, with the gradients written to the parameters' `.grad`.

    `layers`: linear layers and the names of the activations after them ("": none); `stats(outputs, y)` is what else is
    told of a batch. The gradients are autograd's but for rounding.
    """

    def __init__(
        self, layers: list[tuple[nn.Linear, str]], loss: str, stats: Callable[[Tensor, Tensor], dict[str, Tensor]]
    ) -> None:
        self.layers = [
            (layer.weight, layer.bias, name and get_activation(name), SLOPES.get(name)) for layer, name in layers
        ]
        self.loss, self.stats = LOSSES[loss], stats

    @staticmethod
    def fits(layers: list[tuple[nn.Linear, str]] | None, loss: str) -> bool:
        """Whether these layers (None: a network of another kind) and this loss are written out here."""
        if not layers or loss not in LOSSES:
            return False
        learned = all(p.requires_grad for layer, _ in layers for p in layer.parameters())
        return learned and all(not name or name in SLOPES for _, name in layers)

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss [] and the stats."""
        inputs = []
        for weight, bias, activation, _ in self.layers:
            inputs.append(x)
            x = F.linear(x, weight, bias)
            x = activation(x) if activation else x
        loss, slope = self.loss(x, y)
        stats, after = self.stats(x, y), x
        for (weight, bias, _, back), before in zip(reversed(self.layers), reversed(inputs), strict=True):
            if back is not None:
                slope = back(slope, after)
            torch.mm(slope.t(), before, out=weight.grad)
            torch.sum(slope, 0, out=bias.grad)
            if before is not inputs[0]:
                slope = slope @ weight
            after = before
        return loss, stats
