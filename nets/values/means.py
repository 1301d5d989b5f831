"""The mean of the return, and what every form of a value has in common."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

TD_LOSSES = {"huber": F.smooth_l1_loss, "mse": F.mse_loss}


class Means(nn.Module):
    """One number a value: Q itself. Values are [...], those of other forms [..., k]."""

    numbers = 1
    """Outputs of the network for each value."""
    many = False
    """Whether values have k numbers."""

    def __init__(self, td_loss: str = "huber") -> None:
        super().__init__()
        self.td_loss = td_loss

    def lifted(self, features: Tensor, level: Tensor | None) -> Tensor:
        """Features [T, B, F] as the last layer takes them, [T, B, ..., F]."""
        return features

    def formed(self, out: Tensor) -> Tensor:
        """Outputs [T, B, ..., rows * numbers] of the last layer as values, [T, B, rows] or [T, B, rows, k]."""
        return out

    def mean(self, values: Tensor) -> Tensor:
        """Q [...] of values."""
        return values

    def loss(
        self, chosen: Tensor, following: Tensor, reward: Tensor, discount: Tensor, level: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss [...] of the values `chosen` to reward + discount × `following`, Q and its target, each [...].

        reward and discount [...] may have 1 where `chosen` has more; no gradient goes through the target.
        """
        target = reward + discount * following
        return TD_LOSSES[self.td_loss](chosen, target.expand_as(chosen), reduction="none"), chosen, target
