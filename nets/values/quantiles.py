"""The return's distribution by quantiles at fixed levels (QR-DQN, Dabney et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from agent_gym.nets.losses import quantile_huber
from agent_gym.nets.values.means import Means


class Quantiles(Means):
    """k quantiles, at the levels (i + ½) / k."""

    many = True

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers = numbers

    def formed(self, out: Tensor) -> Tensor:
        return out.unflatten(-1, (-1, self.numbers))

    def mean(self, values: Tensor) -> Tensor:
        return values.mean(-1)

    def loss(
        self, chosen: Tensor, following: Tensor, reward: Tensor, discount: Tensor, level: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        target = reward.unsqueeze(-1) + discount.unsqueeze(-1) * following
        loss = quantile_huber(chosen, target.expand(*chosen.shape[:-1], target.shape[-1]), level)
        return loss, chosen.mean(-1), target.mean(-1)
