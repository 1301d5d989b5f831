"""EnvPool's C++ environments behind the vector contract."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

import envpool
import gymnasium
import numpy as np
import torch

from agent_gym.envs.adapters.arrays import ArrayVectorEnv
from agent_gym.envs.adapters.boundary.spaces import Arrays, canonical, canonical_action
from agent_gym.envs.adapters.singles import FAULTS, Batch, describe, trouble
from agent_gym.envs.conventions.infos import Scalars
from agent_gym.envs.conventions.masks import layout_of
from agent_gym.envs.failures import Trouble
from agent_gym.ground.errors import UserError
from agent_gym.ground.libraries import rounding_depends_on

rounding_depends_on("envpool")


def has(env_id: str) -> bool:
    """Whether EnvPool has an environment of this name."""
    return env_id in envpool.list_all_envs()


@contextlib.contextmanager
def _quiet():
    """Leave out Gymnasium's warning about the precision of the bounds, which EnvPool keeps in float64."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered")
        yield


class EnvPoolEnv(ArrayVectorEnv):
    """A pool that steps all environments in its threads; ended ones are reset at once, by id, in the same step.

    EnvPool calls an episode truncated, not terminated, when it ends by itself in the very step of its time limit.
    `like` is Gymnasium's environment of that id: its spaces are the ones shown. Raises UserError if they differ.
    `pool_id` is EnvPool's name for it where that is another.
    """

    backend = "envpool"
    whole = True

    def __init__(
        self,
        like: gymnasium.Env,
        num_envs: int,
        env_kwargs: dict[str, Any],
        device: torch.device | str = "cpu",
        pool_id: str = "",
        masks: str = "auto",
    ):
        env_id = like.spec.id
        self.pool_id = pool_id or env_id
        threads = min(num_envs, os.cpu_count() or 1)
        try:
            spec = envpool.make_spec(self.pool_id, num_envs=num_envs, num_threads=threads, **env_kwargs)
        except TypeError as error:
            raise UserError(
                f"EnvPool's {env_id} does not take --env-kwargs {env_kwargs} ({describe(error)}); "
                "--backend gymnasium does"
            ) from error
        with _quiet():
            spaces = spec.gymnasium_observation_space, spec.gymnasium_action_space
        super().__init__(env_id, layout_of(*spaces, env_id, masks), spaces[1], num_envs, device)
        pool_spaces = self.obs_space, self.action_space
        self.raw = like.observation_space, like.action_space  # what a run keeps: it is opened for Gymnasium's own
        self.obs_space, self.action_space = canonical(like.observation_space), canonical_action(like.action_space)
        for mine, theirs in zip(pool_spaces, (self.obs_space, self.action_space), strict=True):
            if type(mine) is not type(theirs) or mine.shape != theirs.shape:
                raise UserError(
                    f"EnvPool's {env_id} has the space {mine}, Gymnasium's {theirs}: use --backend gymnasium"
                )
        self.config = {"num_envs": num_envs, "num_threads": threads, **env_kwargs}
        self.pool, self.telling = None, Scalars(num_envs)

    def _reset(self, seeds: list[int], obs: Arrays) -> list[Trouble]:
        """A pool takes its seeds when it is made, so this makes a new one."""
        self.close()
        try:
            with _quiet():
                self.pool = envpool.make(self.pool_id, "gymnasium", seed=seeds, **self.config)
                self._put(obs, *self.pool.reset())
        except FAULTS as error:
            return [trouble(None, error)]
        return []

    def _step(self, action: np.ndarray) -> tuple[Batch, list[Trouble]]:
        try:
            raw_obs, reward, terminated, truncated, info = self.pool.step(action)
            obs = final_obs = self.layout.batch(raw_obs, self.num_envs, info)
            self.telling.clear()
            self.telling.put_all(info)
            done = terminated | truncated
            if done.any():
                obs = [array.copy() for array in final_obs]
                self._put(obs, *self.pool.reset(np.flatnonzero(done).astype(np.int32)))
        except FAULTS as error:
            return self._blank(), [trouble(None, error)]
        told = self.telling.told()
        return Batch(obs, reward.astype(np.float32), terminated, truncated, final_obs, told=told), []

    def _replace(self, rows: list[int], seeds: list[int], obs: Arrays) -> list[Trouble]:
        return self._reset(seeds, obs)

    def _put(self, arrays: list[np.ndarray], raw_obs: Any, info: dict[str, Any]) -> None:
        """Write the rows of a reset, which come in the order in which the threads finished."""
        ids = info["env_id"]
        for array, rows in zip(arrays, self.layout.batch(raw_obs, len(ids), info), strict=True):
            array[ids] = rows

    def close(self) -> None:
        if getattr(self, "pool", None) is not None:
            self.pool.close()
            self.pool = None
