"""Dense layers with batch renormalisation, by which critics do without target networks (Bhatt et al. 2024)."""

from __future__ import annotations

from torch import Tensor, nn

from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.trunks.batch_renorm import BatchRenorm
from agent_gym.nets.trunks.layers import linear


class Renormalised(nn.Module):
    """Dense layers on renormalised inputs; what leaves the last one is renormalised too."""

    def __init__(self, in_dim: int, hidden_sizes: tuple[int, ...], activation: str, num: int = 0) -> None:
        super().__init__()
        sizes = (in_dim, *hidden_sizes)
        self.norms = nn.ModuleList(BatchRenorm(size, num or 1) for size in sizes)
        self.layers = nn.ModuleList(linear(num, a, b) for a, b in zip(sizes, hidden_sizes, strict=False))
        self.activation, self.out_dim = get_activation(activation), sizes[-1]

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.norms
        for norm, layer in zip(inner, self.layers, strict=True):
            x = self.activation(layer(norm(x)))
        return last(x)
