"""Gymnasium environments behind the vector contract: single environments in a loop, and vector environments."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from envs.spaces import ObsLayout, action_decoder, canonical_action, first_nonfinite, map_obs
from envs.vector import EnvFailure, EnvSpecError, Obs, Step, VectorEnv

Arrays = Sequence[np.ndarray]


def env_seeds(seed: int, num_envs: int) -> list[int]:
    """A distinct 31-bit seed for each environment, scattered so that neighbouring run seeds share none in practice."""
    base = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return [(base + i) % 2**31 for i in range(num_envs)]


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}".rstrip(": ").replace("\n", " ")


class Batch(NamedTuple):
    """A step of B environments as arrays."""

    obs: Arrays
    reward: np.ndarray  # [B] float32
    terminated: np.ndarray  # [B] bool
    truncated: np.ndarray  # [B] bool
    final_obs: Arrays  # the same object as obs when no episode ended


def check_finite(env_id: str, step: int, arrays: Arrays, what: str) -> None:
    """Raises EnvFailure if any floating-point array [B, ...] holds NaN or infinity."""
    index = first_nonfinite(arrays)
    if index is not None:
        raise EnvFailure(env_id, index, step, f"it returned NaN or infinity in {what}")


def step_envs(
    envs: Sequence[gymnasium.Env],
    layout: ObsLayout,
    actions: np.ndarray,
    out: Batch,
    env_id: str,
    first: int,
    step: int,
) -> bool:
    """Step each environment, reset those whose episode ends, and fill `out`; whether any episode ended.

    Rows of `out.final_obs` are written where an episode ended and nowhere else. Errors count environments from `first`.
    """
    obs, reward, terminated, truncated, final_obs = out
    put = layout.put
    ended = False
    i = 0
    try:
        for i, (env, action) in enumerate(zip(envs, actions, strict=True)):
            next_obs, reward[i], end, limit, _ = env.step(action)
            terminated[i] = end
            truncated[i] = limit
            if end or limit:
                ended = True
                put(final_obs, i, next_obs)
                next_obs, _ = env.reset()
            put(obs, i, next_obs)
    except Exception as error:
        raise EnvFailure(env_id, first + i, step, describe(error), traceback.format_exc()) from error
    return ended


def reset_envs(
    envs: Sequence[gymnasium.Env], layout: ObsLayout, seeds: Sequence[int], obs: Arrays, env_id: str, first: int
) -> None:
    """Reset each environment with its seed and fill `obs`. Errors count environments from `first`."""
    i = 0
    try:
        for i, (env, seed) in enumerate(zip(envs, seeds, strict=True)):
            layout.put(obs, i, env.reset(seed=seed)[0])
    except Exception as error:
        raise EnvFailure(env_id, first + i, 0, describe(error), traceback.format_exc()) from error


class ArrayVectorEnv(VectorEnv):
    """What the vector environments that work on NumPy arrays share: spaces, checks, and arrays to tensors."""

    def __init__(self, env_id: str, obs_space, action_space, num_envs: int, device: torch.device | str):
        self.id, self.num_envs, self.device = env_id, num_envs, torch.device(device)
        self.layout = ObsLayout(obs_space)
        self.obs_space, self.action_space = self.layout.space, canonical_action(action_space)
        self.decode = action_decoder(action_space, num_envs)
        self.steps = 0

    def to_device(self, obs: Arrays) -> Obs:
        tensors = self.layout.tensors(obs)
        return tensors if self.device.type == "cpu" else map_obs(lambda part: part.to(self.device), tensors)

    def first_obs(self, obs: Arrays) -> Obs:
        """Checked observations of a reset, as tensors."""
        check_finite(self.id, 0, obs, "the observation")
        return self.to_device(obs)

    def to_step(self, batch: Batch, valid: np.ndarray | None = None) -> Step:
        """Check a batch of fresh arrays and hand it out as tensors."""
        check_finite(self.id, self.steps, (batch.reward,), "the reward")
        check_finite(self.id, self.steps, batch.obs, "the observation")
        obs = final_obs = self.to_device(batch.obs)
        if batch.final_obs is not batch.obs:
            check_finite(self.id, self.steps, batch.final_obs, "the observation")
            final_obs = self.to_device(batch.final_obs)
        flags = [None if array is None else self._tensor(array) for array in (batch.terminated, batch.truncated, valid)]
        return Step(obs, self._tensor(batch.reward), flags[0], flags[1], final_obs, {}, flags[2])

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device)


class SyncEnv(ArrayVectorEnv):
    """Steps a list of equal `gymnasium.Env` one after the other in this process."""

    backend = "gymnasium"

    def __init__(self, envs: Sequence[gymnasium.Env], env_id: str = "", device: torch.device | str = "cpu"):
        spec_id = envs[0].spec.id if envs[0].spec else type(envs[0]).__name__
        super().__init__(env_id or spec_id, envs[0].observation_space, envs[0].action_space, len(envs), device)
        self.envs = list(envs)

    def reset(self, seed: int) -> Obs:
        obs = self.layout.empty(self.num_envs)
        reset_envs(self.envs, self.layout, env_seeds(seed, self.num_envs), obs, self.id, 0)
        return self.first_obs(obs)

    def step(self, action: Tensor) -> Step:
        self.steps += 1
        count = self.num_envs
        obs, final_obs = self.layout.empty(count), self.layout.empty(count)
        flags = np.empty((2, count), np.bool_)
        out = Batch(obs, np.empty(count, np.float32), flags[0], flags[1], final_obs)
        if not step_envs(self.envs, self.layout, self.decode(action), out, self.id, 0, self.steps):
            return self.to_step(out._replace(final_obs=obs))
        going_on = ~(flags[0] | flags[1])
        for final, current in zip(final_obs, obs, strict=True):
            final[going_on] = current[going_on]
        return self.to_step(out)

    def close(self) -> None:
        for env in self.envs:
            env.close()


class VectorAdapter(ArrayVectorEnv):
    """Any `gymnasium.vector.VectorEnv`, in whichever autoreset mode it declares.

    SAME_STEP takes `info["final_obs"]`; DISABLED resets by mask in the same step; NEXT_STEP, which cannot be
    mended from outside, marks the swallowed transitions in `Step.valid`.
    """

    def __init__(
        self,
        envs: gymnasium.vector.VectorEnv,
        env_id: str = "",
        device: torch.device | str = "cpu",
        backend: str = "gymnasium",
    ):
        spec_id = envs.spec.id if envs.spec else type(envs.unwrapped).__name__
        super().__init__(
            env_id or spec_id, envs.single_observation_space, envs.single_action_space, envs.num_envs, device
        )
        mode = envs.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise EnvSpecError(
                f"{self.id}: the vector environment's metadata['autoreset_mode'] is {mode!r}, expected a "
                "gymnasium.vector.AutoresetMode"
            )
        self.envs, self.backend, self.mode = envs, backend, mode
        self.swallowed = np.zeros(self.num_envs, np.bool_)  # [B] the next action of these will be swallowed by a reset

    def reset(self, seed: int) -> Obs:
        obs, _ = self._call(self.envs.reset, 0, seed=env_seeds(seed, 1)[0])
        self.swallowed = np.zeros(self.num_envs, np.bool_)
        return self.first_obs(self.layout.batch(obs, self.num_envs))

    def step(self, action: Tensor) -> Step:
        self.steps += 1
        raw_obs, reward, terminated, truncated, info = self._call(self.envs.step, self.steps, self.decode(action))
        obs = final_obs = self.layout.batch(raw_obs, self.num_envs)
        terminated, truncated = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        done = terminated | truncated
        valid = None
        if self.mode is AutoresetMode.NEXT_STEP:
            valid, self.swallowed = ~self.swallowed, done
        elif done.any():
            if self.mode is AutoresetMode.SAME_STEP:
                final_obs = self._final_obs(obs, info["final_obs"], done)
            else:
                first_obs, _ = self._call(self.envs.reset, self.steps, options={"reset_mask": done.copy()})
                obs = self.layout.batch(first_obs, self.num_envs)
        return self.to_step(Batch(obs, np.array(reward, np.float32), terminated, truncated, final_obs), valid)

    def _final_obs(self, obs: Arrays, info: Any, done: np.ndarray) -> Arrays:
        """`obs` with the last observations of ended episodes, which `info` holds one by one or as a batch."""
        final_obs = [array.copy() for array in obs]
        if isinstance(info, np.ndarray) and info.dtype == object:
            for i in np.flatnonzero(done):
                self.layout.put(final_obs, i, info[i])
        else:
            for final, array in zip(final_obs, self.layout.batch(info, self.num_envs), strict=True):
                final[done] = array[done]
        return final_obs

    def _call(self, function, step: int, *args, **kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise EnvFailure(self.id, 0, step, describe(error), traceback.format_exc()) from error

    def close(self) -> None:
        self.envs.close()
