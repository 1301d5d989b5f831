"""Settings of TD3 and DDPG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.settings import NOT_NEGATIVE, STEP_SHARE, Count, Needs


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Twin delayed DDPG."""

    env: str = "Pendulum-v1"
    learning_rate: float = 1e-3
    tau: Annotated[float, STEP_SHARE] = 0.005
    """Share of the way that targets go towards the networks with each update of the actor."""
    critics: Count = 2
    """Critics whose smallest value is the target."""
    exploration_noise: Annotated[float, NOT_NEGATIVE] = 0.1
    """Standard deviation of the noise on actions, in units of half their range."""
    policy_delay: Count = 2
    """Updates of the critics for each of the actor and the targets."""
    target_noise: Annotated[float, NOT_NEGATIVE] = 0.2
    """Standard deviation of the noise on the target's actions, in units of half their range."""
    target_noise_clip: Annotated[float, Needs("target_noise", but=(0.0,)), NOT_NEGATIVE] = 0.5
    """Largest such noise."""
    bc_alpha: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of values against closeness to the batch's actions (TD3+BC, Fujimoto and Gu 2021); 0: values alone."""


@dataclass(frozen=True)
class DDPGConfig(TD3Config):
    """Deep deterministic policy gradient: TD3 without its three additions."""

    critics: int = 1
    policy_delay: int = 1
    target_noise: float = 0.0


@dataclass(frozen=True)
class TD3BCConfig(TD3Config):
    """TD3 from a data set, its actor held close to the set's actions."""

    total_steps: int = 50_000
    learning_rate: float = 3e-4
    normalize_obs: bool = True
    bc_alpha: float = 2.5
    required = ("data",)
