"""Small native environments for benchmarks.faults: easy problems, and ways of breaking any native environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import NATIVE, Core, register

FORCE, PUSH = (spaces.Box(-1.0, 1.0, (n,), np.float32) for n in (2, 1))
_HIGH = np.full(4, np.inf, np.float32)


def _initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [4, B]: place in ±1, at rest."""
    state = torch.zeros(4, num_envs, device=device)
    state[:2].uniform_(-1.0, 1.0, generator=generator)
    return state


def _push(state: Tensor, force: Tensor) -> Tensor:
    velocity = state[2:] + 0.2 * force.clamp(-1.0, 1.0).t()
    return torch.cat((state[:2] + 0.2 * velocity, velocity))


def _point(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A mass in the plane is pushed to the middle: minus the distance and a little for the force."""
    state = _push(state, action)
    reward = -state[:2].square().sum(0).sqrt() - 0.01 * action.square().sum(1)
    return state, reward.float(), torch.zeros_like(reward, dtype=torch.bool)


def _track(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [3, B]: place and goal in ±1, at rest."""
    state = torch.zeros(3, num_envs, device=device)
    state[:2].uniform_(-1.0, 1.0, generator=generator)
    return state


def _slide(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A mass on a track is pushed to a goal: minus the distance from it."""
    place, goal, velocity = state
    velocity = 0.8 * velocity + 0.2 * action[:, 0].clamp(-1.0, 1.0)
    place = (place + 0.3 * velocity).clamp(-1.5, 1.5)
    reward = -(place - goal).abs()
    return torch.stack((place, goal, velocity)), reward.float(), torch.zeros_like(reward, dtype=torch.bool)


_GOAL_STEP = 0.15


def _reach(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Five actions (none, left, right, down, up) move a point to the middle: -0.05 a step, 1 and the end there."""
    moves = torch.tensor([[0.0, 0.0], [-1, 0], [1, 0], [0, -1], [0, 1]], device=state.device) * _GOAL_STEP
    place = (state[:2] + moves.index_select(0, action).t()).clamp(-1.5, 1.5)
    there = place.abs().amax(0) < _GOAL_STEP
    return torch.cat((place, state[2:])), there.float() - 0.05, there


def _all(state: Tensor) -> Tensor:
    return state.t()


def _places(state: Tensor) -> Tensor:
    return state[:2].t()


POINT = Core("Faults/Point-v0", spaces.Box(-_HIGH, _HIGH), FORCE, 50, _initial, _point, _all)
POINT_NO_VEL = Core("Faults/PointNoVel-v0", spaces.Box(-_HIGH[:2], _HIGH[:2]), FORCE, 50, _initial, _point, _places)
REACH = Core("Faults/Reach-v0", spaces.Box(-_HIGH[:2], _HIGH[:2]), spaces.Discrete(5), 60, _initial, _reach, _places)
SLIDE = Core("Faults/Slide-v0", spaces.Box(-_HIGH[:3], _HIGH[:3]), PUSH, 30, _track, _slide, _all)
SLIDE_NO_VEL = Core("Faults/SlideNoVel-v0", spaces.Box(-_HIGH[:2], _HIGH[:2]), PUSH, 30, _track, _slide, _places)
for _core in (POINT, POINT_NO_VEL, REACH, SLIDE, SLIDE_NO_VEL):
    register(_core)


# Ways of breaking: each takes a Core and gives another one.


def unbounded(core: Core) -> spaces.Box:
    """Observations without bounds, for those that leave them."""
    high = np.full(core.obs_space.shape, np.inf, np.float32)
    return spaces.Box(-high, high)


def scaled_reward(core: Core, factor: float) -> Core:
    def step(state, action, generator):
        state, reward, terminated = core.step(state, action, generator)
        return state, reward * factor, terminated

    return replace(core, step=step)


def constant_reward(core: Core) -> Core:
    """Always 0: nobody remembered to pay."""

    def step(state, action, generator):
        state, reward, terminated = core.step(state, action, generator)
        return state, torch.zeros_like(reward), torch.zeros_like(terminated)

    return replace(core, step=step, obs_space=unbounded(core))


def deaf(core: Core) -> Core:
    """Actions are lost on the way."""

    def step(state, action, generator):
        return core.step(state, torch.zeros_like(action), generator)

    return replace(core, step=step)


def blind(core: Core) -> Core:
    """Observations are all zeros."""
    return replace(core, observe=lambda state: torch.zeros_like(core.observe(state)))


def noise_obs(core: Core) -> Core:
    """Observations say nothing of the state: the wrong array is returned."""

    def observe(state):
        obs = core.observe(state)
        mixed = torch.frac(
            torch.sin(obs.abs().sum(-1, keepdim=True) * 12.9898e3 + torch.arange(obs.shape[-1])) * 43758.5
        )
        return mixed.float()

    return replace(core, observe=observe, obs_space=unbounded(core))


def ends_at_once(core: Core) -> Core:
    def step(state, action, generator):
        state, reward, terminated = core.step(state, action, generator)
        return state, reward, torch.ones_like(terminated)

    return replace(core, step=step)


def no_limit(core: Core) -> Core:
    """Episodes never end, neither by the task nor by a limit."""

    def step(state, action, generator):
        state, reward, terminated = core.step(state, action, generator)
        return state, reward, torch.zeros_like(terminated)

    return replace(core, step=step, max_episode_steps=1_000_000_000, obs_space=unbounded(core))


def limit_as_end(core: Core, limit: int) -> Core:
    """The time limit is told as the task's own end, by a clock that the observation does not show."""

    def initial(num_envs, generator, device):
        state = core.initial(num_envs, generator, device)
        return torch.cat((state, state.new_zeros(1, num_envs)))

    def step(state, action, generator):
        inner, reward, terminated = core.step(state[:-1], action, generator)
        clock = state[-1:] + 1
        return torch.cat((inner, clock.to(inner.dtype))), reward, terminated | (clock[0] >= limit)

    return replace(
        core, initial=initial, step=step, observe=lambda state: core.observe(state[:-1]), max_episode_steps=10 * limit
    )


def outlier_obs(core: Core, value: float, chance: float) -> Core:
    """Now and then an entry is a number that stands for "unknown"."""

    def observe(state):
        obs = core.observe(state)
        hit = torch.frac(obs.sum(-1).double().abs() * 7919.0) < chance
        return torch.where((hit[:, None]) & (torch.arange(obs.shape[-1]) == 0), torch.full_like(obs, value), obs)

    return replace(core, observe=observe, obs_space=unbounded(core))


def wide_obs(core: Core, factors: float) -> Core:
    """The first entry in other units, which makes it large beside the others."""

    def observe(state):
        obs = core.observe(state)
        scale = torch.ones(obs.shape[-1])
        scale[0] = factors
        return obs * scale

    return replace(core, observe=observe, obs_space=unbounded(core))


def reward_outlier(core: Core, value: float, chance: float) -> Core:
    """A rare reward of another size, which nothing that the agent does brings about."""

    def step(state, action, generator):
        state, reward, terminated = core.step(state, action, generator)
        hit = torch.rand(reward.shape, generator=generator) < chance
        sign = torch.where(torch.rand(reward.shape, generator=generator) < 0.5, -1.0, 1.0)
        return state, torch.where(hit, value * sign, reward), terminated

    return replace(core, step=step)


def few_actions(core: Core, factor: float) -> Core:
    """A Box whose middle thousandth is the whole range of what matters: everything saturates."""

    def step(state, action, generator):
        return core.step(state, (action * factor).clamp(-1.0, 1.0), generator)

    return replace(core, step=step)


def register_broken(base: str, name: str, how: Callable[[Core], Core]) -> str:
    """The id under which a broken version of a native environment is known."""
    env_id = f"Faults/{base.split('/')[-1].split('-')[0]}-{name}-v0"
    if env_id not in NATIVE:
        core = replace(how(NATIVE[base]), id=env_id)
        register(core)
    return env_id
