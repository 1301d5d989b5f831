"""Looks for NaN and infinity in the steps of tensor environments, on a GPU without ever waiting for it."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.adapters.boundary.bounds import Bounds
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, map_obs
from agent_gym.envs.vector import Obs, Step

NOT_FINITE = "it returned NaN or infinity in the observation or the reward"


def float_leaves(obs: Obs) -> list[Tensor]:
    """The floating-point tensors of an observation."""
    if isinstance(obs, dict):
        return [leaf for part in obs.values() for leaf in float_leaves(part)]
    return [obs] if obs.is_floating_point() else []


class Watch:
    """What has been seen of B environments with observations of `space`."""

    def __init__(self, space: gymnasium.Space, num_envs: int, device: torch.device) -> None:
        self.layout, self.num_envs, self.device = ObsLayout(space), num_envs, device
        self.bounds = Bounds(self.layout, strict=True)
        self.plain = isinstance(space, gymnasium.spaces.Box) and space.dtype.kind == "f"
        self.always = torch.ones(num_envs, dtype=torch.bool, device=device)
        self.begin()

    def begin(self) -> None:
        """Forget what was seen."""
        self.poison = torch.zeros(self.num_envs, device=self.device)  # NaN from the first bad value on
        self.streak = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)  # failures in a row
        self.longest = torch.zeros((), dtype=torch.int64, device=self.device)
        self.failures = torch.zeros((), dtype=torch.int64, device=self.device)

    def finite(self, step: Step) -> bool:
        """Whether all values are finite, by their sums: False may also come from huge ones. Waits for the device."""
        total = step.reward.sum().item()
        for obs in (step.obs,) if step.final_obs is step.obs else (step.obs, step.final_obs):
            for leaf in (obs,) if self.plain else float_leaves(obs):
                total += leaf.sum().item()
        return math.isfinite(total)

    def bad_rows(self, step: Step) -> Tensor:
        """[B] bool, True where a value is not finite."""
        good = torch.isfinite(step.reward)
        for leaf in (*float_leaves(step.final_obs), *float_leaves(step.obs)):
            good = good & torch.isfinite(leaf).flatten(1).all(1)
        return ~good

    def remember(self, step: Step) -> None:
        """Keep in mind that a value was not finite."""
        self.poison.add_(step.reward, alpha=0.0)  # 0 · NaN and 0 · infinity are NaN
        for leaf in float_leaves(step.final_obs):
            self.poison.add_(torch.linalg.vector_norm(leaf.flatten(1), math.inf, 1), alpha=0.0)

    def count(self, step: Step) -> Tensor:
        """`bad_rows`, counted."""
        bad = self.bad_rows(step)
        self.streak = (self.streak + 1) * bad
        self.longest = torch.maximum(self.longest, self.streak.max())
        self.failures += bad.sum()
        return bad

    def found(self) -> tuple[int, int, int | None]:
        """Failures since the last call, the longest streak, and one of the environments if that is known. Waits."""
        bad = ~torch.isfinite(self.poison)
        row = bad.to(torch.int64).argmax()
        poisoned, failures, longest, row = torch.stack((bad.sum(), self.failures, self.longest, row)).tolist()
        self.longest.zero_()
        self.failures.zero_()
        return (poisoned, 1, row) if poisoned else (failures, longest, None)

    def outside(self, obs: Obs) -> tuple[int, str] | None:
        """The first environment whose observation [B, ...] is outside its space, and how. Waits for the device."""
        checked = (limit is not None for limit in self.bounds.limits)
        on_cpu = map_obs(Tensor.cpu, obs)
        arrays = [
            leaf.take(on_cpu, (self.num_envs,)) if check else np.empty(0)
            for leaf, check in zip(self.layout.leaves, checked, strict=True)
        ]
        if self.bounds.hold(arrays):
            return None
        return min(self.bounds.faults(arrays).items())
