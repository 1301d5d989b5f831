"""Writes out what an environment and its wrappers hold."""

from __future__ import annotations

import base64
import enum
import json
import random
import types
from typing import Any

import gymnasium
import numpy as np

from agent_gym.envs.adapters.episodes.plain import (
    LISTS,
    OF_A_SPACE,
    OWN,
    PLAIN,
    SLIM,
    STILL,
    Unknown,
    array_text,
    asked,
    full_name,
    layers_of,
    spaces_of_class,
)


class Writer:
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
            return [*found, ["own", self.value(asked(inner.state_dict))]]
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
