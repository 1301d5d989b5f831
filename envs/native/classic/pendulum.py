"""A pendulum swung up by a weak motor, with the equations and numbers of Gymnasium's Pendulum-v1."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import gymnasium_picture

GRAVITY, MASS, LENGTH, TAU, MAX_SPEED, MAX_TORQUE = 10.0, 1.0, 1.0, 0.05, 8.0, 2.0


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [2, B]: angle uniform in ±pi, 0 upright; angular velocity uniform in ±1.

    In float64: float32 loses Gymnasium's trajectory where the pendulum stands on its head.
    """
    state = torch.empty(2, num_envs, dtype=torch.float64, device=device).uniform_(-1.0, 1.0, generator=generator)
    state[0] *= math.pi
    return state


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """0.05 s under the torque of action [B, 1], ±2. The reward is -(angle² + 0.1 velocity² + 0.001 torque²)."""
    theta, speed = state.unbind(0)
    torque = action[:, 0].clamp(-MAX_TORQUE, MAX_TORQUE)
    angle = torch.remainder(theta + math.pi, 2 * math.pi) - math.pi
    reward = -(angle * angle + 0.1 * speed * speed + 0.001 * torque * torque)
    acc = 3 * GRAVITY / (2 * LENGTH) * theta.sin() + 3 / (MASS * LENGTH**2) * torque
    speed = (speed + TAU * acc).clamp(-MAX_SPEED, MAX_SPEED)
    return torch.stack((theta + TAU * speed, speed)), reward.float(), torch.zeros_like(theta, dtype=torch.bool)


def observe(state: Tensor) -> Tensor:
    """[B, 3]: cosine and sine of the angle, velocity."""
    return torch.stack((state[0].cos(), state[0].sin(), state[1]), dim=1).float()


def observe_positions(state: Tensor) -> Tensor:
    """[B, 2]: cosine and sine of the angle, without the velocity."""
    return torch.stack((state[0].cos(), state[0].sin()), dim=1).float()


render = gymnasium_picture("gymnasium.envs.classic_control.pendulum:PendulumEnv")
_HIGH = np.array([1.0, 1.0, MAX_SPEED], np.float32)
_TORQUE = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,))

PENDULUM = Core("Pendulum-v1", spaces.Box(-_HIGH, _HIGH), _TORQUE, 200, initial, step, observe, render, 30, draws=False)
PENDULUM_NO_VEL = Core(
    "AgentGym/PendulumNoVel-v1",
    spaces.Box(-_HIGH[:2], _HIGH[:2]),
    _TORQUE,
    200,
    initial,
    step,
    observe_positions,
    render,
    30,
    draws=False,
)
