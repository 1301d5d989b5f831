"""Cart-pole balancing (Barto, Sutton and Anderson 1983), with the equations and numbers of Gymnasium's CartPole-v1."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core

GRAVITY, CART_MASS, POLE_MASS, HALF_LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
TOTAL_MASS = CART_MASS + POLE_MASS
POLE_SHARE = POLE_MASS * HALF_LENGTH / TOTAL_MASS
X_LIMIT, THETA_LIMIT = 2.4, math.radians(12)


class Constants(NamedTuple):
    """Numbers as tensors: an operation with one costs half of an operation with a Python number."""

    push: Tensor  # [2] acceleration by action
    gravity: Tensor  # []
    inertia: Tensor  # []
    limits: Tensor  # [4, 1] of the state's absolute values


@functools.cache
def constants(device: torch.device) -> Constants:
    numbers = (
        [-FORCE / TOTAL_MASS, FORCE / TOTAL_MASS],
        GRAVITY,
        HALF_LENGTH * 4 / 3,
        [[X_LIMIT], [math.inf], [THETA_LIMIT], [math.inf]],
    )
    return Constants(*(torch.tensor(number, dtype=torch.float32, device=device) for number in numbers))


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [4, B]: x, x_dot, theta, theta_dot, each uniform in ±0.05."""
    return torch.empty(4, num_envs, device=device).uniform_(-0.05, 0.05, generator=generator)


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One Euler step of 0.02 s; action 0 pushes left, 1 right. The reward is 1, also for the last step."""
    const = constants(state.device)
    _, x_dot, theta, theta_dot = state.unbind(0)
    sin, cos = theta.sin(), theta.cos()
    push = torch.addcmul(const.push.index_select(0, action), theta_dot * theta_dot, sin, value=POLE_SHARE)
    inertia = torch.addcmul(const.inertia, cos, cos, value=-HALF_LENGTH * POLE_MASS / TOTAL_MASS)
    theta_acc = torch.addcmul(sin * const.gravity, cos, push, value=-1).div_(inertia)
    x_acc = push.addcmul_(theta_acc, cos, value=-POLE_SHARE)
    state = torch.add(state, torch.stack((x_dot, x_acc, theta_dot, theta_acc)), alpha=TAU)
    terminated = (state.abs() > const.limits).any(0)
    return state, torch.ones_like(x_dot), terminated


def observe(state: Tensor) -> Tensor:
    """[B, 4]: the whole state."""
    return state.t()


def observe_positions(state: Tensor) -> Tensor:
    """[B, 2]: x and theta, without their velocities."""
    return state[::2].t()


def render(state: np.ndarray) -> np.ndarray:
    """Gymnasium's picture of the cart and the pole."""
    painter = _painter()
    painter.state = state
    return painter.render()


@functools.cache
def _painter():
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv  # loads pygame

    return CartPoleEnv(render_mode="rgb_array")


_HIGH = np.array([2 * X_LIMIT, np.inf, 2 * THETA_LIMIT, np.inf], np.float32)

CARTPOLE = Core(
    "CartPole-v1", spaces.Box(-_HIGH, _HIGH), spaces.Discrete(2), 500, initial, step, observe, render, draws=False
)
CARTPOLE_NO_VEL = Core(
    "AgentGym/CartPoleNoVel-v1",
    spaces.Box(-_HIGH[::2], _HIGH[::2]),
    spaces.Discrete(2),
    500,
    initial,
    step,
    observe_positions,
    render,
    draws=False,
)
