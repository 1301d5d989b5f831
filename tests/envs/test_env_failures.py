"""An environment that misbehaves stops the run with its name, its number and the step."""

from __future__ import annotations

import os
import signal

import gymnasium
import numpy as np
import pytest
import torch
from counting import Count
from gymnasium.spaces import Box

from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.vector import EnvFailure


class Bad(Count):
    """Misbehaves in the third step of the environment whose seed was the highest."""

    seeds: list[int] = []

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def reset(self, *, seed=None, options=None):
        self.culprit = seed is not None and seed % 2 == 1
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if self.culprit and self.t == 3:
            if self.how == "raises":
                raise ZeroDivisionError("the motor\nbroke")
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            obs = {"nan obs": obs * np.nan, "inf obs": obs + np.inf, "shape": obs[:1]}.get(self.how, obs)
            terminated = self.how == "inf obs"  # the last observation of an episode counts as well
            reward = np.nan if self.how == "nan reward" else reward
        return obs, reward, terminated, truncated, info


def vector(kind: str, how: str):
    if kind == "sync":
        return SyncEnv([Bad(how) for _ in range(4)], "Bad-v0")
    if kind == "workers":
        return WorkerEnv(lambda: Bad(how), 4, "Bad-v0", num_workers=2)
    return VectorAdapter(gymnasium.vector.SyncVectorEnv([lambda: Bad(how)] * 4, autoreset_mode="SameStep"), "Bad-v0")


@pytest.mark.parametrize("kind", ["sync", "workers"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raises", "ZeroDivisionError: the motor broke"),
        ("nan obs", "NaN or infinity in the observation"),
        ("inf obs", "NaN or infinity in the observation"),
        ("nan reward", "NaN or infinity in the reward"),
        ("shape", "shape (1,), its space says (2,)"),
    ],
)
def test_failure_names_environment_number_and_step(kind, how, says):
    env, action = vector(kind, how), torch.zeros(4, dtype=torch.int64)
    first_odd = next(i for i, seed in enumerate(_seeds(env)) if seed % 2)
    env.reset(seed=0)
    env.step(action)
    env.step(action)
    with pytest.raises(EnvFailure) as caught:
        env.step(action)
    failure = caught.value
    assert (failure.env_id, failure.index, failure.step) == ("Bad-v0", first_odd, 3)
    assert says in str(failure) and "Bad-v0" in str(failure) and "\n" not in str(failure)
    assert ("ZeroDivisionError" in failure.traceback) == (how == "raises")
    env.close()


def _seeds(env) -> list[int]:
    from agent_gym.envs.adapters.arrays import env_seeds

    return env_seeds(0, env.num_envs)


def test_failure_of_a_foreign_vector_environment():
    env, action = vector("adapter", "raises"), torch.zeros(4, dtype=torch.int64)
    env.reset(seed=0)
    env.step(action)
    env.step(action)
    with pytest.raises(EnvFailure, match="Bad-v0.*step 3.*ZeroDivisionError"):
        env.step(action)


def test_death_of_a_worker_is_noticed():
    env, action = vector("workers", "dies"), torch.zeros(4, dtype=torch.int64)
    env.reset(seed=0)
    env.step(action)
    env.step(action)
    with pytest.raises(EnvFailure, match=r"worker process died \(exit code -9\)"):
        env.step(action)
    env.close()
    assert env.processes == []


def test_failure_at_reset():
    class NoStart(Count):
        def reset(self, *, seed=None, options=None):
            raise OSError("no display")

    with pytest.raises(EnvFailure, match="failed at reset: OSError: no display"):
        SyncEnv([NoStart()]).reset(0)


def test_huge_finite_numbers_are_no_failure():
    class Huge(Count):
        observation_space = Box(-np.inf, np.inf, (2,), np.float32)

        def observe(self):
            return np.full(2, 3e38, np.float32)

    assert torch.isfinite(SyncEnv([Huge(), Huge()]).reset(0)).all()
