"""A linear layer with learned noise on its weights, by which an agent explores (Fortunato et al. 2018)."""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIRST = 0.5  # of the noise's deviation, over the root of the inputs


class NoisyLinear(nn.Linear):
    """[..., in] -> [..., out] with weights w + σ ⊙ f(ε') f(ε)ᵀ, f(x) = sign(x) sqrt|x| (equations 9 to 11).

    `noise` [in + out] or [..., in + out] holds ε and ε', standard normal numbers; None: no noise.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__(in_dim, out_dim)
        deviation = FIRST / sqrt(in_dim)
        self.weight_std = nn.Parameter(torch.full((out_dim, in_dim), deviation))
        self.bias_std = nn.Parameter(torch.full((out_dim,), deviation))

    @property
    def noise_size(self) -> int:
        return self.in_features + self.out_features

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if noise is None:
            return y
        before, after = (noise.sign() * noise.abs().sqrt()).split((self.in_features, self.out_features), dim=-1)
        return y + F.linear(x * before, self.weight_std, self.bias_std) * after
