"""Global generators go on from where they were saved, and differ between workers."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from agent_gym.envs.make import make_env
from agent_gym.ground.chance import global_state, seed_globals, set_global_state, undisturbed


def draws() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]


def test_a_saved_state_goes_on():
    with undisturbed():
        seed_globals(3)
        first = draws()
        state = global_state()
        more = draws() + draws()
        set_global_state(state)
        assert draws() + draws() == more
        seed_globals(3)
        assert draws() == first


def test_what_is_drawn_inside_leaves_no_trace():
    before = global_state()
    with undisturbed():
        draws()
    after = global_state()
    assert all(torch.equal(before[name], after[name]) for name in ("python", "numpy"))
    assert before["numpy_rest"] == after["numpy_rest"]


class Draw(gymnasium.Env):
    """Observes what NumPy's global generator gives."""

    observation_space, action_space = spaces.Box(0.0, 1.0, (1,)), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.array([np.random.rand()], np.float32), {}

    def step(self, action):
        return np.array([np.random.rand()], np.float32), 0.0, False, False, {}


def test_workers_draw_other_numbers_each_and_the_same_in_every_run():
    gymnasium.register("Test/Draw-v0", Draw)
    runs = []
    for _ in range(2):
        np.random.rand()
        env = make_env("Test/Draw-v0", 2, backend="async")
        seen = [env.reset(7)]
        for _ in range(3):
            seen.append(env.step(torch.zeros(2, dtype=torch.int64)).obs)
        env.close()
        runs.append(torch.stack(seen))
    assert torch.equal(runs[0], runs[1])
    if len(env.rows) > 1:  # as many workers as cores, at most
        assert not torch.equal(runs[0][:, 0], runs[0][:, 1])
