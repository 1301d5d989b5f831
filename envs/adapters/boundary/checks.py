"""What an environment's parts are, looked at where each is taken, and named where one is not what Gymnasium says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

NUMBERS = frozenset((float, int, bool, np.float64, np.float32, np.int64, np.bool_))  # types of rewards without question
OLD_STEP = "(observation, reward, terminated, truncated, info)"
OLD_GYM = "that is the old Gym's interface; port it, or wrap it: shimmy's GymV21CompatibilityV0 does"


class PartError(ValueError):
    """A part of an environment is not what it should be; the text names it and needs no type in front."""


def space_trouble(space: Any, name: str) -> str:
    """Why `env.<name>` is no space of Gymnasium; "" if it is one."""
    if isinstance(space, gymnasium.Space):
        return ""
    if space is None:
        return f"it has no {name}: expected a space of gymnasium.spaces, set in __init__"
    if type(space).__module__.split(".")[0] == "gym":
        return f"its {name} is a space of the old Gym package: expected one of gymnasium.spaces"
    if callable(space):
        return f"its {name} is a function, as of an environment of several agents: expected a space of gymnasium.spaces"
    return f"its {name} is of type {type(space).__name__}: expected a space of gymnasium.spaces"


def first_of(result: Any) -> tuple[Any, dict]:
    """Observation and info, as `reset` returned them. Raises PartError."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result
    if isinstance(result, tuple) and len(result) == 2:
        raise PartError(f"reset() returned {_kind(result[1])} as info: expected a dict")
    what = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"{_kind(result)} alone"
    raise PartError(f"reset() returned {what}: expected the pair (observation, info)")


def check_step(result: Any) -> None:
    """Look at what `step` returned, all but the observation. Raises PartError."""
    if not isinstance(result, tuple) or len(result) != 5:
        what = f"{len(result)} values" if isinstance(result, tuple) else _kind(result)
        old = f" ({OLD_GYM})" if isinstance(result, tuple) and len(result) == 4 else ""
        raise PartError(f"step() returned {what}: expected the five {OLD_STEP}{old}")
    _, reward, terminated, truncated, info = result
    check_reward(reward)
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not (
            isinstance(flag, bool | np.bool_ | int) or (np.shape(flag) in ((), (1,)) and np.asarray(flag).dtype == bool)
        ):
            raise PartError(f"step() returned {_kind(flag)} as {name}: expected True or False")
    if not isinstance(info, dict):
        raise PartError(f"step() returned {_kind(info)} as info: expected a dict")


def check_reward(reward: Any) -> None:
    """Raises PartError for what is no single number."""
    if isinstance(reward, int | float | np.number | np.bool_):
        return
    if reward is None:
        raise PartError("step() returned None as reward: expected a number (is a return missing?)")
    try:
        array = np.asarray(reward)
    except ValueError:
        raise PartError(f"step() returned {_kind(reward)} as reward: expected a number") from None
    if array.dtype.kind not in "fiub":
        raise PartError(f"step() returned {_kind(reward)} as reward: expected a number")
    if array.size != 1:
        raise PartError(
            f"step() returned a reward of shape {array.shape}: expected one number; weigh its {array.size} parts, as "
            f"with --reward-weights {' '.join(['1'] * min(array.size, 9))}"
        )


def number(reward: Any) -> float:
    """A reward as a number, an array of one element included. Raises PartError."""
    check_reward(reward)
    return float(np.asarray(reward).reshape(()))


def reset_trouble(error: BaseException) -> str:
    """What a failing `reset(seed=…)` means, where it is the signature; else ""."""
    text = str(error)
    if isinstance(error, TypeError) and "reset()" in text and "seed" in text:
        return f"reset() takes no seed: expected reset(self, *, seed=None, options=None) ({OLD_GYM})"
    return ""


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"
