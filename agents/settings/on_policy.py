"""What agents that learn from rollouts have in common: their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent_gym.agents.settings.base import AgentConfig, StartSettings
from agent_gym.agents.settings.rewards import RewardSettings
from agent_gym.ground.settings import SHARE, Count
from agent_gym.nets.settings import MEMORY, OptimizerSettings, ScheduleName


@dataclass(frozen=True)
class OnPolicyConfig(OptimizerSettings, RewardSettings, StartSettings, AgentConfig):
    """Flags of all agents that learn from rollouts."""

    num_steps: Count = 128
    """Steps of each environment in a rollout."""
    num_epochs: Count = 4
    """Passes over each rollout."""
    num_minibatches: Count = 4
    """Parts of a rollout; one optimizer step each."""
    schedule: ScheduleName = "linear"
    eps: float = 1e-5
    gamma: Annotated[float, SHARE] = 0.99
    """Discount per step."""
    normalize_obs: bool = False
    """Scale observations by their running mean and standard deviation."""
    normalize_returns: bool = False
    """Scale rewards by the running standard deviation of the discounted return."""

    def learning(self) -> tuple[int, int, float]:
        updates = self.num_epochs * self.num_minibatches / (self.num_steps * self.num_envs)
        if self.encoder in MEMORY:
            return self.num_steps, max(self.num_envs // self.num_minibatches, 1), updates
        return 1, max(self.num_steps * self.num_envs // self.num_minibatches, 1), updates
