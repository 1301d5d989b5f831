"""Distributions over choices and bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from agent_gym.nets.distributions.base import RULED_OUT, Distribution, Noise, rule_out


class Categorical(Distribution):
    """One of n choices, logits [T, B, n], action int64 [T, B].

    A choice is ruled out by a large negative finite logit (-1e9): -inf makes the entropy NaN.
    """

    def __init__(self, logits: Tensor):
        self.logits = logits
        self._log_probs: Tensor | None = None

    def masked(self, mask: Tensor | None) -> Categorical:
        return self if mask is None else type(self)(self.logits.masked_fill(~mask, RULED_OUT))

    @property
    def log_probs(self) -> Tensor:
        """Normalised logits [T, B, n]."""
        if self._log_probs is None:
            self._log_probs = self.logits.log_softmax(-1)
        return self._log_probs

    @property
    def probs(self) -> Tensor:
        """Probabilities [T, B, n]."""
        return self.log_probs.exp()

    @torch.no_grad()
    def sample(self, generator: Generator | None = None) -> Tensor:
        # Exponential race: -log(u) / p is Exp(p), the first arrival is i with probability p_i.
        logits = self.logits
        noise = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return noise.log_().div_(logits.softmax(-1)).argmax(-1)

    @property
    def noise(self) -> Noise:
        return Noise("uniform", tuple(self.logits.shape[2:]))

    def sample_from(self, noise: Tensor) -> Tensor:
        return (noise.log() / self.logits.softmax(-1)).argmax(-1)

    def mode(self) -> Tensor:
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.log_probs.exp() * self.log_probs).sum(-1)


class MultiCategorical(Categorical):
    """m independent choices, logits [T, B, m, n] (fewer than n: padded with -1e9), action int64 [T, B, m].

    `columns`: where those that there are stand in the m * n, one after the other, as in a mask.
    """

    def __init__(self, logits: Tensor, columns: Tensor):
        super().__init__(logits)
        self.columns = columns

    def masked(self, mask: Tensor | None) -> MultiCategorical:
        return self if mask is None else MultiCategorical(rule_out(self.logits, mask, self.columns), self.columns)

    def log_prob(self, action: Tensor) -> Tensor:
        return super().log_prob(action).sum(-1)

    def entropy(self) -> Tensor:
        return super().entropy().sum(-1)


class Bernoulli(Distribution):
    """m independent bits, logits [T, B, m], action int64 [T, B, m]."""

    def __init__(self, logits: Tensor):
        self.logits = logits

    def masked(self, mask: Tensor | None) -> Bernoulli:
        """`mask` [T, B, 2 m]: whether each bit may be 0, and whether it may be 1."""
        if mask is None:
            return self
        zero, one = mask.unflatten(-1, (-1, 2)).unbind(-1)
        return Bernoulli(self.logits.masked_fill(~one, RULED_OUT).masked_fill(~zero, -RULED_OUT))

    @property
    def probs(self) -> Tensor:
        """Probability of a 1, [T, B, m]."""
        return self.logits.sigmoid()

    @torch.no_grad()
    def sample(self, generator: Generator | None = None) -> Tensor:
        logits = self.logits
        noise = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return self.sample_from(noise)

    @property
    def noise(self) -> Noise:
        return Noise("uniform", tuple(self.logits.shape[2:]))

    def sample_from(self, noise: Tensor) -> Tensor:
        return (noise < self.probs).long()

    def mode(self) -> Tensor:
        return (self.logits > 0).long()

    def log_prob(self, action: Tensor) -> Tensor:
        # log p(1) = -softplus(-x), log p(0) = -softplus(x)
        return (action * self.logits - F.softplus(self.logits)).sum(-1)

    def entropy(self) -> Tensor:
        return (F.softplus(self.logits) - self.probs * self.logits).sum(-1)
