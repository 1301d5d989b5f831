"""The environments of several runs stepped as one vector, each run's with the random stream that is its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agent_gym.envs.adapters.boundary.spaces import map_obs
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.vector import NOTHING, Obs, Step, Told, VectorEnv
from agent_gym.ground.errors import UserError


class StackedEnv:
    """S vectors of B environments of one kind, side by side as S x B rows, on a CPU.

    Between `take_up` and `hand_back` they are stepped here alone.
    """

    def __init__(self, envs: Sequence[VectorEnv]) -> None:
        self.envs = envs
        self.each = envs[0].num_envs
        self.masked = envs[0].mask is not None

    def take_up(self) -> None:
        """Go on from where each vector is."""

    def hand_back(self) -> None:
        """Leave each vector where it would be had it been stepped by itself."""

    @property
    def mask(self) -> Tensor | None:
        return torch.cat([env.mask for env in self.envs]) if self.masked else None

    def step(self, action: Tensor) -> Step:
        """As VectorEnv.step, for all rows. Raises EnvFailure and UserError."""
        steps = [env.step(part) for env, part in zip(self.envs, action.split(self.each), strict=True)]
        if any(step.valid is not None for step in steps):
            raise UserError("environments that mark steps as not valid cannot be stepped together: --engine processes")
        obs = joined([step.obs for step in steps])
        same = all(step.final_obs is step.obs for step in steps)
        return Step(
            obs,
            *(torch.cat([step[part] for step in steps]) for part in (1, 2, 3)),
            obs if same else joined([step.final_obs for step in steps]),
            _told([step.info for step in steps]),
            None,
            torch.cat([step.mask for step in steps]) if self.masked else None,
            torch.cat([step.final_mask for step in steps]) if self.masked else None,
        )


def joined(parts: list[Obs]) -> Obs:
    """Observations [B, ...] of several vectors as one."""
    return map_obs(lambda *leaves: torch.cat(leaves), *parts)


def _told(infos: list) -> Told:
    names = {info.names for info in infos}
    if names == {()}:
        return NOTHING
    if len(names) > 1:  # told by some only: NaN stands for what is not there
        union = tuple(dict.fromkeys(name for some in names for name in some))
        raise UserError(f"environments that do not tell the same scalars ({', '.join(union)}) at all steps")
    return Told(infos[0].names, torch.cat([info.table for info in infos]))


class StackedNative(StackedEnv, NativeVectorEnv):
    """Native environments whose steps draw nothing: one call steps all of them, and new episodes come from the
    generator of each vector."""

    def __init__(self, envs: Sequence[NativeVectorEnv]) -> None:
        StackedEnv.__init__(self, envs)
        NativeVectorEnv.__init__(self, envs[0].core, len(envs) * self.each)

    def take_up(self) -> None:
        self.state = torch.cat([env.state for env in self.envs], dim=-1)
        self.time = torch.cat([env.time for env in self.envs])
        self.last, self.allowed = joined([env.last for env in self.envs]), None
        self.before = self.steps

    def hand_back(self) -> None:
        states, times = self.state.split(self.each, dim=-1), self.time.split(self.each)
        for s, env in enumerate(self.envs):
            rows = slice(s * self.each, (s + 1) * self.each)
            env.state, env.time, env.allowed = states[s], times[s], None
            env.last = map_obs(lambda x, rows=rows: x[rows], self.last)
            env.steps += self.steps - self.before
        self.before = self.steps

    @property
    def mask(self) -> Tensor | None:
        return NativeVectorEnv.mask.fget(self)

    def step(self, action: Tensor) -> Step:
        return NativeVectorEnv.step(self, action)

    def _fresh(self, rows: Tensor) -> Tensor:
        counts = torch.bincount(rows // self.each, minlength=len(self.envs)).tolist()
        parts = [
            self.core.initial(count, env.generator, self.device)
            for env, count in zip(self.envs, counts, strict=True)
            if count
        ]
        return torch.cat(parts, dim=-1)


def stacked(envs: Sequence[VectorEnv]) -> StackedEnv:
    """The quickest way to step these together."""
    if all(type(env) is NativeVectorEnv for env in envs) and not envs[0].core.draws and not envs[0].core.tell:
        return StackedNative(envs)
    return StackedEnv(envs)
