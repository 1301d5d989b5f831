"""What stands on an encoder's features: policies for every action space, values, plain outputs."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import (
    Bernoulli,
    Categorical,
    DiagGaussian,
    Distribution,
    MultiCategorical,
    SquashedGaussian,
    StateDependentGaussian,
)
from agent_gym.nets.encoders.base import orthogonal_init

POLICY_GAIN = 0.01  # near-uniform first policy (Andrychowicz 2021; "37 implementation details of PPO")
IMPOSSIBLE = -1e9  # logit of a choice that does not exist; finite, so that its share of the entropy is 0


class PolicyHead(nn.Module):
    """features [T, B, in_dim] -> Distribution; to_env turns its actions into the environment's."""

    def forward(self, features: Tensor) -> Distribution:
        raise NotImplementedError

    def to_env(self, action: Tensor) -> Tensor:
        """[B, ...] action of the distribution -> [B, *action_space.shape], within the bounds; 0-based."""
        return action


class DiscreteHead(PolicyHead):
    """Discrete: a Categorical."""

    def __init__(self, space: spaces.Discrete, in_dim: int):
        super().__init__()
        self.linear = orthogonal_init(nn.Linear(in_dim, int(space.n)), POLICY_GAIN)

    def forward(self, features: Tensor) -> Categorical:
        return Categorical(self.linear(features))


class MultiDiscreteHead(PolicyHead):
    """MultiDiscrete: a MultiCategorical, every choice padded to the largest."""

    def __init__(self, space: spaces.MultiDiscrete, in_dim: int):
        super().__init__()
        sizes = torch.from_numpy(space.nvec.ravel().astype(np.int64))
        self.shape = space.shape
        self.choices = (len(sizes), int(sizes.max()))
        self.linear = orthogonal_init(nn.Linear(in_dim, self.choices[0] * self.choices[1]), POLICY_GAIN)
        padding = torch.arange(self.choices[1]) >= sizes[:, None]
        self.register_buffer("padding", padding, persistent=False)

    def forward(self, features: Tensor) -> MultiCategorical:
        logits = self.linear(features).unflatten(-1, self.choices)
        return MultiCategorical(logits.masked_fill(self.padding, IMPOSSIBLE))

    def to_env(self, action: Tensor) -> Tensor:
        return action.reshape(-1, *self.shape)


class MultiBinaryHead(PolicyHead):
    """MultiBinary: independent Bernoullis."""

    def __init__(self, space: spaces.MultiBinary, in_dim: int):
        super().__init__()
        self.shape = space.shape
        self.linear = orthogonal_init(nn.Linear(in_dim, int(np.prod(space.shape))), POLICY_GAIN)

    def forward(self, features: Tensor) -> Bernoulli:
        return Bernoulli(self.linear(features))

    def to_env(self, action: Tensor) -> Tensor:
        return action.reshape(-1, *self.shape)


class BoxHead(PolicyHead):
    """Box: bounded dimensions live in [-1, 1] inside the agent and are rescaled for the environment."""

    def __init__(self, space: spaces.Box):
        super().__init__()
        if not np.issubdtype(space.dtype, np.floating):
            raise UserError(f"action space {space} is not supported; expected a Box of floats")
        self.shape = space.shape
        self.size = int(np.prod(space.shape))
        low, high = (bound.astype(np.float32).ravel() for bound in (space.low, space.high))
        bounded = np.isfinite(low) & np.isfinite(high)
        low_or_0, high_or_0 = np.where(bounded, low, 0.0), np.where(bounded, high, 0.0)
        self._buffer("low", low)
        self._buffer("high", high)
        self._buffer("scale", np.where(bounded, (high_or_0 - low_or_0) / 2.0, 1.0))
        self._buffer("centre", (high_or_0 + low_or_0) / 2.0)

    def refuse_unbounded(self, policy: str) -> None:
        """Raises UserError unless every dimension has finite bounds."""
        if not (torch.isfinite(self.low) & torch.isfinite(self.high)).all():
            raise UserError(
                f"actions from {self.low.tolist()} to {self.high.tolist()} are not supported; {policy} needs "
                "finite bounds"
            )

    def _buffer(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    def to_env(self, action: Tensor) -> Tensor:
        # Clamped last, so that rounding cannot leave the bounds.
        action = torch.addcmul(self.centre, action, self.scale).clamp(self.low, self.high)
        return action if len(self.shape) == 1 else action.reshape(-1, *self.shape)


class GaussianHead(BoxHead):
    """Box: a DiagGaussian whose log_std is a parameter of its own (Schulman 2015)."""

    def __init__(self, space: spaces.Box, in_dim: int, log_std_init: float = 0.0):
        super().__init__(space)
        self.linear = orthogonal_init(nn.Linear(in_dim, self.size), POLICY_GAIN)
        self.log_std = nn.Parameter(torch.full((self.size,), float(log_std_init)))

    def forward(self, features: Tensor) -> DiagGaussian:
        return DiagGaussian(self.linear(features), self.log_std)


class StateDependentHead(BoxHead):
    """Box: a StateDependentGaussian; `noise` draws what to hold for some steps."""

    def __init__(self, space: spaces.Box, in_dim: int, log_std_init: float = 0.0):
        super().__init__(space)
        self.linear = orthogonal_init(nn.Linear(in_dim, self.size), POLICY_GAIN)
        self.log_std = nn.Parameter(torch.full((in_dim, self.size), float(log_std_init)))

    def forward(self, features: Tensor) -> StateDependentGaussian:
        # The features explore but are not shaped by exploring, as in the paper.
        return StateDependentGaussian(self.linear(features), features.detach(), self.log_std)

    @torch.no_grad()
    def noise(self, num_envs: int, generator: torch.Generator) -> Tensor:
        """Exploration noise [num_envs, in_dim, m] to hold."""
        std = self.log_std.exp()
        return std * torch.randn(num_envs, *std.shape, generator=generator, device=std.device)


class SquashedGaussianHead(BoxHead):
    """Box with bounds: a SquashedGaussian, mean and log_std from the features (Haarnoja 2018)."""

    LOG_STD_RANGE = (-20.0, 2.0)

    def __init__(self, space: spaces.Box, in_dim: int):
        super().__init__(space)
        self.refuse_unbounded("a squashed policy")
        self.linear = nn.Linear(in_dim, 2 * self.size)

    def forward(self, features: Tensor) -> SquashedGaussian:
        mean, log_std = self.linear(features).chunk(2, dim=-1)
        return SquashedGaussian(mean, log_std.clamp(*self.LOG_STD_RANGE))


class DeterministicHead(BoxHead):
    """Box with bounds: features [T, B, in_dim] -> the action itself, [T, B, m] in [-1, 1] (Lillicrap 2016)."""

    def __init__(self, space: spaces.Box, in_dim: int):
        super().__init__(space)
        self.refuse_unbounded("a deterministic policy")
        self.linear = nn.Linear(in_dim, self.size)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(self.linear(features))


def make_policy_head(
    action_space: spaces.Space, in_dim: int, *, log_std_init: float = 0.0, state_dependent: bool = False
) -> PolicyHead:
    """The policy head for an action space; UserError names a space that none takes.

    `state_dependent` makes the noise of a Box depend on the features (gSDE); other spaces ignore it.
    """
    if isinstance(action_space, spaces.Discrete):
        return DiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiDiscrete):
        return MultiDiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiBinary):
        return MultiBinaryHead(action_space, in_dim)
    if isinstance(action_space, spaces.Box):
        head = StateDependentHead if state_dependent else GaussianHead
        return head(action_space, in_dim, log_std_init)
    raise UserError(
        f"action space {action_space} is not supported; expected Discrete, MultiDiscrete, MultiBinary or Box"
    )


class ValueHead(nn.Module):
    """features [T, B, in_dim] -> value [T, B]."""

    def __init__(self, in_dim: int):
        super().__init__()
        self.linear = orthogonal_init(nn.Linear(in_dim, 1), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features).squeeze(-1)


class LinearHead(nn.Linear):
    """features [T, B, in_dim] -> [T, B, out_dim]: class logits, predictions, Q-values; PyTorch's default weights."""
