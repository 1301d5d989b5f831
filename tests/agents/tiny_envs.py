"""Environments small enough to be learned in seconds, each with one thing to learn, and how well that went."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from agent_gym.agents.agent import Agent


class Chain(gymnasium.Env):
    """Four places in a row. Left pays 0.1 and leads back to the start; at the far end right pays 1. Ten steps."""

    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t = 0, 0
        return self.place, {}

    def step(self, action):
        self.t += 1
        reward = (1.0 if self.place == 3 else 0.0) if action else 0.1
        self.place = min(self.place + 1, 3) if action else 0
        return self.place, reward, False, self.t == 10, {}


class Aim(gymnasium.Env):
    """One step: the reward is -(action - 4 - 3 context)², actions from 0 to 8."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (1,)), spaces.Box(0.0, 8.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.context = self.np_random.uniform(-1.0, 1.0)
        return np.array([self.context], np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -(float(action[0] - 4.0 - 3.0 * self.context) ** 2), True, False, {}


class Cue(gymnasium.Env):
    """A cue at first, then nothing to see; the fourth action pays 1 if it is the cue, or has its sign."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, action_space: spaces.Space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return np.array([2.0 * self.cue - 1.0, 0.0], np.float32), {}

    def step(self, action):
        self.t += 1
        chosen = action if isinstance(self.action_space, spaces.Discrete) else action[0] > 0
        reward = float(self.t == 4 and chosen == self.cue)
        return np.array([0.0, self.t / 4], np.float32), reward, self.t == 4, False, {}


class Numbered(gymnasium.Env):
    """Observes (number of the episode, t); no two episodes of a process have one number. Raises when told to."""

    observation_space, action_space = spaces.Box(0.0, 1e6, (2,)), spaces.Discrete(2)
    episodes = count()
    fails_at = 0  # the t of every episode at which it raises; 0: never

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.where = np.array([next(self.episodes), 0], np.float32)
        return self.where.copy(), {}

    def step(self, action):
        self.where[1] += 1
        if self.where[1] == self.fails_at:
            raise RuntimeError("the wheel came off")
        return self.where.copy(), 1.0, False, self.where[1] == 7, {}


def train(agent: Agent, steps: int) -> None:
    agent.begin()
    while agent.steps < steps:
        agent.collect()
        agent.update()


def score(agent: Agent, make: Callable[[], gymnasium.Env], episodes: int) -> float:
    """Mean return of the deterministic policy, played in one environment after the other."""
    total = 0.0
    for seed in range(episodes):
        env = make()
        obs, _ = env.reset(seed=seed)
        state, reset, done = agent.policy.initial_state(1), torch.ones(1, dtype=torch.bool), False
        while not done:
            action, state, _ = agent.policy.act(torch.as_tensor(obs).unsqueeze(0), state, reset, explore=False)
            obs, reward, terminated, truncated, _ = env.step(action[0].numpy())
            done, reset = terminated or truncated, torch.zeros(1, dtype=torch.bool)
            total += reward
    return total / episodes


def miss(agent: Agent) -> float:
    """By how much the actions of an agent that learned to aim are off. Actions at random: 2.6."""
    context = torch.linspace(-0.9, 0.9, 7).unsqueeze(1)
    action, _, _ = agent.policy.act(context, torch.zeros(7, 0), torch.ones(7, dtype=torch.bool), explore=False)
    return (action - (4.0 + 3.0 * context)).abs().mean().item()
