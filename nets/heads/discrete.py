"""Policies over choices and bits."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.nets.distributions import Bernoulli, Categorical, MultiCategorical
from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.heads.base import POLICY_GAIN, PolicyHead
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.precision import precisely

IMPOSSIBLE = -1e9  # logit of a choice that does not exist; finite, so that its share of the entropy is 0


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
