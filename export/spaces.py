"""Spaces as plain data in an exported file, and observations as the arrays that it takes. Without torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from agent_gym.ground.errors import UserError


def describe(space: spaces.Space) -> dict:
    """A space as JSON takes it; bounds are one number where all are the same."""
    match space:
        case spaces.Dict():
            return {"type": "Dict", "spaces": {key: describe(part) for key, part in space.spaces.items()}}
        case spaces.Tuple():
            return {"type": "Tuple", "spaces": [describe(part) for part in space.spaces]}
        case spaces.Box():
            bounds = {"low": _bound(space.low), "high": _bound(space.high)}
            return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
        case spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "shape": list(space.shape)}
    raise UserError(f"the space {space} cannot be exported: expected Box, Discrete, Multi…, or Dict or Tuple of these")


def _bound(bound: np.ndarray) -> Any:
    """A bound as text, since JSON has no infinity."""
    if bound.size and (bound == bound.flat[0]).all():
        return str(bound.flat[0])
    return [str(value) for value in bound.ravel()]


class Leaf(NamedTuple):
    """One input that is part of an observation."""

    name: str
    path: tuple[str | int, ...]
    """Where it stands in the environment's own observation."""
    shape: tuple[int, ...]
    """Of one observation, as the file takes it."""
    dtype: str


def leaves(space: spaces.Space, name: str = "obs", path: tuple[str | int, ...] = ()) -> list[Leaf]:
    """The inputs for observations of a space: floats as float32, images uint8, whole numbers int64, bits int8."""
    match space:
        case spaces.Dict():
            return [leaf for key, part in space.spaces.items() for leaf in leaves(part, f"{name}.{key}", (*path, key))]
        case spaces.Tuple():
            parts = enumerate(space.spaces)
            return [leaf for key, part in parts for leaf in leaves(part, f"{name}.{key}", (*path, key))]
        case spaces.Box():
            image = space.dtype == np.uint8 and len(space.shape) >= 2
            return [Leaf(name, path, tuple(space.shape) or (1,), "uint8" if image else "float32")]
        case spaces.MultiDiscrete() | spaces.MultiBinary():
            count = int(np.prod(space.shape))
            return [Leaf(name, path, (count,), "int8" if isinstance(space, spaces.MultiBinary) else "int64")]
        case spaces.Discrete():
            return [Leaf(name, path, (), "int64")]
    raise UserError(f"the observation space {space} cannot be exported")


def arrays(obs: Any, inputs: list[Leaf]) -> dict[str, np.ndarray]:
    """The inputs [1, *shape] for one observation of the environment, by name. Raises UserError where it has no part."""
    feeds = {}
    for leaf in inputs:
        value = obs
        try:
            for key in leaf.path:
                value = value[key]
            feeds[leaf.name] = np.asarray(value).astype(leaf.dtype).reshape(1, *leaf.shape)
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(f"the observation has no part {leaf.name} of shape {leaf.shape}") from None
    return feeds
