"""Which actions an environment allows now, in the three conventions that environments have for it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.spaces import Arrays, Leaf, ObsLayout
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import KEY, METHOD, choices_of, flat_mask

LARGEST = 4096  # choices: of spaces with more, masks are read where they are asked for alone
UNTOLD = 2  # in place of 1, where an environment has said nothing


class TakeMask(gymnasium.ObservationWrapper, gymnasium.utils.RecordConstructorArgs):
    """Takes the part `action_mask` out of an observation and tells it by the method `action_masks`."""

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        parts = {key: part for key, part in env.observation_space.spaces.items() if key != KEY}
        self.observation_space = spaces.Dict(parts)
        self.latest: Any = None

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        self.latest = observation[KEY]
        return {key: part for key, part in observation.items() if key != KEY}

    def action_masks(self) -> Any:
        """What the latest observation said."""
        return self.latest


def has_mask(env: gymnasium.Env) -> bool:
    """Whether a mask of its actions is a part of its observations."""
    space = env.observation_space
    size = sum(choices_of(env.action_space))
    if not isinstance(space, spaces.Dict) or KEY not in space.spaces or len(space.spaces) < 2 or not size:
        return False
    mask = space.spaces[KEY]
    return isinstance(mask, spaces.Tuple) or (mask.shape is not None and np.prod(mask.shape) in (size, size // 2))


def take_mask(env: gymnasium.Env, mode: str) -> gymnasium.Env:
    """The environment, its mask taken out of its observations where it has one there and `mode` allows that."""
    known = mode == "auto" and env.has_wrapper_attr(METHOD)
    return TakeMask(env) if mode in ("auto", "obs") and not known and has_mask(env) else env


class MaskedLayout(ObsLayout):
    """Observations with the mask of the actions allowed in each, as an array of its own behind the others.

    `source`: "method" asks each environment, "info" reads what it returned. An entry is 0, 1 or UNTOLD.
    """

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, source: str, required: bool) -> None:
        super().__init__(obs_space)
        self.action_space, self.source, self.required = action_space, source, required
        self.sizes = choices_of(action_space)
        self.starts = np.cumsum([0, *self.sizes[:-1]])
        self.silent = False  # no environment of this process has told of any
        shape = (sum(self.sizes),)
        space = spaces.Box(0, UNTOLD, shape, np.int8)
        self.leaves = [*self.parts, Leaf((KEY,), shape, shape, np.dtype(np.int8), space)]

    def put(self, arrays: Arrays, index: int, obs: Any, info: Any = None, env: Any = None) -> None:
        super().put(arrays, index, obs)
        if not self.silent:
            value = env.get_wrapper_attr(METHOD)() if self.source == "method" else info.get(KEY)
            arrays[-1][index] = UNTOLD if value is None else flat_mask(value, self.action_space, self.sizes)

    def batch(self, obs: Any, num_envs: int, info: Any = None) -> list[np.ndarray]:
        arrays, told = super().batch(obs, num_envs), None if info is None else info.get(KEY)
        masks = np.full((num_envs, sum(self.sizes)), UNTOLD, np.int8)
        if told is not None:
            there = info.get(f"_{KEY}", np.ones(num_envs, np.bool_))
            for row in np.flatnonzero(there):
                masks[row] = flat_mask(told[row], self.action_space, self.sizes)
        return [*arrays, masks]

    def settled(self, arrays: list[np.ndarray], env_id: str) -> ObsLayout:
        """The layout to go on with after the first reset, whose `arrays` lose their mask where nobody told of one."""
        if (arrays[-1] != UNTOLD).any():
            return self
        if self.required:
            raise UserError(
                f"--action-mask {self.source}: {env_id} told of none when it was reset; expected info[{KEY!r}] in "
                "what reset and step return"
            )
        arrays.pop()
        return ObsLayout(self.raw_space)

    def mask(self, arrays: Arrays) -> np.ndarray:
        return arrays[-1] != 0

    def closed(self, arrays: Arrays) -> dict[int, str]:
        if (arrays[-1] != 0).all():
            return {}
        open_ = np.add.reduceat(arrays[-1] != 0, self.starts, axis=1).all(axis=1)
        reason = "its action mask allows no action, and the episode goes on; expected at least one"
        return dict.fromkeys(np.flatnonzero(~open_).tolist(), reason)


def layout_of(
    obs_space: spaces.Space, action_space: spaces.Space, env_id: str, mode: str = "auto", method: bool = False
) -> ObsLayout:
    """The layout of an environment's observations, with masks where `mode` (--action-mask) finds them.

    `method`: whether it has one that tells them. Raises UserError where one is asked for that cannot be.
    """
    size, asked = sum(choices_of(action_space)), mode not in ("auto", "no")
    if asked and not size:
        raise UserError(f"--action-mask {mode}: the actions of {env_id} are {action_space}, which are not counted")
    if mode == "method" and not method:
        raise UserError(f"--action-mask method: {env_id} has no method {METHOD}()")
    if mode == "obs" and not method:
        raise UserError(f"--action-mask obs: the observations of {env_id} have no part {KEY!r} of {size} entries")
    if mode == "no" or not size or (size > LARGEST and not asked):
        return ObsLayout(obs_space)
    by_method = method and mode != "info"
    return MaskedLayout(obs_space, action_space, "method" if by_method else "info", required=asked)
