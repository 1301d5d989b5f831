"""An environment whose observation says exactly where it is, and the truth about any sequence of its actions."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from agent_gym.envs.vector import Step

GO_ON, TERMINATE, TRUNCATE = range(3)


class Count(gymnasium.Env):
    """Observes (episode, t), both counted from 0; the action says how it goes on. The reward is 10·episode + t."""

    observation_space = Box(0, 1000, (2,), np.float32)
    action_space = Discrete(3, start=5)  # actions reach it as 5, 6, 7

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        end = action - 5
        return self.observe(), 10.0 * self.episode + self.t, end == TERMINATE, end == TRUNCATE, {}

    def observe(self):
        return np.array([self.episode, self.t], np.float32)


class NestedCount(Count):
    """The same observation in a Dict that holds a Tuple."""

    observation_space = Dict({"where": Tuple((Discrete(1000), Box(0, 1000, (1,), np.float64)))})

    def observe(self):
        return {"where": (np.int64(self.episode), np.array([self.t], np.float64))}


gymnasium.register("Counting/Plain-v0", entry_point=Count, disable_env_checker=True)
gymnasium.register("Counting/Nested-v0", entry_point=NestedCount, disable_env_checker=True)


def random_actions(num_steps: int, num_envs: int, seed: int = 0) -> torch.Tensor:
    """[T, B] actions that end a third of all steps, so that one-step episodes and simultaneous ends occur."""
    chances = torch.tensor([4.0, 1.0, 1.0])
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(chances, num_steps * num_envs, True, generator=generator).view(num_steps, num_envs)


def flat(obs) -> torch.Tensor:
    """[B, 2] from the plain or the nested observation."""
    if isinstance(obs, dict):
        return torch.cat((obs["where"]["0"].unsqueeze(1).float(), obs["where"]["1"]), 1)
    return obs


class Truth:
    """What B counting environments return, kept by counting in the test itself."""

    def __init__(self, num_envs: int):
        self.where = torch.zeros(num_envs, 2)

    def check(self, step: Step, action: torch.Tensor) -> None:
        """A same-step reset: the new episode's first obs now, the old one's last in final_obs."""
        self.where[:, 1] += 1
        final = self.where.clone()
        terminated, truncated = action == TERMINATE, action == TRUNCATE
        done = terminated | truncated
        self.where[done, 0] += 1
        self.where[done, 1] = 0
        assert torch.equal(flat(step.final_obs), final)
        assert torch.equal(flat(step.obs), self.where)
        assert torch.equal(step.reward, 10 * final[:, 0] + final[:, 1])
        assert torch.equal(step.terminated, terminated) and torch.equal(step.truncated, truncated)
        assert step.reward.dtype == torch.float32 and step.terminated.dtype == step.truncated.dtype == torch.bool
        assert step.valid is None
        assert (step.final_obs is step.obs) == (not done.any())
