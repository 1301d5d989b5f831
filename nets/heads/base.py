"""What every policy head does."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from agent_gym.nets.distributions import Distribution

POLICY_GAIN = 0.01  # near-uniform first policy (Andrychowicz 2021; "37 implementation details of PPO")


class PolicyHead(nn.Module, ABC):
    """features [T, B, in_dim] -> Distribution; to_env turns its actions into the environment's."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """The distribution of the action, [T, B]."""

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
