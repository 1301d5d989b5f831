"""Brings an environment and its wrappers to what was written of them."""

from __future__ import annotations

import base64
import enum
import json
import random
from collections import deque
from typing import Any

import gymnasium
import numpy as np

from agent_gym.envs.adapters.episodes.plain import (
    OWN,
    PLAIN,
    Unknown,
    array_of,
    asked,
    full_name,
    layers_of,
    spaces_of_class,
)


class Reader:
    """Fills an environment with what a Writer has kept of one like it; new objects are made of plain types alone."""

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
            asked(inner.load_state_dict, self.value(saved[-1][1], None))
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
