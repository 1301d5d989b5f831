"""What becomes of rewards before anything is learned from them; curves and scores show them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RewardSettings:
    """Flags of all agents that learn from rewards."""

    reward_scale: Annotated[float, POSITIVE] = 1.0
    """Rewards are multiplied by this before they are learned from."""
    clip_reward: Annotated[float, NOT_NEGATIVE] = 0.0
    """And then clipped to ± this; 0: not at all."""

    def learned_reward(self, reward: Tensor) -> Tensor:
        """Rewards as the agent learns from them."""
        if self.reward_scale != 1.0:
            reward = reward * self.reward_scale
        return reward.clamp(-self.clip_reward, self.clip_reward) if self.clip_reward else reward
