"""Gymnasium environments behind the vector contract: single environments in a loop, and vector environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from agent_gym.envs.adapters.arrays import ArrayVectorEnv, env_seeds
from agent_gym.envs.adapters.boundary.checks import first_of
from agent_gym.envs.adapters.boundary.spaces import Arrays
from agent_gym.envs.adapters.episodes.snapshot import has_own, put_all_back, take_all
from agent_gym.envs.adapters.singles import FAULTS, Batch, discard, reset_envs, spaces_of, step_envs, trouble
from agent_gym.envs.conventions.goals import goal_rule
from agent_gym.envs.conventions.infos import Scalars
from agent_gym.envs.conventions.masks import layout_of
from agent_gym.envs.failures import Trouble
from agent_gym.envs.vector import Obs
from agent_gym.ground.errors import Interrupted, UserError
from agent_gym.ground.spaces import METHOD


class SyncEnv(ArrayVectorEnv):
    """Steps a list of equal `gymnasium.Env` one after the other in this process; `make` gives another like them."""

    backend = "gymnasium"
    lender: SyncEnv | None = None  # whose environments these are

    def __init__(
        self,
        envs: Sequence[gymnasium.Env],
        env_id: str = "",
        device: torch.device | str = "cpu",
        make: Callable[[], gymnasium.Env] | None = None,
        masks: str = "auto",
    ):
        """`masks`: where those of actions are looked for, see --action-mask."""
        spec = envs[0].spec
        name = env_id or (spec.id if spec else type(envs[0].unwrapped).__name__)
        obs_space, action_space = spaces_of(envs[0], name)
        layout = layout_of(obs_space, action_space, name, masks, all(e.has_wrapper_attr(METHOD) for e in envs))
        super().__init__(name, layout, action_space, len(envs), device)
        self.envs, self.make, self.telling = list(envs), make, Scalars(len(envs))
        self.relabel = goal_rule(envs[0])

    def _reset(self, seeds: list[int], obs: Arrays) -> list[Trouble]:
        return reset_envs(self.envs, self.layout, seeds, obs, 0, self._look_up)

    def _look_up(self, number: int) -> None:
        """Before each environment's step or reset. Raises Interrupted."""
        if self.interrupted is not None and self.interrupted():
            raise Interrupted

    def _step(self, action: np.ndarray) -> tuple[Batch, list[Trouble]]:
        count = self.num_envs
        obs, final_obs = self.layout.empty(count), self.layout.empty(count)
        flags = np.empty((2, count), np.bool_)
        out = Batch(obs, np.empty(count, np.float32), flags[0], flags[1], final_obs)
        looking, scalars = self.steps == 1, self.telling
        begin = None if self.interrupted is None else self._look_up
        scalars.clear()
        told = {"looking": looking, "scalars": scalars, "unfold": self.unfold}
        ended, troubles = step_envs(self.envs, self.layout, action, out, 0, begin, self._seeds(), **told)
        out = out._replace(told=scalars.told())
        if not ended:
            return out._replace(final_obs=obs), troubles
        going_on = ~(flags[0] | flags[1])
        for final, current in zip(final_obs, obs, strict=True):
            final[going_on] = current[going_on]
        return out, troubles

    def _seeds(self) -> np.ndarray | None:
        return None if self.record is None else self.seeds

    def _step_some(self, action: np.ndarray, chosen: np.ndarray) -> tuple[Batch, list[Trouble]]:
        obs, flags = self.layout.empty(self.num_envs), np.zeros((2, self.num_envs), np.bool_)
        out = Batch(obs, np.empty(self.num_envs, np.float32), flags[0], flags[1], obs)
        return out, step_envs(self.envs, self.layout, action, out, 0, chosen=chosen, unfold=self.unfold)[1]

    @property
    def own_state(self) -> bool:
        return all(map(has_own, self.envs))

    def _take(self) -> dict[str, Any]:
        taken = take_all(self.envs)
        return {"envs": taken} if taken else {}

    def _put_back(self, saved: dict[str, Any]) -> bool:
        return put_all_back(self.envs, saved["envs"])

    def begin_again(self, rows: list[int], seed: int) -> Obs:
        obs = [array.copy() for array in self.last]
        troubles = []
        for row, own in zip(rows, env_seeds(seed, len(rows)), strict=True):
            part = [array[row : row + 1] for array in obs]
            troubles += reset_envs([self.envs[row]], self.layout, [own], part, row)
        self._start(troubles, rows, obs, self.steps)
        self.last = obs
        return self._to_device(obs)

    def part(self, rows: int) -> SyncEnv:
        some = SyncEnv(self.envs[:rows], self.id, self.device, self.make)
        some.lender, some.recovery, some.bounds = self, self.recovery, self.bounds
        return some

    def _replace(self, rows: list[int], seeds: list[int], obs: Arrays) -> list[Trouble]:
        troubles = []
        for row, seed in zip(rows, seeds, strict=True):
            discard(self.envs[row])
            try:
                env = self.envs[row] = self.make()
                if self.lender is not None:
                    self.lender.envs[row] = env
                self.layout.put(obs, row, *first_of(env.reset(seed=seed)), env)
            except FAULTS as error:
                troubles.append(trouble(row, error, True))
        return troubles

    def close(self) -> None:
        if self.lender is None:
            for env in self.envs:
                discard(env)


class VectorAdapter(ArrayVectorEnv):
    """Any `gymnasium.vector.VectorEnv`, in whichever autoreset mode it declares.

    SAME_STEP takes `info["final_obs"]`; DISABLED resets by mask in the same step; NEXT_STEP, which cannot be
    mended from outside, marks the swallowed transitions in `Step.valid`. `make` gives another like it: when one of
    its environments fails, all of them begin anew in that.
    """

    whole = True

    def __init__(
        self,
        envs: gymnasium.vector.VectorEnv,
        env_id: str = "",
        device: torch.device | str = "cpu",
        backend: str = "gymnasium",
        make: Callable[[], gymnasium.vector.VectorEnv] | None = None,
        masks: str = "auto",
    ):
        spec, spaces = envs.spec, (envs.single_observation_space, envs.single_action_space)
        name = env_id or (spec.id if spec else type(envs.unwrapped).__name__)
        super().__init__(name, layout_of(*spaces, name, masks), spaces[1], envs.num_envs, device)
        mode = envs.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise UserError(
                f"{self.id}: its vector environment's metadata['autoreset_mode'] is {mode!r}, expected a "
                "gymnasium.vector.AutoresetMode; --backend sync and async take single environments and need none"
            )
        self.envs, self.backend, self.mode, self.make = envs, backend, mode, make
        self.telling = Scalars(self.num_envs)
        self.swallowed = np.zeros(self.num_envs, np.bool_)  # [B] the next action of these will be swallowed by a reset

    def _reset(self, seeds: list[int], obs: Arrays) -> list[Trouble]:
        self.swallowed = np.zeros(self.num_envs, np.bool_)
        try:
            first_obs, info = self.envs.reset(seed=seeds[0])
            for array, first in zip(obs, self.layout.batch(first_obs, self.num_envs, info), strict=True):
                array[:] = first
        except FAULTS as error:
            return [trouble(None, error)]
        return []

    def _step(self, action: np.ndarray) -> tuple[Batch, list[Trouble]]:
        try:
            return self._step_all(action), []
        except FAULTS as error:
            return self._blank(), [trouble(None, error)]

    def _step_all(self, action: np.ndarray) -> Batch:
        raw_obs, reward, terminated, truncated, info = self.envs.step(self.unfold(action))
        obs = final_obs = self.layout.batch(raw_obs, self.num_envs, info)
        self.telling.clear()
        self.telling.put_all(info)
        terminated, truncated = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        done = terminated | truncated
        valid = None
        if self.mode is AutoresetMode.NEXT_STEP:
            valid, self.swallowed = ~self.swallowed, done
        elif done.any():
            if self.mode is AutoresetMode.SAME_STEP:
                last = info.get("final_info", {})
                final_obs = self._final_obs(obs, info["final_obs"], last, done)
                if isinstance(last, dict):
                    self.telling.put_all(last, done)
            else:
                first_obs, info = self.envs.reset(options={"reset_mask": done.copy()})
                obs = self._told_again(self.layout.batch(first_obs, self.num_envs, info), obs, done)
        reward = np.array(reward, np.float32)
        return Batch(obs, reward, terminated, truncated, final_obs, valid, self.telling.told())

    def _replace(self, rows: list[int], seeds: list[int], obs: Arrays) -> list[Trouble]:
        discard(self.envs)
        try:
            self.envs = self.make()
        except FAULTS as error:
            return [trouble(None, error)]
        return self._reset(seeds, obs)

    def _told_again(self, fresh: Arrays, obs: Arrays, done: np.ndarray) -> Arrays:
        """`fresh` where an episode is `done`, and elsewhere what was told of `obs`: a reset does not tell it again."""
        for new, old in zip(fresh[len(self.layout.parts) :], obs[len(self.layout.parts) :], strict=True):
            new[~done] = old[~done]
        return fresh

    def _final_obs(self, obs: Arrays, last: Any, info: Any, done: np.ndarray) -> Arrays:
        """`obs` with the `last` observations of ended episodes, one by one or as a batch; `info` came with them."""
        final_obs = [array.copy() for array in obs]
        if isinstance(last, np.ndarray) and last.dtype == object:
            for i in np.flatnonzero(done):
                told = {key: part[i] for key, part in info.items() if not key.startswith("_") and np.ndim(part)}
                self.layout.put(final_obs, i, last[i], told)
        else:
            for final, array in zip(final_obs, self.layout.batch(last, self.num_envs, info), strict=True):
                final[done] = array[done]
        return final_obs

    def close(self) -> None:
        discard(self.envs)
