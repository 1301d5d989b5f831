"""Action distributions over [T, B, ...] tensors; log_prob and entropy are [T, B].

Lighter than torch.distributions (no argument checks, no broadcasting of parameters) and drawn from a
generator that the caller owns. Values agree with torch.distributions.
"""

from agent_gym.nets.distributions.base import RULED_OUT, Distribution, Noise
from agent_gym.nets.distributions.discrete import Bernoulli, Categorical, MultiCategorical
from agent_gym.nets.distributions.gaussian import DiagGaussian, SquashedGaussian, StateDependentGaussian
from agent_gym.nets.distributions.hybrid import Hybrid

__all__ = [
    "RULED_OUT",
    "Bernoulli",
    "Categorical",
    "DiagGaussian",
    "Distribution",
    "Hybrid",
    "MultiCategorical",
    "Noise",
    "SquashedGaussian",
    "StateDependentGaussian",
]
