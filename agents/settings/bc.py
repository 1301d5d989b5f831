"""Settings of behaviour cloning and DAgger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.settings import SHARE


@dataclass(frozen=True)
class BCConfig(OffPolicyConfig):
    """Behaviour cloning: supervised learning of the actions in a data set."""

    total_steps: int = 20_000
    learning_rate: float = 1e-3
    normalize_obs: bool = True
    normalize_returns: Literal["auto", "yes", "no"] = "no"
    head: Literal["auto", "gaussian", "squashed", "deterministic"] = "auto"
    """Policy of continuous actions: gaussian is PPO's, squashed SAC's, deterministic TD3's; auto: gaussian."""

    required = ("data",)


@dataclass(frozen=True)
class DAggerConfig(BCConfig):
    """Dataset aggregation: the agent acts, a teacher says what it would have done, the agent learns from that."""

    num_envs: int = 8
    learning_starts: int = 0
    train_every: int = 128
    teacher: str = ""
    """Run directory, or module:function that takes an observation and gives the action."""
    teacher_decay: Annotated[float, SHARE] = 0.0
    """The teacher acts with this probability to the power of the round, counted from 0; 0: in the first round alone."""

    required = ("teacher",)
