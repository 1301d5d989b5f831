"""Choices and numbers for soft actor-critic: its discrete form over all combinations of choices, its other for numbers.

As Delalleau et al. 2019 have it: the numbers are drawn first, and the values are those of each combination with them.
"""

from __future__ import annotations

from itertools import product

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Categorical, Distribution, Noise, SquashedGaussian
from agent_gym.nets.distributions.hybrid import apart, side_by_side
from agent_gym.nets.heads import PolicyHead, SquashedGaussianHead, flat_box

MOST = 1024  # combinations


class Combinations(nn.Module):
    """The combinations of choices by number. Raises UserError where there are too many."""

    def __init__(self, choices: spaces.MultiDiscrete) -> None:
        super().__init__()
        sizes = [int(n) for n in choices.nvec]
        self.count = int(torch.tensor(sizes).prod())
        if self.count > MOST:
            raise UserError(
                f"{self.count:,} combinations of the choices {sizes}: sac takes at most {MOST:,} beside numbers; ppo "
                "draws each choice by itself"
            )
        self.register_buffer("table", torch.tensor(list(product(*map(range, sizes)))), persistent=False)  # [J, c]
        strides = [int(torch.tensor(sizes[k + 1 :]).prod()) for k in range(len(sizes))]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        starts = [sum(sizes[:k]) for k in range(len(sizes))]
        self.register_buffer("columns", self.table + torch.tensor(starts), persistent=False)  # in a mask

    def number(self, choices: Tensor) -> Tensor:
        """Of choices [..., c]."""
        return (choices.round().long() * self.strides).sum(-1)


class Mixture(Distribution):
    """A Categorical over combinations of choices, and a SquashedGaussian over numbers."""

    def __init__(self, joint: Categorical, numbers: SquashedGaussian, combinations: Combinations) -> None:
        self.joint, self.numbers, self.combinations = joint, numbers, combinations
        self.split = combinations.table.shape[1]

    def masked(self, mask: Tensor | None) -> Mixture:
        """`mask` [T, B, m]: the values of each choice, one choice after the other."""
        if mask is None:
            return self
        return Mixture(self.joint.masked(mask[..., self.combinations.columns].all(-1)), self.numbers, self.combinations)

    def _together(self, joint: Tensor, numbers: Tensor) -> Tensor:
        return torch.cat((self.combinations.table[joint].to(numbers.dtype), numbers), dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._together(self.joint.sample(generator), self.numbers.sample(generator))

    @property
    def noise(self) -> Noise:
        return side_by_side(self.joint.noise, self.numbers.noise)

    def sample_from(self, noise: Tensor) -> Tensor:
        joint, numbers = apart(noise, self.joint.noise)
        return self._together(self.joint.sample_from(joint), self.numbers.sample_from(numbers))

    def log_prob(self, action: Tensor) -> Tensor:
        joint = self.combinations.number(action[..., : self.split])
        return self.joint.log_prob(joint) + self.numbers.log_prob(action[..., self.split :])

    def mode(self) -> Tensor:
        return self._together(self.joint.mode(), self.numbers.mode())


class MixtureHead(PolicyHead):
    """A Dict of "choices" and "boxes": a Mixture. An action [B, c + d] holds the choices first."""

    def __init__(self, space: spaces.Dict, in_dim: int) -> None:
        super().__init__()
        self.combinations = Combinations(space["choices"])
        self.joint = nn.Linear(in_dim, self.combinations.count)
        self.numbers = SquashedGaussianHead(flat_box(space["boxes"]), in_dim)
        self.split = len(space["choices"].nvec)
        self.size = self.split + self.numbers.size

    def forward(self, features: Tensor) -> Mixture:
        return Mixture(Categorical(self.joint(features)), self.numbers(features), self.combinations)

    def to_env(self, action: Tensor) -> Tensor:
        return torch.cat((action[..., : self.split], self.numbers.to_env(action[..., self.split :])), dim=-1)
