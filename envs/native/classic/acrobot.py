"""A two-link arm swung up by its middle joint (Sutton 1996), with the equations of Gymnasium's Acrobot-v1."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import gymnasium_picture

GRAVITY, MASS, LENGTH, CENTRE, INERTIA, TAU = 9.8, 1.0, 1.0, 0.5, 1.0, 0.2  # both links are alike
MAX_SPEEDS = (4 * math.pi, 9 * math.pi)


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [4, B]: both joints' angles, 0 hanging down, and angular velocities, each uniform in ±0.1.

    In float64: the motion is chaotic, and float32 loses Gymnasium's trajectory after some hundred steps.
    """
    start = torch.empty(4, num_envs, device=device).uniform_(-0.1, 0.1, generator=generator)
    return start.double()


def derivative(state: Tensor, torque: Tensor) -> Tensor:
    """d(state)/dt [4, B] (Sutton and Barto 2018, section 11.3)."""
    theta1, theta2, speed1, speed2 = state.unbind(0)
    sin2, cos2 = theta2.sin(), theta2.cos()
    coupling = MASS * LENGTH * CENTRE
    d1 = 2 * coupling * cos2 + (MASS * (2 * CENTRE**2 + LENGTH**2) + 2 * INERTIA)
    d2 = coupling * cos2 + (MASS * CENTRE**2 + INERTIA)
    phi2 = MASS * CENTRE * GRAVITY * (theta1 + theta2).sin()
    phi1 = phi2 - coupling * speed2 * (speed2 + 2 * speed1) * sin2 + MASS * (CENTRE + LENGTH) * GRAVITY * theta1.sin()
    share = d2 / d1
    acc2 = torque + share * phi1 - coupling * speed1 * speed1 * sin2 - phi2
    acc2 = acc2 / (MASS * CENTRE**2 + INERTIA - d2 * share)
    acc1 = -(d2 * acc2 + phi1) / d1
    return torch.stack((speed1, speed2, acc1, acc2))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """0.2 s by one Runge-Kutta step; actions 0, 1, 2 are torques -1, 0, 1. The reward is -1 until the tip is up."""
    torque = (action - 1).to(state.dtype)
    k1 = derivative(state, torque)
    k2 = derivative(state + TAU / 2 * k1, torque)
    k3 = derivative(state + TAU / 2 * k2, torque)
    k4 = derivative(state + TAU * k3, torque)
    state = state + TAU / 6 * (k1 + 2 * (k2 + k3) + k4)
    angles = torch.remainder(state[:2] + math.pi, 2 * math.pi) - math.pi
    speeds = (speed.clamp(-most, most) for speed, most in zip(state[2:], MAX_SPEEDS, strict=True))
    state = torch.stack((*angles, *speeds))
    terminated = -angles[0].cos() - (angles[0] + angles[1]).cos() > 1.0
    return state, terminated.float() - 1.0, terminated


def observe(state: Tensor) -> Tensor:
    """[B, 6]: cosine and sine of each angle, both velocities."""
    return torch.cat((_circle(state), state[2:])).t().float()


def observe_positions(state: Tensor) -> Tensor:
    """[B, 4]: cosine and sine of each angle, without the velocities."""
    return _circle(state).t().float()


def _circle(state: Tensor) -> Tensor:
    cos, sin = state[:2].cos(), state[:2].sin()
    return torch.stack((cos[0], sin[0], cos[1], sin[1]))


_HIGH = np.array([1, 1, 1, 1, *MAX_SPEEDS], np.float32)
render = gymnasium_picture("gymnasium.envs.classic_control.acrobot:AcrobotEnv")

ACROBOT = Core(
    "Acrobot-v1", spaces.Box(-_HIGH, _HIGH), spaces.Discrete(3), 500, initial, step, observe, render, 15, draws=False
)
ACROBOT_NO_VEL = Core(
    "AgentGym/AcrobotNoVel-v1",
    spaces.Box(-_HIGH[:4], _HIGH[:4]),
    spaces.Discrete(3),
    500,
    initial,
    step,
    observe_positions,
    render,
    15,
    draws=False,
)
