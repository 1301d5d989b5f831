"""Normal distributions over numbers: plain, held for some steps, and squashed."""

from __future__ import annotations

from math import log, pi

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from agent_gym.nets.distributions.base import Distribution, Noise

LOG_2PI = log(2.0 * pi)


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
