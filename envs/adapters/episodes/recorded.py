"""Bringing the running episodes of environments back by playing them again: what every array adapter can do."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent_gym.envs.adapters.boundary.spaces import Arrays, ObsLayout
from agent_gym.envs.adapters.episodes.drain import Drain
from agent_gym.envs.adapters.episodes.plain import array_of, array_text
from agent_gym.envs.adapters.episodes.record import Record, tell_of, tell_of_snapshot
from agent_gym.envs.failures import Trouble
from agent_gym.envs.vector import VectorEnv

if TYPE_CHECKING:
    from agent_gym.envs.adapters.singles import Batch


def env_seeds(seed: int, num_envs: int) -> list[int]:
    """A distinct 31-bit seed for each environment, scattered so that neighbouring run seeds share none in practice."""
    base = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return [(base + i) % 2**31 for i in range(num_envs)]


class RecordedEnv(VectorEnv):
    """Keeps a record of its running episodes where it is told to; a subclass steps and resets arrays."""

    whole = False  # one object whose environments can only begin together
    record: Record | None = None
    drain: Drain | None = None
    intact = True  # False within a step and after one that failed
    layout: ObsLayout
    action_shape: tuple[int, ...]  # of one environment, as it takes it
    action_dtype: np.dtype
    seeds: np.ndarray  # [B] int64, of the episodes to come
    replaced: dict[int, int]
    steps: int
    last: Arrays | None  # None: never reset

    @abstractmethod
    def _reset(self, seeds: list[int], obs: Arrays) -> list[Trouble]:
        """Start all episodes anew and fill `obs`."""

    @abstractmethod
    def _begin(self, seeds: list[int], step: int) -> Arrays:
        """The same, failed environments replaced; the first observations."""

    @abstractmethod
    def _step(self, action: np.ndarray) -> tuple[Batch, list[Trouble]]:
        """Act; the batch is of fresh arrays."""

    def _step_some(self, action: np.ndarray, chosen: np.ndarray) -> tuple[Batch, list[Trouble]]:
        """Act in the `chosen` [B] environments alone; other rows of the batch hold anything.

        All are chosen of environments that began together.
        """
        return self._step(action)

    def keep_record(self) -> None:
        """From the next reset on `state_dict` can bring the running episodes back.

        Each episode gets a seed of its own, unless the environments begin together: see `Record` and `Drain`.
        """
        self.record = Record(self.num_envs, self.action_shape, self.action_dtype, common_start=self.whole)
        self.drain = Drain(self.num_envs) if self.whole else None

    @property
    def saving(self) -> str:
        if self.record is None:
            return ""
        if self.whole:
            return "played again from their common start"
        return "brought back as they were saved" if self.own_state else "played again from their seeds"

    own_state = False  # the environments have state functions, which are believed before a record is

    def _take(self) -> dict[str, Any]:
        """Plain data that `_put_back` brings the environments as they are back with; empty where there is none."""
        return {}

    def _put_back(self, saved: dict[str, Any]) -> bool:
        """Bring the environments there; False where they do not get there. They may then be anywhere."""
        return False

    def settle(self) -> None:
        if self.record is not None and self.drain is not None and self.intact:
            self.drain.ask(self.record)

    def _record_start(self, seed: int, obs: Arrays) -> None:
        self.record.begin(seed, [self.replaced[row] for row in range(self.num_envs)])
        self.record.saw(obs)
        if self.drain is not None:
            self.drain.close()
        if not self.whole:
            self.seeds[:] = [self.record.next_seed(row) for row in range(self.num_envs)]

    def _record_step(self, action: np.ndarray, batch: Batch) -> None:
        record, ends = self.record, batch.terminated | batch.truncated
        if self.whole and self.replaced:  # all began anew
            self._record_anew(batch.obs)
            return
        record.add(action)
        record.saw(batch.final_obs, batch[1:4])
        rows = np.flatnonzero(ends)
        if self.whole:
            record.ended |= ends
            if batch.final_obs is not batch.obs:
                record.saw(batch.obs)
        elif len(rows):
            record.restarted(rows, [self.replaced.get(row, self.seeds[row]) for row in rows.tolist()])
            record.saw(batch.obs, rows=rows)
            self.seeds[rows] = [record.next_seed(row) for row in rows.tolist()]

    def _hold_back(self, batch: Batch) -> Batch:
        """The batch without the environments that wait for the last of the others, and all anew once it is done."""
        batch = self.drain.hold(batch)
        if not self.drain.held.all():
            return batch
        obs = self._begin(env_seeds(self.record.next_seed(0), self.num_envs), self.steps)
        self._record_anew(obs)
        return batch._replace(obs=obs)

    def _record_anew(self, obs: Arrays) -> None:
        """All environments of one object have begun anew in the midst of the run."""
        times = self.record.counts + 1
        self._record_start(self.record.seed, obs)
        self.record.counts = times

    def state_dict(self) -> dict[str, Any] | None:
        """None without a record, and after a failure: there is nothing good to go on from."""
        if self.record is None or not self.intact:
            return None
        drained = {} if self.drain is None else {"held": torch.from_numpy(self.drain.held.copy())}
        own = {"open": self.drain is not None and self.drain.open, "recovery_seed": self.recovery.seed}
        own["snapshot"] = self._snapshot()
        return {"record": self.record.state_dict(), "steps": self.steps} | own | drained

    def _snapshot(self) -> str:
        """The environments as JSON; "" where they cannot be taken."""
        saved = self._take()
        return json.dumps({"last": [array_text(array) for array in self.last]} | saved) if saved else ""

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Bring the running episodes back. Raises ValueError for a state of other environments.

        They are played again, or taken from the snapshot where that goes another way; first from the snapshot where
        the environments have state functions of their own.
        """
        record = self.record
        actions, digest = record.load_state_dict(state["record"])
        self.recovery.seed, self.steps = int(state["recovery_seed"]), int(state["steps"])
        snapshot, same = str(state["snapshot"]), False
        if self.own_state:
            same = self._from_snapshot(snapshot, actions, digest)
        if not same:
            record.load_state_dict(state["record"])
            tell_of(len(actions), self.id)
            same = self._play_again(actions) and np.array_equal(record.digest, digest)
        if not same and not self.own_state:
            record.load_state_dict(state["record"])
            same = self._from_snapshot(snapshot, actions, digest)
            if same:
                tell_of_snapshot(self.id)
        if same and self.whole:
            self.drain.open, self.drain.held = bool(state["open"]), state["held"].cpu().numpy().astype(np.bool_)
        elif same:
            self.seeds[:] = [record.next_seed(row) for row in range(self.num_envs)]
        self.intact = same
        return same

    def _from_snapshot(self, text: str, actions: np.ndarray, digest: np.ndarray) -> bool:
        """Bring the environments to a snapshot, and the record to `actions` and `digest`; False where that fails."""
        try:
            saved = json.loads(text) if text else {}
            last = [array_of(array) for array in saved.pop("last", [])]
            if not saved or not self.layout.fits(last, self.num_envs) or not self._put_back(saved):
                return False
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):  # whoever wrote it
            return False
        for action in actions:
            self.record.add(action)
        self.record.digest, self.last = digest.copy(), last
        return True

    def _play_again(self, actions: np.ndarray) -> bool:
        """Reset with the seeds of the record and take `actions` [T, B, ...]; False where an environment fails or ends.

        Row b starts with the action at its start, so that all arrive at the same time.
        """
        record, obs = self.record, self.layout.empty(self.num_envs)
        if self._reset(record.seeds.tolist(), obs):
            return False
        record.saw(obs)
        for t, action in enumerate(actions):
            chosen = record.starts <= t
            batch, troubles = self._step_some(action.copy(), chosen)
            if troubles or (not self.whole and (batch.terminated | batch.truncated)[chosen].any()):
                return False
            record.add(action)
            record.saw(batch.final_obs, batch[1:4], rows=chosen)
            if batch.final_obs is not batch.obs and self.whole:
                record.saw(batch.obs)
            for array, new in zip(obs, batch.obs, strict=True):
                array[chosen] = new[chosen]
        self.last = obs
        return True
