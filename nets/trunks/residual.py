"""Residual blocks with layer normalisation (SimBa, Lee et al. 2025)."""

from __future__ import annotations

from torch import Tensor, nn

from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.trunks.layers import layer_norm, linear

WIDER = 4  # times a block is wider inside


class Residual(nn.Module):
    """A linear layer, then blocks x + W₂ act(W₁ norm(x)), four times as wide inside, then a layer normalisation.

    `hidden_sizes`: a block for each, all of one width.
    """

    def __init__(self, in_dim: int, hidden_sizes: tuple[int, ...], activation: str, num: int = 0) -> None:
        super().__init__()
        size = hidden_sizes[0]
        self.first = linear(num, in_dim, size)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": layer_norm(num, size),
                    "wide": linear(num, size, WIDER * size),
                    "narrow": linear(num, WIDER * size, size),
                }
            )
            for _ in hidden_sizes
        )
        self.last = layer_norm(num, size)
        self.activation, self.out_dim = get_activation(activation), size

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block["narrow"](self.activation(block["wide"](block["norm"](x))))
        return self.last(x)
