"""An underpowered car in a valley (Moore 1990), with the equations and numbers of Gymnasium's MountainCar-v0."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import gymnasium_picture

POWER, GRAVITY, LEFT, RIGHT, GOAL, MAX_SPEED = 0.001, 0.0025, -1.2, 0.6, 0.5, 0.07


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [2, B]: position uniform from -0.6 to -0.4, velocity 0."""
    state = torch.zeros(2, num_envs, device=device)
    state[0].uniform_(-0.6, -0.4, generator=generator)
    return state


def roll(state: Tensor, push: Tensor) -> Tensor:
    """One step under an acceleration `push` [B]; the wall on the left stops the car."""
    position, velocity = state.unbind(0)
    velocity = (velocity + push - GRAVITY * (3 * position).cos()).clamp(-MAX_SPEED, MAX_SPEED)
    position = (position + velocity).clamp(LEFT, RIGHT)
    stopped = (position == LEFT) & (velocity < 0)
    return torch.stack((position, velocity.masked_fill(stopped, 0.0)))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Actions 0, 1, 2 push left, not at all, right. The reward is -1, also for the last step."""
    state = roll(state, POWER * (action - 1))
    terminated = (state[0] >= GOAL) & (state[1] >= 0)
    return state, torch.full_like(state[0], -1.0), terminated


def observe(state: Tensor) -> Tensor:
    """[B, 2]: position and velocity."""
    return state.t()


OBS_SPACE = spaces.Box(np.array([LEFT, -MAX_SPEED], np.float32), np.array([RIGHT, MAX_SPEED], np.float32))
render = gymnasium_picture("gymnasium.envs.classic_control.mountain_car:MountainCarEnv")

MOUNTAIN_CAR = Core(
    "MountainCar-v0", OBS_SPACE, spaces.Discrete(3), 200, initial, step, observe, render, 30, draws=False
)
