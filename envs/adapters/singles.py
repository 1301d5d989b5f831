"""Single Gymnasium environments stepped and reset in a row, with their faults as a backend tells them."""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from agent_gym.envs.adapters.boundary.checks import (
    NUMBERS,
    PartError,
    check_step,
    first_of,
    number,
    reset_trouble,
    space_trouble,
)
from agent_gym.envs.adapters.boundary.spaces import Arrays, ObsLayout
from agent_gym.envs.conventions.infos import Scalars
from agent_gym.envs.failures import Trouble
from agent_gym.ground.errors import UserError, without_addresses

LONGEST_REASON = 400  # characters of an exception's text that are told; the log has all
INTEGERS = (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary)
FAULTS = (Exception, SystemExit)  # what may come out of an environment; a viewer's closed window calls sys.exit
CODE = (PartError, NameError, AttributeError, TypeError, ImportError, NotImplementedError)  # faults of the program


def describe(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, PartError):
        return str(error)
    if not str(error) and (frames := traceback.extract_tb(error.__traceback__)):
        at = frames[-1]
        return f"{type(error).__name__} in {at.filename}, line {at.lineno}: {at.line}"
    text = without_addresses(f"{type(error).__name__}: {error}".rstrip(": ").replace("\n", " "))
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def trouble(row: int | None, error: BaseException, in_reset: bool = False) -> Trouble:
    """The exception that is being handled, as a backend tells it."""
    return Trouble(row, describe(error), traceback.format_exc(), in_reset, isinstance(error, CODE))


class Batch(NamedTuple):
    """A step of B environments as arrays."""

    obs: Arrays
    reward: np.ndarray  # [B] float32
    terminated: np.ndarray  # [B] bool
    truncated: np.ndarray  # [B] bool
    final_obs: Arrays  # the same object as obs when no episode ended
    valid: np.ndarray | None = None  # [B] bool
    told: tuple[tuple[str, ...], np.ndarray] | None = None  # names of scalars, and their values [B, k]


def step_envs(
    envs: Sequence[gymnasium.Env],
    layout: ObsLayout,
    actions: np.ndarray,
    out: Batch,
    first: int,
    begin: Callable[[int], None] | None = None,
    seeds: Sequence[int] | None = None,
    chosen: Sequence[bool] | None = None,
    looking: bool = False,
    scalars: Scalars | None = None,
    unfold: Callable[[np.ndarray], Any] | None = None,
) -> tuple[bool, list[Trouble]]:
    """Step each environment, reset those whose episode ends, and fill `out`; whether any ended, and what failed.

    Rows of `out.final_obs` are written where an episode ended and nowhere else. Troubles count environments from
    `first`; the rows of one hold anything, but for a failed reset, which leaves all but `obs` right. `begin(i)` is
    called before each step. `seeds`: of the episodes that follow; None: the environments go on drawing as they do.
    Only the `chosen` ones are stepped, if that is given. `looking`
    asks for a look at every part of what a step returns. `scalars` takes what environments tell of it. `unfold`: see
    ground.spaces.
    """
    obs, reward, terminated, truncated, final_obs = out[:5]
    put = layout.put
    ended = False
    troubles: list[Trouble] = []
    for i, (env, action) in enumerate(zip(envs, actions, strict=True)):
        if chosen is not None and not chosen[i]:
            continue
        complete = False
        if begin is not None:
            begin(i)
        try:
            result = env.step(action if unfold is None else unfold(action))
            if looking:
                check_step(result)
            next_obs, gained, end, limit, info = result
            if info and scalars is not None:
                scalars.put(i, info)
            reward[i] = gained if type(gained) in NUMBERS else number(gained)
            terminated[i] = end
            truncated[i] = limit
            if end or limit:
                ended = True
                put(final_obs, i, next_obs, info, env)
                complete = True
                next_obs, info = first_of(env.reset() if seeds is None else env.reset(seed=int(seeds[i])))
            put(obs, i, next_obs, info, env)
        except FAULTS as error:
            terminated[i], truncated[i] = (end, limit) if complete else (False, False)
            troubles.append(trouble(first + i, error, complete))
    return ended, troubles


def reset_envs(
    envs: Sequence[gymnasium.Env],
    layout: ObsLayout,
    seeds: Sequence[int],
    obs: Arrays,
    first: int,
    begin: Callable[[int], None] | None = None,
) -> list[Trouble]:
    """Reset each environment with its seed and fill `obs`; what failed, environments counted from `first`.

    `begin(i)` is called before each.
    """
    troubles = []
    for i, (env, seed) in enumerate(zip(envs, seeds, strict=True)):
        if begin is not None:
            begin(i)
        try:
            layout.put(obs, i, *first_of(env.reset(seed=seed)), env)
        except FAULTS as error:
            told = trouble(first + i, error, True)
            troubles.append(told._replace(reason=reset_trouble(error) or told.reason))
    return troubles


def spaces_of(env: gymnasium.Env, env_id: str) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Its observation and action space. Raises UserError."""
    for name in ("observation_space", "action_space"):
        wrong = space_trouble(getattr(env, name, None), name)
        if wrong:
            raise UserError(f"{env_id}: {wrong}")
    return env.observation_space, env.action_space


@functools.cache
def tell_outside(env_id: str, what: str) -> None:
    """Tell once of observations outside their space that are let pass."""
    print(f"warning: {env_id}: {what}; let pass and counted, --strict-obs stops there", file=sys.stderr)


def discard(env: gymnasium.Env) -> None:
    """Close an environment that is of no more use; neither is what it raises."""
    with contextlib.suppress(*FAULTS):
        env.close()
