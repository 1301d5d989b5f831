"""Many environments of a Core as one vector environment on tensors."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor

from agent_gym.envs.adapters.boundary.spaces import canonical_action, map_obs
from agent_gym.envs.failures import Recovery, Trouble
from agent_gym.envs.native.core import Core
from agent_gym.envs.native.finite import NOT_FINITE, Watch
from agent_gym.envs.vector import NOTHING, Obs, Step, TensorEnv, Told, check_action

_ONE = torch.tensor(1, dtype=torch.int32)  # an operation with a tensor costs half of one with a Python number


class NativeVectorEnv(TensorEnv):
    """B environments of a Core with autoreset, a time limit and their own generator; never waits for a GPU.

    Values are looked at in every step, on a GPU without waiting, so that there `check` raises what was found.
    """

    backend = "native"
    saving = "saved as they are"

    def __init__(self, core: Core, num_envs: int, device: torch.device | str = "cpu", seed: int = 0):
        self.core, self.id, self.num_envs, self.device = core, core.id, num_envs, torch.device(device)
        self.obs_space, self.action_space, self.game = core.obs_space, canonical_action(core.action_space), core.game
        self.relabel = core.relabel
        self.limit = torch.tensor(core.max_episode_steps, dtype=torch.int32)
        self.generator = torch.Generator(self.device)
        self.recovery = Recovery(core.id)
        self.watch = Watch(core.obs_space, num_envs, self.device)
        self.steps, self.seed = 0, seed
        self.reset(seed)

    @property
    def raw_spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        return self.core.obs_space, self.core.action_space

    def reset(self, seed: int) -> Obs:
        self.generator.manual_seed(seed)
        self.state = self.core.initial(self.num_envs, self.generator, self.device)
        self.time = torch.zeros(self.num_envs, dtype=torch.int32, device=self.device)
        self.intact, self.allowed = True, None
        self.watch.begin()
        self.last = self.core.observe(self.state)
        return self.last

    @property
    def mask(self) -> Tensor | None:
        if self.allowed is None and self.core.mask:
            self.allowed = self.core.mask(self.state)
        return self.allowed

    def step(self, action: Tensor) -> Step:
        core = self.core
        self.steps += 1
        state, reward, terminated = core.step(self.state, action, self.generator)
        time = self.time + _ONE
        truncated = time >= self.limit
        done = terminated | truncated
        obs = final_obs = core.observe(state)
        mask = final_mask = core.mask(state) if core.mask else None
        info = told(core.tell(state)) if core.tell else NOTHING
        if self.device.type != "cpu":  # asking who is done would stall it: all start anew, and few of them count
            fresh = core.initial(self.num_envs, self.generator, self.device)
            state, time = torch.where(done, fresh, state), time.masked_fill(done, 0)
            obs = core.observe(state)
            mask = core.mask(state) if core.mask else None
        elif len(index := done.nonzero().squeeze(1)):
            fresh = self._fresh(index)
            state, time = state.index_copy(-1, index, fresh), time.masked_fill(done, 0)
            obs = map_obs(lambda old, new: old.index_copy(0, index, new), final_obs, core.observe(fresh))
            mask = final_mask.index_copy(0, index, core.mask(fresh)) if core.mask else None
        valid = self.watch.always if self.recovery.restart else None
        step = Step(obs, reward, terminated, truncated, final_obs, info, valid, mask, final_mask)
        if self.device.type == "cpu":
            if not self.watch.finite(step):
                check_action(action, self.id)
                step, state, time = self._failed(step, state, time)
            elif self.recovery.streaks:
                self.recovery.completed()
        elif self.recovery.restart:
            bad = self.watch.count(step)
            step, state, time = self._begin_anew(bad, step, state, time)
        else:
            self.watch.remember(step)
        self.state, self.time, self.last, self.allowed = state, time, step.obs, step.mask
        return step

    def _fresh(self, rows: Tensor) -> Tensor:
        """New episodes [..., len(rows)] for these environments."""
        return self.core.initial(len(rows), self.generator, self.device)

    def _failed(self, step: Step, state: Tensor, time: Tensor) -> tuple[Step, Tensor, Tensor]:
        bad = self.watch.bad_rows(step)
        rows = bad.nonzero().flatten().tolist()
        self.recovery.completed(set(range(self.num_envs)) - set(rows))
        self.intact = not rows  # nothing to go on from, unless they are replaced
        for row in rows:
            self.recovery.take(Trouble(row, NOT_FINITE), self.steps)
        if not rows:  # huge numbers, no more
            return step, state, time
        self.recovery.restarts += len(rows)
        step, state, time = self._begin_anew(bad, step, state, time)
        if self.watch.bad_rows(step).any():
            self.recovery.stop(Trouble(rows[0], f"in initial(): {NOT_FINITE}"), self.steps)
        self.intact = True
        return step, state, time

    def _begin_anew(self, bad: Tensor, step: Step, state: Tensor, time: Tensor) -> tuple[Step, Tensor, Tensor]:
        """The step with those of the `bad` environments marked as failed, and new state for them."""

        def choose(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(bad.view(-1, *[1] * (old.dim() - 1)), new, old)

        fresh = self.core.initial(self.num_envs, self.generator, self.device)
        state, time = torch.where(bad, fresh, state), time.masked_fill(bad, 0)
        step = Step(
            map_obs(choose, self.core.observe(state), step.obs),
            step.reward.masked_fill(bad, 0.0),
            step.terminated & ~bad,
            step.truncated | bad,
            map_obs(choose, self.last, step.final_obs),
            step.info,
            ~bad,
            self.core.mask(state) if self.core.mask else None,
            step.final_mask,
        )
        return step, state, time

    def move(self, device: torch.device) -> bool:
        kept = self.recovery, self.choice
        self.__init__(self.core, self.num_envs, device, self.seed)
        self.recovery, self.choice = kept
        return True

    def tensors(self) -> dict[str, Obs] | None:
        if self.recovery.restart or self.core.tell:  # what is told is looked at in each step
            return None
        return {"state": self.state, "time": self.time, "last": self.last}

    def put(self, tensors: dict[str, Obs]) -> None:
        self.state, self.time, self.last = tensors["state"], tensors["time"], tensors["last"]
        self.allowed = None

    def changed(self) -> list[Tensor]:
        return [self.watch.poison]

    @property
    def generators(self) -> list[torch.Generator]:
        return [self.generator]

    def check(self) -> None:
        if self.device.type != "cpu":
            count, streak, row = self.watch.found()
            if count:
                self.recovery.restarts += count if self.recovery.restart else 0
                self.intact = self.recovery.restart
                self.recovery.streaks = {row: streak - 1}
                self.recovery.take(Trouble(row, f"{NOT_FINITE}, {count} times since the last look"), self.steps)
        fault = self.watch.outside(self.last)
        if fault is not None:
            self.intact = False
            self.recovery.stop(Trouble(*fault), self.steps)  # the Core is at fault: another start mends nothing

    def begin_again(self, rows: list[int], seed: int) -> Obs:
        generator = torch.Generator(self.device).manual_seed(seed)
        index = torch.tensor(rows, device=self.device)
        fresh = self.core.initial(len(rows), generator, self.device)
        self.state = self.state.index_copy(-1, index, fresh)
        self.time, self.allowed = self.time.index_fill(0, index, 0), None
        self.last = self.core.observe(self.state)
        return self.last

    def state_dict(self) -> dict[str, Any] | None:
        """None after a failure: there is nothing good to go on from."""
        if not self.intact:
            return None
        return {"state": self.state.clone(), "time": self.time.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        self.state, self.time = (state[key].to(self.device, copy=True) for key in ("state", "time"))
        self.generator.set_state(state["generator"].cpu())
        self.allowed = None
        self.last = self.core.observe(self.state)
        return True

    def observe(self) -> Obs:
        """The current observations, for going on after `load_state_dict`."""
        return self.core.observe(self.state)


def told(scalars: dict[str, Tensor]) -> Told:
    """Scalars [B] as one table."""
    return Told(tuple(scalars), torch.stack(list(scalars.values()), dim=1))
