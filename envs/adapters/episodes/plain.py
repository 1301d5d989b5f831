"""What of an environment can be kept as plain data, and how numbers, arrays and foreign types are."""

from __future__ import annotations

import base64
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

STILL: tuple[type, ...] = (type, types.ModuleType, np.dtype, EnvSpec)  # do not change, or nothing comes of it
PLAIN = (type(None), bool, int, float, str)
LISTS: dict[type, str] = {list: "list", tuple: "tuple", deque: "deque", set: "set", frozenset: "frozenset"}
OF_A_SPACE = ("_np_random", "spaces")  # what of a space changes
SLIM = 48  # bytes of an instance of a class that is written in Python: what is larger keeps things outside of its dict
OWN: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {}
"""By the full name of a type: how what it is comes out as plain values and arrays, and goes into another one."""


class Unknown(ValueError):
    """Something that cannot be kept, or does not fit what is there."""


def own(name: str, save: Callable[[Any], Any], load: Callable[[Any, Any], None]) -> None:
    """Have a type that is not written in Python kept by functions of its own; `load(there, saved)` may raise."""
    OWN[name] = save, load


def full_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def layers_of(env: gymnasium.Env) -> list[gymnasium.Env]:
    """The wrappers from the outside in, and the environment itself."""
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def spaces_of_class(env: gymnasium.Env) -> dict[str, gymnasium.Space]:
    """The spaces that stand in its class, whose generators all its environments share."""
    found = {name: value for base in reversed(type(env).__mro__) for name, value in vars(base).items()}
    return {name: value for name, value in sorted(found.items()) if isinstance(value, gymnasium.Space)}


def array_text(array: np.ndarray) -> list:
    """An array of numbers as plain data. Raises Unknown for others."""
    if array.dtype.kind not in "biufcSU" or not (array.flags.c_contiguous or array.flags.f_contiguous):
        raise Unknown(f"an array of {array.dtype}")
    order = "C" if array.flags.c_contiguous else "F"  # sums depend on it
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes(order)).decode(), order]


def array_of(text: list) -> np.ndarray:
    dtype = np.dtype(str(text[0]))
    if dtype.kind not in "biufcSU":
        raise Unknown(f"an array of {dtype}")
    order = "F" if text[3] == "F" else "C"
    return np.frombuffer(base64.b64decode(text[2]), dtype).reshape([int(n) for n in text[1]], order=order).copy(order)


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the environment's returns. Raises Unknown where it fails."""
    try:
        return function(*arguments)
    except Exception as error:
        raise Unknown(f"{function.__name__}() failed: {error}") from error
