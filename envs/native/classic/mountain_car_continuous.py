"""The car in the valley with a continuous engine, with the numbers of Gymnasium's MountainCarContinuous-v0."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.classic.mountain_car import OBS_SPACE, initial, observe, roll
from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import gymnasium_picture

POWER, GOAL = 0.0015, 0.45


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Action [B, 1] from -1 to 1 is the engine's force. The reward is 100 at the goal, less 0.1 times force squared."""
    force = action[:, 0]
    state = roll(state, POWER * force.clamp(-1.0, 1.0))
    terminated = (state[0] >= GOAL) & (state[1] >= 0)
    return state, 100.0 * terminated - 0.1 * force * force, terminated


render = gymnasium_picture("gymnasium.envs.classic_control.continuous_mountain_car:Continuous_MountainCarEnv")

MOUNTAIN_CAR_CONTINUOUS = Core(
    "MountainCarContinuous-v0",
    OBS_SPACE,
    spaces.Box(-1.0, 1.0, (1,)),
    999,
    initial,
    step,
    observe,
    render,
    30,
    draws=False,
)
