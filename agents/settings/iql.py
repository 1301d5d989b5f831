"""Settings of IQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, STEP_SHARE, Range


@dataclass(frozen=True)
class IQLConfig(OffPolicyConfig):
    """Implicit Q-learning from a data set."""

    total_steps: int = 50_000
    normalize_obs: bool = True
    normalize_returns: Literal["auto", "yes", "no"] = "yes"
    tau: Annotated[float, STEP_SHARE] = 0.005
    """Share of the way that target critics go towards the critics after each update."""
    expectile: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.7
    """Which values of a state's actions its value stands for: 0.5 their mean, towards 1 the best of them."""
    temperature: Annotated[float, NOT_NEGATIVE] = 3.0
    """How much better actions are copied more than others; 0: all alike, which is behaviour cloning."""
    largest_weight: Annotated[float, POSITIVE] = 100.0
    """Limit of an action's weight."""
    head: Literal["gaussian", "squashed"] = "gaussian"
    """Policy of continuous actions; squashed is SAC's."""

    required = ("data",)
