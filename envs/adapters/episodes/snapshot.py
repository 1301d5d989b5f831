"""The state of an environment as plain data: its own state functions where it has some, else all its attributes.

What is kept is text (JSON), so that opening a stranger's checkpoint runs no code. Only what is understood to the last
attribute is kept: an environment that holds anything else (a physics engine, an open file) has no snapshot.
"""

from __future__ import annotations

import base64
import enum
import json
import random
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

LARGEST = 2**23  # characters of one environment
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


def has_own(env: gymnasium.Env) -> bool:
    """Whether the environment has `state_dict()` and `load_state_dict(state)`, or a part that is kept as these are."""
    inner = env.unwrapped
    parts = (full_name(value) for value in vars(inner).values())
    return hasattr(inner, "state_dict") and hasattr(inner, "load_state_dict") or any(part in OWN for part in parts)


def take(env: gymnasium.Env) -> str:
    """The environment's state; "" where it holds anything that cannot be kept."""
    try:
        text = json.dumps(_Writer(env).all())
    except Exception:  # whatever foreign objects raise when they are looked at: no snapshot, and the run goes on
        return ""
    return text if len(text) <= LARGEST else ""


def put_back(env: gymnasium.Env, text: str) -> None:
    """Bring an environment like the one it was taken from to that state. Raises ValueError where it does not get there.

    It may then be anywhere, and is to be reset.
    """
    try:
        _Reader(env).all(json.loads(text))
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Unknown(f"the snapshot does not fit: {error}") from error
    if take(env) != text:
        raise Unknown("the environment did not take its state back")


def take_all(envs: Sequence[gymnasium.Env | None]) -> list[str]:
    """The state of each; empty where one of them cannot be taken."""
    taken: list[str] = []
    for env in envs:
        text = "" if env is None else take(env)
        if not text:
            return []
        taken.append(text)
    return taken


def put_all_back(envs: Sequence[gymnasium.Env | None], taken: list[str]) -> bool:
    """Bring each there; False where one does not get there."""
    if len(taken) != len(envs) or None in envs:
        return False
    try:
        for env, text in zip(envs, taken, strict=True):
            put_back(env, text)
    except ValueError:
        return False
    return True


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


def _asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the environment's returns. Raises Unknown where it fails."""
    try:
        return function(*arguments)
    except Exception as error:
        raise Unknown(f"{function.__name__}() failed: {error}") from error


class _Writer:
    """Each value becomes [kind, …]; what stands in several places is kept once and is ["same", n] elsewhere."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.layers = layers_of(env)
        self.known = {id(layer): number for number, layer in enumerate(self.layers)}
        self.kept: list[Any] = []  # so that no id is given twice
        self.arrays: list[np.ndarray] = []

    def all(self) -> list:
        *wrappers, inner = self.layers
        found: list[Any] = [{name: self.value(space) for name, space in spaces_of_class(inner).items()}]
        found += [self.attributes(layer, ("env",)) for layer in wrappers]
        if hasattr(inner, "state_dict") and hasattr(inner, "load_state_dict"):
            return [*found, ["own", self.value(_asked(inner.state_dict))]]
        return [*found, self.attributes(inner, ())]

    def attributes(self, thing: Any, without: tuple[str, ...]) -> dict:
        return {name: self.value(value) for name, value in vars(thing).items() if name not in without}

    def value(self, value: Any) -> list:
        kind = type(value)
        if kind in PLAIN:
            return ["is", value]
        if isinstance(value, STILL) or self.bare(value):
            return ["still"]
        if isinstance(value, enum.Enum):
            return ["enum", full_name(value), value.name]
        if isinstance(value, np.generic):
            return ["number", *array_text(np.asarray(value))]
        if kind is bytes:
            return ["bytes", base64.b64encode(value).decode()]
        if id(value) in self.known:
            return ["same", self.known[id(value)]]
        self.known[id(value)] = len(self.known)
        self.kept.append(value)
        return self.mutable(value, kind)

    def mutable(self, value: Any, kind: type) -> list:
        if kind is np.ndarray:
            if any(np.may_share_memory(value, other) for other in self.arrays):
                raise Unknown("two views of one array")
            self.arrays.append(value)
            return ["array", *array_text(value)]
        if kind in LISTS:
            parts = sorted(value, key=repr) if kind in (set, frozenset) else value
            return [LISTS[kind], [self.value(part) for part in parts], getattr(value, "maxlen", None)]
        if kind is dict:
            return ["dict", [[self.value(key), self.value(part)] for key, part in value.items()]]
        if kind is np.random.Generator:
            return ["generator", *self.bits(value.bit_generator)]
        if kind is random.Random:
            return ["random", value.getstate()]
        if (name := full_name(value)) in OWN:
            return ["own", name, self.value(OWN[name][0](value))]
        if isinstance(value, gymnasium.Space):
            return ["object", name, {part: self.value(vars(value)[part]) for part in OF_A_SPACE if part in vars(value)}]
        slots = any(vars(base).get("__slots__") for base in kind.__mro__)
        if hasattr(value, "__dict__") and kind.__basicsize__ <= SLIM and not slots:
            return ["object", name, self.attributes(value, ())]
        raise Unknown(name)

    def bare(self, value: Any) -> bool:
        """Whether it is a function that holds nothing which changes."""
        if isinstance(value, types.MethodType):
            return id(value.__self__) in self.known
        if isinstance(value, types.BuiltinFunctionType):
            return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
        return isinstance(value, types.FunctionType) and not value.__closure__

    def bits(self, generator: Any) -> list:
        if type(generator).__module__.partition(".")[0] != "numpy":
            raise Unknown(full_name(generator))
        state = json.dumps(generator.state, default=lambda array: {"array": array_text(array)})
        return [type(generator).__name__, state]


class _Reader:
    """Fills an environment with what a _Writer has kept of one like it; new objects are made of plain types alone."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.layers = layers_of(env)
        self.known: list[Any] = list(self.layers)

    def all(self, saved: list) -> None:
        *wrappers, inner = self.layers
        if len(saved) != 1 + len(self.layers):
            raise Unknown("the snapshot is of other wrappers")
        for name, space in spaces_of_class(inner).items():
            self.value(saved[0][name], space)
        for layer, attributes in zip(wrappers, saved[1:], strict=False):
            self.fill(layer, attributes, ("env",))
        if isinstance(saved[-1], list):
            _asked(inner.load_state_dict, self.value(saved[-1][1], None))
        else:
            self.fill(inner, saved[-1], ())

    def fill(self, thing: Any, attributes: dict, without: tuple[str, ...] = ()) -> None:
        there = vars(thing)
        for name in attributes.keys() & set(without):
            raise Unknown(f"{name} is none of its attributes")
        if not isinstance(thing, gymnasium.Space) and (missing := there.keys() - attributes.keys() - set(without)):
            raise Unknown(f"the snapshot lacks {', '.join(sorted(missing))}")
        for name, saved in attributes.items():
            there[name] = self.value(saved, there.get(name))

    def value(self, saved: list, there: Any) -> Any:
        kind, *rest = saved
        if kind == "is":
            return self.plain(rest[0], there)
        if kind == "still":
            return there
        if kind == "enum":
            if not isinstance(there, enum.Enum) or full_name(there) != rest[0]:
                raise Unknown(f"{rest[0]} is not there")
            return type(there)[rest[1]]
        if kind == "number":
            return array_of(rest)[()]
        if kind == "bytes":
            return base64.b64decode(rest[0])
        if kind == "same":
            return self.known[rest[0]]
        number = len(self.known)
        self.known.append(there)
        self.known[number] = made = self.mutable(kind, rest, there, number)
        return made

    def plain(self, value: Any, there: Any) -> Any:
        if type(value) not in PLAIN:
            raise Unknown("no plain value")
        if isinstance(value, str) and value != there and set(value) & set("/\\\0\n"):
            raise Unknown("another text that may be a path")  # of a stranger's choice
        return value

    def mutable(self, kind: str, rest: list, there: Any, number: int) -> Any:
        if kind == "array":
            return array_of(rest)
        if kind in ("list", "deque"):
            made = self.known[number] = [] if kind == "list" else deque(maxlen=rest[1])
            made.extend(self.parts(rest[0], there))
            return made
        if kind in ("tuple", "set", "frozenset"):
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](self.parts(rest[0], there))
        if kind == "dict":
            made = self.known[number] = {}
            for key, part in rest[0]:
                name = self.value(key, None) if key[0] != "is" else key[1]
                made[name] = self.value(part, there.get(name) if isinstance(there, dict) else None)
            return made
        if kind == "generator":
            bits = {"PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"} & {rest[0]}
            generator = getattr(np.random, bits.pop())()
            generator.state = json.loads(rest[1], object_hook=lambda d: array_of(d["array"]) if "array" in d else d)
            return np.random.Generator(generator)
        if kind == "random":
            made = random.Random()
            version, words, gauss = rest[0]
            made.setstate((version, tuple(words), gauss))
            return made
        if full_name(there) != rest[0]:
            raise Unknown(f"{rest[0]} is not there")
        if kind == "own":
            OWN[rest[0]][1](there, self.value(rest[1], None))
        elif kind == "object":
            self.fill(there, rest[1])
        else:
            raise Unknown(f"{kind!r} is no kind")
        return there

    def parts(self, saved: list, there: Any) -> list:
        old = list(there) if isinstance(there, list | tuple | deque) else []
        return [self.value(part, old[i] if i < len(old) else None) for i, part in enumerate(saved)]
