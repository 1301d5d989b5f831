"""Environments with a goal in the observation: what reward another goal would have brought (Plappert et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.ground.errors import UserError, one_line

ACHIEVED, DESIRED = "achieved_goal", "desired_goal"
GoalRule: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(achieved [N, ...], desired [N, ...]) -> reward [N] float32, and whether that ends the episode, [N] bool."""


def has_goals(space: spaces.Space) -> bool:
    """Whether observations tell what was reached and what was to be."""
    if not isinstance(space, spaces.Dict) or not {ACHIEVED, DESIRED} <= space.spaces.keys():
        return False
    return space[ACHIEVED].shape == space[DESIRED].shape


def goal_rule(env: gymnasium.Env) -> GoalRule | None:
    """What `compute_reward` of an environment says, and `compute_terminated` where it has one; None without goals."""
    if not has_goals(env.observation_space) or not env.has_wrapper_attr("compute_reward"):
        return None
    reward_of = env.get_wrapper_attr("compute_reward")
    ends = env.get_wrapper_attr("compute_terminated") if env.has_wrapper_attr("compute_terminated") else None

    def rule(achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [part.cpu().numpy().astype(np.float64) for part in (achieved, desired)]
        reward = _each(reward_of, "compute_reward", *pairs)
        over = np.zeros(len(reward)) if ends is None else _each(ends, "compute_terminated", *pairs)
        device = achieved.device
        return torch.from_numpy(reward.astype(np.float32)).to(device), torch.from_numpy(over.astype(bool)).to(device)

    return rule


def _together(function: Callable, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """What it says of all pairs at once; of no shape that fits where it is made for one pair."""
    try:
        return np.asarray(function(achieved, desired, {}))
    except (TypeError, ValueError):
        return np.zeros(())


def _each(function: Callable, name: str, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """The function for each pair: at once where it takes them so, otherwise one by one. Raises UserError."""
    try:
        value: Any = _together(function, achieved, desired)
        if value.shape != (len(achieved),):
            value = np.array([function(a, d, {}) for a, d in zip(achieved, desired, strict=True)])
    except Exception as error:  # whatever a user's function raises
        raise UserError(
            f"{name}(achieved_goal, desired_goal, info) failed for goals of a hindsight ({type(error).__name__}: "
            f"{one_line(error, 200)}): it is called with info {{}}; --her no does without"
        ) from error
    if value.shape != (len(achieved),) or not np.isfinite(value.astype(np.float64)).all():
        raise UserError(f"{name} gave {one_line(value, 100)}: expected one finite number a pair of goals")
    return value
