"""Policies over the numbers of a Box."""

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.distributions import DiagGaussian, SquashedGaussian, StateDependentGaussian
from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.heads.base import POLICY_GAIN
from agent_gym.nets.heads.box import BoxHead
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.precision import precisely


class GaussianHead(BoxHead):
    """Box: a DiagGaussian whose log_std is a parameter of its own (Schulman 2015)."""

    def __init__(self, space: spaces.Box, in_dim: int, log_std_init: float = 0.0):
        super().__init__(space)
        self.linear = orthogonal_init(Linear(in_dim, self.size), POLICY_GAIN)
        self.log_std = nn.Parameter(torch.full((self.size,), float(log_std_init)))

    def forward(self, features: Tensor) -> DiagGaussian:
        return DiagGaussian(precisely(self.linear, features), self.log_std)


class StateDependentHead(BoxHead):
    """Box: a StateDependentGaussian; `noise` draws what to hold for some steps."""

    def __init__(self, space: spaces.Box, in_dim: int, log_std_init: float = 0.0):
        super().__init__(space)
        self.linear = orthogonal_init(Linear(in_dim, self.size), POLICY_GAIN)
        self.log_std = nn.Parameter(torch.full((in_dim, self.size), float(log_std_init)))

    def forward(self, features: Tensor) -> StateDependentGaussian:
        # The features explore but are not shaped by exploring, as in the paper.
        return StateDependentGaussian(precisely(self.linear, features), features.detach(), self.log_std)

    @torch.no_grad()
    def noise(self, num_envs: int, generator: torch.Generator) -> Tensor:
        """Exploration noise [num_envs, in_dim, m] to hold."""
        std = self.log_std.exp()
        return std * torch.randn(num_envs, *std.shape, generator=generator, device=std.device)


class SquashedGaussianHead(BoxHead):
    """Box: a SquashedGaussian, mean and log_std from the features (Haarnoja 2018); a plain one where unbounded."""

    confined = True
    LOG_STD_RANGE = (-20.0, 2.0)

    def __init__(self, space: spaces.Box, in_dim: int):
        super().__init__(space)
        self.linear = Linear(in_dim, 2 * self.size)

    def forward(self, features: Tensor) -> SquashedGaussian:
        mean, log_std = precisely(self.linear, features).chunk(2, dim=-1)
        return SquashedGaussian(mean, log_std.clamp(*self.LOG_STD_RANGE))


class DeterministicHead(BoxHead):
    """Box: features [T, B, in_dim] -> the action itself, [T, B, m] in [-1, 1] (Lillicrap 2016)."""

    confined = True

    def __init__(self, space: spaces.Box, in_dim: int):
        super().__init__(space)
        self.linear = Linear(in_dim, self.size)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(precisely(self.linear, features))
