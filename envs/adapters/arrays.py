"""Vector environments on NumPy arrays: what adapters share around their own reset, step and replacement."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.adapters.boundary.bounds import Bounds, finite
from agent_gym.envs.adapters.boundary.spaces import Arrays, ObsLayout, action_decoder, canonical_action, map_obs
from agent_gym.envs.adapters.episodes.recorded import RecordedEnv, env_seeds
from agent_gym.envs.adapters.sending import send
from agent_gym.envs.adapters.singles import INTEGERS, Batch, tell_outside
from agent_gym.envs.failures import Recovery, Trouble
from agent_gym.envs.vector import NOTHING, Obs, Step, Told, check_action
from agent_gym.ground.spaces import Unfold, row_of


class ArrayVectorEnv(RecordedEnv):
    """A vector environment on arrays: checks what comes, replaces what failed, hands it out as tensors.

    A failed step is handed out as `valid` False, reward 0 and truncated, `final_obs` being the last good observation
    and `obs` the first of the new environment. Only with `recovery.restart` there is a `valid` in every step.
    """

    def __init__(self, env_id: str, layout: ObsLayout, action_space, num_envs: int, device: torch.device | str):
        self.id, self.num_envs, self.device = env_id, num_envs, torch.device(device)
        self.raw = (layout.raw_space, action_space)
        self.layout = layout
        self.obs_space, self.action_space = self.layout.space, canonical_action(action_space)
        self.decode = action_decoder(action_space, num_envs)
        self.checks_actions = not isinstance(self.action_space, INTEGERS)
        self.unfold = Unfold(action_space)
        self.bounds = Bounds(self.layout)
        self.recovery = Recovery(env_id)
        self.action_shape, self.action_dtype = row_of(action_space)
        self.seeds = np.full(num_envs, -1, np.int64)  # of the episodes to come; -1: the environment draws on
        self.replaced: dict[int, int] = {}  # rows of the latest step that are new environments, and their seeds
        self.steps = 0
        self.told_outside = False
        self.last = None
        self.all_valid = torch.ones(num_envs, dtype=torch.bool, device=self.device)

    def move(self, device: torch.device) -> bool:
        self.device, self.all_valid = torch.device(device), self.all_valid.to(device)
        return True

    @property
    def raw_spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        return self.raw

    @property
    def outside(self) -> int:
        """Observations a little outside their space that were let pass."""
        return self.bounds.outside

    @abstractmethod
    def _replace(self, rows: list[int], seeds: list[int], obs: Arrays) -> list[Trouble]:
        """Put new environments in the place of `rows`, start them and fill their rows of `obs`."""

    def _lost(self, troubles: Iterable[Trouble]) -> list[int]:
        """The rows that need a new environment."""
        rows = {t.row for t in troubles}
        return list(range(self.num_envs)) if rows and self.whole else sorted(rows)

    def reset(self, seed: int) -> Obs:
        self.recovery.seed = seed
        obs = self._begin(env_seeds(seed, self.num_envs), 0)
        if self.record is not None:
            self._record_start(seed, obs)
        self.last = obs
        return self._to_device(obs)

    def _begin(self, seeds: list[int], step: int) -> Arrays:
        """Start all episodes anew with these seeds; the first observations."""
        self.intact, self.replaced, self.busy_since = False, dict(enumerate(seeds)), time.monotonic()
        obs = self.layout.empty(self.num_envs)
        self._start(self._reset(seeds, obs), range(self.num_envs), obs, step)
        layout = self.layout.settled(obs, self.id)
        if layout is not self.layout:
            self._settle(layout)
        self.intact, self.busy_since = True, None
        return obs

    def _settle(self, layout: ObsLayout) -> None:
        """Go on with another layout, of fewer arrays."""
        self.layout, self.bounds = layout, Bounds(layout, self.bounds.strict)

    @property
    def mask(self) -> Tensor | None:
        mask = None if self.last is None else self.layout.mask(self.last)
        return None if mask is None else torch.from_numpy(mask).to(self.device)

    def _start(self, troubles: list[Trouble], rows: Iterable[int], obs: Arrays, step: int) -> None:
        """Look at the first observations of `rows`, and replace until all are good."""
        while True:
            closed = self.layout.closed(obs)
            if troubles or closed or not self.bounds.hold(obs):
                skip = set(self._lost(troubles)) | (set(range(self.num_envs)) - set(rows))
                found = self.bounds.faults(obs, skip) | {r: why for r, why in closed.items() if r not in skip}
                troubles = troubles + [Trouble(row, reason, in_reset=True) for row, reason in found.items()]
            if not troubles:
                return
            for one in troubles:
                self.recovery.take(one, step)
            rows = self._lost(troubles)
            seeds = self.recovery.new_seeds(len(rows))
            self.replaced |= dict(zip(rows, seeds, strict=True))
            troubles = self._replace(rows, seeds, obs)

    def step(self, action: Tensor) -> Step:
        self.steps += 1
        action = action.cpu()
        if self.checks_actions:
            check_action(action, self.id)
        self.intact, self.busy_since = False, time.monotonic()
        decoded = self.decode(action)
        batch, troubles = self._step(decoded if self.record is None else decoded.copy())
        self.busy_since = None
        self.replaced = {}
        if self.bounds.outside and not self.told_outside:
            self.told_outside = True
            tell_outside(self.id, self.bounds.first)
        if troubles or not self._good(batch):
            batch = self._recover(batch, troubles)
        elif self.recovery.streaks:
            self.recovery.completed()
        if self.record is not None:
            self._record_step(decoded, batch)
            if self.drain is not None and self.drain.open:
                batch = self._hold_back(batch)
        self.intact = True
        self.last = batch.obs
        return self._to_step(batch)

    def _good(self, batch: Batch) -> bool:
        return (
            finite(batch.reward)
            and self.bounds.hold(batch.obs)
            and not self.layout.closed(batch.obs)
            and (batch.final_obs is batch.obs or self.bounds.hold(batch.final_obs))
        )

    def _recover(self, batch: Batch, troubles: list[Trouble]) -> Batch:
        """The batch with failed steps marked and new episodes begun; as it is where the values are let be."""
        troubles = sorted(troubles + self._faults(batch, troubles), key=lambda t: t.row or 0)
        if not troubles:
            self.recovery.completed()
            return batch
        lost, broken = self._lost(troubles), self._broken(troubles)
        self.recovery.completed(set(range(self.num_envs)) - set(broken))
        for one in troubles:
            self.recovery.take(one, self.steps)
        final_obs = [array.copy() for array in batch.final_obs]
        for final, last in zip(final_obs, self.last, strict=True):
            final[broken] = last[broken]
        valid = np.ones(self.num_envs, np.bool_) if batch.valid is None else batch.valid
        batch.reward[broken], batch.terminated[broken], batch.truncated[broken], valid[broken] = 0.0, False, True, False
        seeds = self.recovery.new_seeds(len(lost))
        self.replaced = dict(zip(lost, seeds, strict=True))
        self._start(self._replace(lost, seeds, batch.obs), lost, batch.obs, self.steps)
        return batch._replace(final_obs=final_obs, valid=valid)

    def _broken(self, troubles: Iterable[Trouble]) -> list[int]:
        """The rows whose step is not to be used."""
        return self._lost([t for t in troubles if self.whole or not t.in_reset])

    def _faults(self, batch: Batch, known: list[Trouble]) -> list[Trouble]:
        """What is wrong with values, apart from the troubles known."""
        skip, not_finite = set(self._broken(known)), np.flatnonzero(~np.isfinite(batch.reward)).tolist()
        wrong = {row: "it returned NaN or infinity in the reward" for row in not_finite if row not in skip}
        wrong |= self.bounds.faults(batch.final_obs, skip | wrong.keys())
        closed, ends = self.layout.closed(batch.obs), batch.terminated | batch.truncated
        wrong |= {row: why for row, why in closed.items() if not ends[row] and row not in skip | wrong.keys()}
        troubles = [Trouble(row, reason) for row, reason in wrong.items()]
        if batch.final_obs is not batch.obs:
            skip = {*self._lost(known), *wrong}
            found = self.bounds.faults(batch.obs, skip)
            found |= {row: why for row, why in closed.items() if ends[row] and row not in skip | found.keys()}
            troubles += [Trouble(row, reason, in_reset=True) for row, reason in found.items()]
        return troubles

    def _blank(self) -> Batch:
        """A step that went nowhere: what stands in where all environments failed at once."""
        nothing = np.zeros((2, self.num_envs), np.bool_)
        obs = [array.copy() for array in self.last]
        return Batch(obs, np.zeros(self.num_envs, np.float32), nothing[0], nothing[1], obs)

    def _to_device(self, obs: Arrays) -> Obs:
        tensors = self.layout.tensors(obs)
        return tensors if self.device.type == "cpu" else map_obs(lambda part: part.to(self.device), tensors)

    def _to_step(self, batch: Batch) -> Step:
        obs = final_obs = self.layout.tensors(batch.obs)
        if batch.final_obs is not batch.obs:
            final_obs = self.layout.tensors(batch.final_obs)
        reward, terminated, truncated = (torch.from_numpy(array) for array in batch[1:4])
        valid = None if batch.valid is None else torch.from_numpy(batch.valid)
        masks = [self.layout.mask(arrays) for arrays in (batch.obs, batch.final_obs)]
        mask, final_mask = (None if part is None else torch.from_numpy(part) for part in masks)
        final_mask = mask if batch.final_obs is batch.obs else final_mask
        table = None if batch.told is None else torch.from_numpy(batch.told[1])
        if self.device.type != "cpu":
            same = final_mask is mask
            obs, final_obs, reward, terminated, truncated, valid, mask, final_mask, table = self._sent(
                obs, final_obs, reward, terminated, truncated, valid, mask, None if same else final_mask, table
            )
            final_mask = mask if same else final_mask
        if valid is None and self.recovery.restart:
            valid = self.all_valid
        info = NOTHING if table is None else Told(batch.told[0], table)
        return Step(obs, reward, terminated, truncated, final_obs, info, valid, mask, final_mask)

    def _sent(self, obs: Obs, final_obs: Obs, *others: Tensor | None) -> tuple:
        """All of it on the device, in one copy; what is one object stays one."""
        leaves: list[Tensor] = []
        map_obs(leaves.append, obs)
        if final_obs is not obs:
            map_obs(leaves.append, final_obs)
        leaves += [part for part in others if part is not None]
        there = iter(send(leaves, self.device))
        new = map_obs(lambda _: next(there), obs)
        new_final = new if final_obs is obs else map_obs(lambda _: next(there), final_obs)
        return (new, new_final, *(None if part is None else next(there) for part in others))
