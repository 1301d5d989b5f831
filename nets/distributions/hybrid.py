"""Choices and numbers side by side."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from agent_gym.nets.distributions.base import Distribution, Noise
from agent_gym.nets.distributions.discrete import MultiCategorical
from agent_gym.nets.distributions.gaussian import LOG_2PI, DiagGaussian


def side_by_side(uniform: Noise, normal: Noise) -> Noise:
    """The noise of choices and of numbers in one row."""
    normals = math.prod(normal.shape)
    return Noise("both", (math.prod(uniform.shape) + normals,), normals)


def apart(noise: Tensor, uniform: Noise) -> tuple[Tensor, Tensor]:
    """Of rows [..., n] as `side_by_side` has them: the noise of choices, in its shape, and that of numbers."""
    count = math.prod(uniform.shape)
    return noise[..., :count].unflatten(-1, uniform.shape), noise[..., count:]


class Hybrid(Distribution):
    """Choices and numbers, independent given the features: log-probabilities add, and entropies.

    An action [T, B, c + d] holds c choices, as floats, before d numbers. `counts` [n, d] bool: the numbers that count
    for each value of the only choice, where an environment reads no others (parameterised actions, Masson et al. 2016).
    """

    def __init__(self, choices: MultiCategorical, numbers: DiagGaussian, counts: Tensor | None = None):
        self.choices, self.numbers, self.counts = choices, numbers, counts
        self.split = choices.logits.shape[-2]

    def masked(self, mask: Tensor | None) -> Hybrid:
        return self if mask is None else Hybrid(self.choices.masked(mask), self.numbers, self.counts)

    def sample(self, generator: Generator | None = None) -> Tensor:
        return torch.cat((self.choices.sample(generator).float(), self.numbers.sample(generator)), dim=-1)

    @property
    def noise(self) -> Noise:
        return side_by_side(self.choices.noise, self.numbers.noise)

    def sample_from(self, noise: Tensor) -> Tensor:
        choices, numbers = apart(noise, self.choices.noise)
        return torch.cat((self.choices.sample_from(choices).float(), self.numbers.sample_from(numbers)), dim=-1)

    def mode(self) -> Tensor:
        return torch.cat((self.choices.mode().float(), self.numbers.mode()), dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        choice, number = action[..., : self.split].long(), action[..., self.split :]
        if self.counts is None:
            return self.choices.log_prob(choice) + self.numbers.log_prob(number)
        z = (number - self.numbers.mean) * (-self.numbers.log_std).exp()
        each = -0.5 * z.square() - self.numbers.log_std - 0.5 * LOG_2PI
        return self.choices.log_prob(choice) + (each * self.counts[choice.squeeze(-1)]).sum(-1)

    def entropy(self) -> Tensor:
        if self.counts is None:
            return self.choices.entropy() + self.numbers.entropy()
        each = (self.numbers.log_std + 0.5 * (1.0 + LOG_2PI)).expand(self.numbers.mean.shape)
        of_choice = each @ self.counts.to(each.dtype).T  # [T, B, n]
        return self.choices.entropy() + (self.choices.probs.squeeze(-2) * of_choice).sum(-1)
