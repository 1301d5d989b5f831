"""The return's distribution as chances of fixed values (C51, Bellemare et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.nets.values.means import Means


class Atoms(Means):
    """Logits of k values, evenly spaced from `low` to `high`."""

    many = True

    def __init__(self, numbers: int, low: float, high: float) -> None:
        super().__init__()
        self.numbers, self.low, self.high = numbers, low, high
        self.register_buffer("support", torch.linspace(low, high, numbers), persistent=False)

    def formed(self, out: Tensor) -> Tensor:
        return out.unflatten(-1, (-1, self.numbers))

    def mean(self, values: Tensor) -> Tensor:
        return (values.softmax(-1) * self.support).sum(-1)

    def loss(
        self, chosen: Tensor, following: Tensor, reward: Tensor, discount: Tensor, level: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy to the projected target (algorithm 1)."""
        target = self.projected(following.softmax(-1), reward, discount)
        loss = -(target * chosen.log_softmax(-1)).sum(-1)
        return loss, self.mean(chosen), (target * self.support).sum(-1)

    def projected(self, probs: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Chances [..., k] of reward + discount × support, shared between the two nearest values of the support."""
        moved = (reward.unsqueeze(-1) + discount.unsqueeze(-1) * self.support).clamp(self.low, self.high)
        place = (moved - self.low) * ((self.numbers - 1) / (self.high - self.low))
        index = torch.arange(self.numbers, dtype=place.dtype, device=place.device)
        near = (1.0 - (place.unsqueeze(-2) - index.unsqueeze(-1)).abs()).clamp(min=0.0)  # [..., to, from]
        return (near * probs.unsqueeze(-2)).sum(-1)
