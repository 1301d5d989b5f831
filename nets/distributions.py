"""Action distributions over [T, B, ...] tensors; log_prob and entropy are [T, B].

Lighter than torch.distributions (no argument checks, no broadcasting of parameters) and drawn from a
generator that the caller owns. Values agree with torch.distributions.
"""

from __future__ import annotations

from math import log, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

LOG_2PI = log(2.0 * pi)
RULED_OUT = -1e9  # logit of a choice that may not be taken; finite, so that its share of the entropy is 0


def rule_out(values: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Values [..., m, n] of m choices, lowest where `mask` [..., c] is False; see MultiCategorical."""
    flat = torch.zeros(*mask.shape[:-1], values.shape[-2] * values.shape[-1], dtype=torch.bool, device=mask.device)
    flat = flat.index_copy(-1, columns, ~mask)
    return values.masked_fill(flat.view(*flat.shape[:-1], *values.shape[-2:]), RULED_OUT)


class Noise(NamedTuple):
    """What stands in for a random generator where the noise of a draw comes from outside."""

    kind: str
    """normal: standard normal; uniform: from 0 to 1, without the 0."""
    shape: tuple[int, ...]
    """For one action."""


class Distribution:
    """What a policy head returns."""

    def sample(self, generator: Generator | None = None) -> Tensor:
        """One action for each [T, B], without gradient."""
        raise NotImplementedError

    def masked(self, mask: Tensor | None) -> Distribution:
        """Without the choices where `mask` [..., n] is False; None rules nothing out. See VectorEnv.mask."""
        if mask is None:
            return self
        raise TypeError(f"a mask is for discrete actions, and this is a {type(self).__name__}")

    @property
    def noise(self) -> Noise:
        """What `sample_from` takes for one action."""
        raise NotImplementedError

    def sample_from(self, noise: Tensor) -> Tensor:
        """`sample` with its `noise` [T, B, ...] given."""
        raise NotImplementedError

    def mode(self) -> Tensor:
        """The most likely action."""
        raise NotImplementedError

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability (density) of `action`, [T, B]."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy in nats, [T, B]."""
        raise NotImplementedError


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


class DiagGaussian(Distribution):
    """Independent normals, mean [T, B, m], log_std [m] or [T, B, m], action float [T, B, m]."""

    def __init__(self, mean: Tensor, log_std: Tensor):
        self.mean = mean
        self.log_std = log_std

    def rsample(self, generator: Generator | None = None, noise: Tensor | None = None) -> Tensor:
        """A sample with gradient to mean and log_std; `noise` like mean, standard normal, stands in for a draw."""
        mean = self.mean
        if noise is None:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return torch.addcmul(mean, self.log_std.exp(), noise)

    @torch.no_grad()
    def sample(self, generator: Generator | None = None) -> Tensor:
        return self.rsample(generator)

    @property
    def noise(self) -> Noise:
        return Noise("normal", tuple(self.mean.shape[2:]))

    def sample_from(self, noise: Tensor) -> Tensor:
        return self.rsample(noise=noise)

    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        z = (action - self.mean) * (-self.log_std).exp()
        constant = self.log_std.sum(-1) + 0.5 * LOG_2PI * self.mean.shape[-1]
        return torch.square(z).sum(-1).mul(-0.5) - constant

    def entropy(self) -> Tensor:
        entropy = self.log_std.sum(-1) + 0.5 * (1.0 + LOG_2PI) * self.mean.shape[-1]
        return entropy.expand(self.mean.shape[:-1])


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


class StateDependentGaussian(DiagGaussian):
    """Normals whose noise is a linear function of the features (gSDE, Raffin et al. 2022, equation 5).

    Holding `noise` [B, f, m] for several steps makes exploration smooth: mean [T, B, m], features [T, B, f],
    log_std [f, m], noise drawn from N(0, exp(log_std)²). One step alone is a DiagGaussian.
    """

    def __init__(self, mean: Tensor, features: Tensor, log_std: Tensor):
        variance = torch.square(features) @ torch.exp(2.0 * log_std)
        super().__init__(mean, 0.5 * torch.log(variance + 1e-6))
        self.features = features

    def sample_with(self, noise: Tensor) -> Tensor:
        """The action [T, B, m] under held noise [B, f, m]."""
        return self.mean + torch.einsum("tbf,bfm->tbm", self.features, noise)


class SquashedGaussian(Distribution):
    """tanh of a DiagGaussian, actions in (-1, 1) (Haarnoja 2018, appendix C). Its entropy has no closed form."""

    def __init__(self, mean: Tensor, log_std: Tensor):
        self.gaussian = DiagGaussian(mean, log_std)

    def rsample_with_log_prob(
        self, generator: Generator | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """A sample [T, B, m] with gradient and its log-density [T, B], without inverting tanh."""
        pre_tanh = self.gaussian.rsample(generator, noise)
        return torch.tanh(pre_tanh), self._log_prob_of(pre_tanh)

    @torch.no_grad()
    def sample(self, generator: Generator | None = None) -> Tensor:
        return torch.tanh(self.gaussian.rsample(generator))

    @property
    def noise(self) -> Noise:
        return self.gaussian.noise

    def sample_from(self, noise: Tensor) -> Tensor:
        return torch.tanh(self.gaussian.rsample(noise=noise))

    def mode(self) -> Tensor:
        """tanh of the mean: the median, which is what an evaluated SAC plays."""
        return torch.tanh(self.gaussian.mean)

    def log_prob(self, action: Tensor) -> Tensor:
        limit = 1.0 - torch.finfo(action.dtype).eps
        return self._log_prob_of(torch.atanh(action.clamp(-limit, limit)))

    def _log_prob_of(self, pre_tanh: Tensor) -> Tensor:
        # log(1 - tanh² u) = 2 (log 2 - u - softplus(-2u)), finite for every u
        log_jacobian = 2.0 * (log(2.0) - pre_tanh - F.softplus(-2.0 * pre_tanh))
        return self.gaussian.log_prob(pre_tanh) - log_jacobian.sum(-1)
