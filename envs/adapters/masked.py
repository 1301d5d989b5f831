"""Gymnasium environments with the velocities taken out of the observation: only a memory can bring them back."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import AcrobotEnv, CartPoleEnv, PendulumEnv
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs


class Keep(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Keeps only the given entries of a vector observation."""

    def __init__(self, env: gymnasium.Env, entries: Sequence[int]):
        RecordConstructorArgs.__init__(self, entries=entries)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.entries = list(entries)
        space = env.observation_space
        self.observation_space = Box(space.low[self.entries], space.high[self.entries], dtype=space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self.entries]


def cartpole_no_vel(**kwargs) -> gymnasium.Env:
    """CartPole-v1 observed as x and theta."""
    return Keep(CartPoleEnv(**kwargs), (0, 2))


def pendulum_no_vel(**kwargs) -> gymnasium.Env:
    """Pendulum-v1 observed as cos(theta) and sin(theta)."""
    return Keep(PendulumEnv(**kwargs), (0, 1))


def acrobot_no_vel(**kwargs) -> gymnasium.Env:
    """Acrobot-v1 observed as cosine and sine of both angles."""
    return Keep(AcrobotEnv(**kwargs), (0, 1, 2, 3))
