"""What stands on an encoder's features: policies for every action space, values, plain outputs."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import (
    Bernoulli,
    Categorical,
    DiagGaussian,
    Distribution,
    Hybrid,
    MultiCategorical,
    SquashedGaussian,
    StateDependentGaussian,
)
from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.precision import precisely

POLICY_GAIN = 0.01  # near-uniform first policy (Andrychowicz 2021; "37 implementation details of PPO")
HUGE = 1e15  # no environment means bounds beyond this: they are the largest float, or another word for none
CONFINED = 1.0 - 2.0**-20  # the largest action whose artanh is taken: 7.3
SOFTPLUS_AT_1 = math.log(math.e - 1.0)  # where softplus is 1
IMPOSSIBLE = -1e9  # logit of a choice that does not exist; finite, so that its share of the entropy is 0


class PolicyHead(nn.Module):
    """features [T, B, in_dim] -> Distribution; to_env turns its actions into the environment's."""

    def forward(self, features: Tensor) -> Distribution:
        raise NotImplementedError

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The action [B, ...] for features [1, B, in_dim], for the environment: the most likely, or by `noise`."""
        distribution = self(features).masked(None if mask is None else mask.unsqueeze(0))
        action = distribution.mode() if noise is None else distribution.sample_from(noise.unsqueeze(0))
        return self.to_env(action.squeeze(0))

    def to_env(self, action: Tensor) -> Tensor:
        """[B, ...] action of the distribution -> [B, *action_space.shape], within the bounds; 0-based."""
        return action

    def from_env(self, action: Tensor) -> Tensor:
        """The other way round: what `to_env` makes this action of, or the nearest one to it."""
        return action


class DiscreteHead(PolicyHead):
    """Discrete: a Categorical."""

    def __init__(self, space: spaces.Discrete, in_dim: int):
        super().__init__()
        self.linear = orthogonal_init(Linear(in_dim, int(space.n)), POLICY_GAIN)

    def forward(self, features: Tensor) -> Categorical:
        return Categorical(precisely(self.linear, features))


class MultiDiscreteHead(PolicyHead):
    """MultiDiscrete: a MultiCategorical, every choice padded to the largest."""

    def __init__(self, space: spaces.MultiDiscrete, in_dim: int):
        super().__init__()
        sizes = torch.from_numpy(space.nvec.ravel().astype(np.int64))
        self.shape = space.shape
        self.choices = (len(sizes), int(sizes.max()))
        self.linear = orthogonal_init(Linear(in_dim, self.choices[0] * self.choices[1]), POLICY_GAIN)
        padding = torch.arange(self.choices[1]) >= sizes[:, None]
        self.register_buffer("padding", padding, persistent=False)
        self.register_buffer("columns", (~padding).flatten().nonzero().flatten(), persistent=False)

    def forward(self, features: Tensor) -> MultiCategorical:
        logits = precisely(self.linear, features).unflatten(-1, self.choices)
        return MultiCategorical(logits.masked_fill(self.padding, IMPOSSIBLE), self.columns)

    def to_env(self, action: Tensor) -> Tensor:
        return action.reshape(-1, *self.shape)


class MultiBinaryHead(PolicyHead):
    """MultiBinary: independent Bernoullis."""

    def __init__(self, space: spaces.MultiBinary, in_dim: int):
        super().__init__()
        self.shape = space.shape
        self.linear = orthogonal_init(Linear(in_dim, int(np.prod(space.shape))), POLICY_GAIN)

    def forward(self, features: Tensor) -> Bernoulli:
        return Bernoulli(precisely(self.linear, features))

    def to_env(self, action: Tensor) -> Tensor:
        return action.reshape(-1, *self.shape)


class BoxHead(PolicyHead):
    """Box: bounded dimensions live in [-1, 1] inside the agent and are rescaled for the environment.

    What the other dimensions take is a function of u, which is the agent's action itself or, where a policy is
    confined to (-1, 1), its artanh: u where there is no bound, and a softplus of u above the only bound (below an
    upper one), one unit from it at u = 0. The unit is 1 or a tenth of the bound. Bounds beyond HUGE count as none.
    """

    confined = False  # the agent's actions lie in [-1, 1] in every dimension

    def __init__(self, space: spaces.Box):
        super().__init__()
        if not np.issubdtype(space.dtype, np.floating):
            raise UserError(f"action space {space} is not supported; expected a Box of floats")
        self.shape = space.shape
        self.size = int(np.prod(space.shape))
        low, high = (bound.astype(np.float64).ravel() for bound in (space.low, space.high))
        below, above = np.abs(low) < HUGE, np.abs(high) < HUGE  # which bounds there are
        bounded, half = below & above, below ^ above
        low, high = np.where(below, low, 0.0), np.where(above, high, 0.0)
        self._buffer("low", np.where(below, low, -np.inf))
        self._buffer("high", np.where(above, high, np.inf))
        unit = np.where(half, np.maximum(1.0, 0.1 * np.abs(low + high)), 1.0)
        self._buffer("scale", np.where(bounded, (high - low) / 2.0, np.where(half & above, -unit, unit)))
        self._buffer("centre", np.where(bounded, (high + low) / 2.0, low + high))
        self.register_buffer("bounded", torch.from_numpy(bounded), persistent=False)
        self.register_buffer("one_sided", torch.from_numpy(half), persistent=False)
        self.curved = bool(half.any()) or (self.confined and not bounded.all())

    def _buffer(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    def to_env(self, action: Tensor) -> Tensor:
        if self.curved:
            action = self._curve(action)
        # Clamped last, so that rounding cannot leave the bounds.
        action = torch.addcmul(self.centre, action, self.scale).clamp(self.low, self.high)
        return action if len(self.shape) == 1 else action.reshape(-1, *self.shape)

    def from_env(self, action: Tensor) -> Tensor:
        action = (action.reshape(-1, self.size) - self.centre) / torch.where(self.scale == 0, 1.0, self.scale)
        if self.curved:
            above = action.clamp(min=1e-6)
            u = torch.where(self.one_sided, above + torch.log(-torch.expm1(-above)) - SOFTPLUS_AT_1, action)
            action = torch.where(self.bounded, action, torch.tanh(u) if self.confined else u)
        return torch.where(self.bounded, action.clamp(-1.0, 1.0), action)

    def slope(self, action: Tensor) -> Tensor:
        """How much the environment's action [B, m] changes with the agent's [B, m]."""
        if not self.curved:
            return self.scale.expand_as(action)
        u, slope = self._free(action), torch.ones_like(action)
        if self.confined:
            slope = (1.0 - action.square()).clamp(min=1e-6).reciprocal()
        slope = torch.where(self.one_sided, slope * torch.sigmoid(u + SOFTPLUS_AT_1), slope)
        return torch.where(self.bounded, 1.0, slope) * self.scale.abs()

    def _free(self, action: Tensor) -> Tensor:
        """u of the agent's action."""
        return torch.atanh(action.clamp(-CONFINED, CONFINED)) if self.confined else action

    def _curve(self, action: Tensor) -> Tensor:
        u = self._free(action)
        u = torch.where(self.one_sided, F.softplus(u + SOFTPLUS_AT_1), u)
        return torch.where(self.bounded, action, u)


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


def flat_box(boxes: spaces.Tuple) -> spaces.Box:
    """Boxes, one after the other."""
    low, high = (np.concatenate([getattr(box, name) for box in boxes]) for name in ("low", "high"))
    return spaces.Box(low, high, dtype=np.float32)


class HybridHead(PolicyHead):
    """A Dict of "choices" and "boxes", as envs.conventions.actions has it: a Hybrid.

    `parameterised`: the only choice says which of as many Boxes counts.
    """

    def __init__(self, space: spaces.Dict, in_dim: int, log_std_init: float, parameterised: bool):
        super().__init__()
        self.choices = MultiDiscreteHead(space["choices"], in_dim)
        self.numbers = GaussianHead(flat_box(space["boxes"]), in_dim, log_std_init)
        self.split = len(space["choices"].nvec)
        counts = None
        if parameterised:
            sizes = [box.shape[0] for box in space["boxes"]]
            if space["choices"].nvec.tolist() != [len(sizes)]:
                raise UserError(
                    f"--parameterised: expected one choice among as many actions as there are Boxes, and there are "
                    f"choices {space['choices'].nvec.tolist()} and {len(sizes)} Boxes"
                )
            owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
            counts = torch.arange(len(sizes)).unsqueeze(1) == owner
        self.register_buffer("counts", counts, persistent=False)

    def forward(self, features: Tensor) -> Hybrid:
        return Hybrid(self.choices(features), self.numbers(features), self.counts)

    def to_env(self, action: Tensor) -> Tensor:
        return torch.cat((action[..., : self.split], self.numbers.to_env(action[..., self.split :])), dim=-1)


def make_policy_head(
    action_space: spaces.Space,
    in_dim: int,
    *,
    log_std_init: float = 0.0,
    state_dependent: bool = False,
    parameterised: bool = False,
) -> PolicyHead:
    """The policy head for an action space; UserError names a space that none takes.

    `state_dependent` makes the noise of a Box depend on the features (gSDE); other spaces ignore it.
    """
    hybrid = isinstance(action_space, spaces.Dict) and set(action_space) == {"choices", "boxes"}
    if parameterised and not hybrid:
        raise UserError(f"--parameterised: the action space {action_space} is not of choices and Boxes")
    if isinstance(action_space, spaces.Discrete):
        return DiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiDiscrete):
        return MultiDiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiBinary):
        return MultiBinaryHead(action_space, in_dim)
    if isinstance(action_space, spaces.Box):
        head = StateDependentHead if state_dependent else GaussianHead
        return head(action_space, in_dim, log_std_init)
    if hybrid:
        return HybridHead(action_space, in_dim, log_std_init, parameterised)
    raise UserError(
        f"action space {action_space} is not supported; expected Discrete, MultiDiscrete, MultiBinary or Box"
    )


class ValueHead(nn.Module):
    """features [T, B, in_dim] -> value [T, B]."""

    def __init__(self, in_dim: int):
        super().__init__()
        self.linear = orthogonal_init(Linear(in_dim, 1), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return precisely(self.linear, features).squeeze(-1)


class LinearHead(Linear):
    """features [T, B, in_dim] -> [T, B, out_dim]: class logits, predictions, Q-values; PyTorch's default weights."""

    def forward(self, features: Tensor) -> Tensor:
        return precisely(super().forward, features)
