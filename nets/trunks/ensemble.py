"""Several networks of equal shape on any trunk, evaluated as one."""

from __future__ import annotations

from torch import Tensor, nn

from agent_gym.nets.layers.ensemble import BatchedLinear
from agent_gym.nets.precision import precisely
from agent_gym.nets.trunks import TRUNKS


class EnsembleTrunk(nn.Module):
    """`num` networks on the same inputs: [B, in_dim] -> [num, B, out_dim]."""

    def __init__(
        self, trunk: str, num: int, in_dim: int, hidden_sizes: tuple[int, ...], out_dim: int, activation: str
    ) -> None:
        super().__init__()
        self.num = num
        self.hidden = TRUNKS[trunk](in_dim, hidden_sizes, activation, num)
        self.out = BatchedLinear(num, self.hidden.out_dim, out_dim)

    def forward(self, x: Tensor, first: int | None = None, **how: Tensor) -> Tensor:
        """`first`: only so many of the networks; `how`: what the trunk takes beside x."""
        return precisely(self.out, self.hidden(x.expand(first or self.num, *x.shape), **how))
