"""An environment whose picture tells where it is, an agent to watch in it, and a stage that remembers."""

from __future__ import annotations

import copy

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.viewing.player import Show, Tap


class Painted(gymnasium.Env):
    """Observes t; every pixel is 10 · episode + t; ends after `lengths[episode]` steps; the reward is t.

    `episode` goes on with each reset that gives a seed, which is how a show starts a round.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    observation_space = Box(0, np.inf, (1,), np.float32)
    action_space = Discrete(3)

    def __init__(self, lengths=(3, 5), render_mode=None):
        self.lengths, self.render_mode, self.episode, self.seeds = lengths, render_mode, -1, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = (self.episode + (seed is not None)) % len(self.lengths)
        self.seeds.append(seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), float(self.t), self.t == self.lengths[self.episode], False, {}

    def render(self):
        return np.full((8, 12, 3), (10 * self.episode + self.t) % 256, np.uint8)


class Watched:
    """Acts 1 always; values an observation at 100 + t."""

    device = torch.device("cpu")

    def initial_state(self, num_envs):
        return torch.zeros(num_envs, 0)

    def act(self, obs, state, reset, mask=None, **drawing):
        return torch.ones(len(obs), dtype=torch.int64), state, {}

    def inspect(self, obs, state, reset, mask=None):
        return {"value": 100 + obs[:, 0], "probs": torch.tensor([[0.1, 0.6, 0.3]]).expand(len(obs), 3)}


class Memory:
    """A stage that hands out the views themselves."""

    status = ""

    def draw(self, views):
        return copy.deepcopy(views)

    def redraw(self):
        return None


def make_show(*lengths, stage=None, agent=None, **options) -> Show:
    """A show of one environment for each list of episode lengths."""
    taps = [Tap(Painted(each, render_mode="rgb_array")) for each in lengths]
    return Show(agent or Watched(), SyncEnv(taps, "Painted"), taps, stage or Memory(), seed=7, **options)


gymnasium.register("Painted/Plain-v0", entry_point=Painted, max_episode_steps=50)
