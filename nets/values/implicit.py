"""The return's distribution by quantiles at any level, which is an input of the network (IQN, Dabney et al. 2018b)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agent_gym.nets.values.quantiles import Quantiles

COSINES = 64  # in which a level is written


class ImplicitQuantiles(Quantiles):
    """Quantiles at levels drawn anew for each update, or at k even ones where none are given.

    The features are multiplied by what a layer makes of cos(π i τ) of the level τ (equation 4).
    """

    def __init__(self, numbers: int, in_dim: int) -> None:
        super().__init__(numbers)
        self.samples, self.numbers = numbers, 1
        self.embedding = nn.Linear(COSINES, in_dim)
        self.register_buffer("waves", math.pi * torch.arange(COSINES, dtype=torch.float32), persistent=False)
        self.register_buffer("even", (torch.arange(numbers) + 0.5) / numbers, persistent=False)

    def lifted(self, features: Tensor, level: Tensor | None) -> Tensor:
        """level [T, B, k]; returns [T, B, k, F]."""
        level = self.even if level is None else level
        embedded = torch.relu(self.embedding(torch.cos(level.unsqueeze(-1) * self.waves)))
        return features.unsqueeze(-2) * embedded

    def formed(self, out: Tensor) -> Tensor:
        return out.transpose(-1, -2)
