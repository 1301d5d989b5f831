"""Dense layers with dropout and layer normalisation, which bear many updates a step (DroQ, Hiraoka et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.trunks.layers import layer_norm, linear


class Dropped(nn.Module):
    """Dense layers whose sums pass dropout, layer normalisation and the activation, in this order."""

    def __init__(self, in_dim: int, hidden_sizes: tuple[int, ...], activation: str, num: int = 0) -> None:
        super().__init__()
        sizes = (in_dim, *hidden_sizes)
        self.layers = nn.ModuleList(linear(num, a, b) for a, b in zip(sizes, hidden_sizes, strict=False))
        self.norms = nn.ModuleList(layer_norm(num, size) for size in hidden_sizes)
        self.sizes, self.num = hidden_sizes, num
        self.activation, self.out_dim = get_activation(activation), sizes[-1]

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """`kept` [..., B, units] says what each sum is multiplied by; None: nothing is dropped."""
        parts = [None] * len(self.sizes) if kept is None else kept.split(self.sizes, dim=-1)
        for layer, norm, part in zip(self.layers, self.norms, parts, strict=True):
            x = layer(x)
            x = self.activation(norm(x if part is None else x * part))
        return x

    def draw(self, rate: float, passes: int, rows: int, generator: torch.Generator) -> Tensor:
        """What units of an ensemble are multiplied by, [passes, num, rows, units]: 0 with a chance of `rate`."""
        shape = (passes, self.num, rows, sum(self.sizes))
        kept = torch.empty(shape, device=generator.device).bernoulli_(1.0 - rate, generator=generator)
        return kept.mul_(1.0 / (1.0 - rate))
