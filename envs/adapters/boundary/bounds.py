"""Whether observations lie within their space, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.spaces import Arrays, ObsLayout, first_nonfinite

ROUNDING = 1e-3  # of a bound's scale: what float32 and careless bounds are allowed
WILD = 10.0  # of a bound's scale: beyond this no environment is right, whoever wrote it


class Bounds:
    """The bounds of every leaf, widened for rounding, and those of floats by ten times their width unless `strict`.

    Many environments leave their own bounds a little (LunarLander in 1 of 200 steps), and nobody is helped by stopping
    them; what leaves them by far is something else than was promised. `outside` counts the observations tolerated.
    """

    def __init__(self, layout: ObsLayout, strict: bool = False):
        self.leaves, self.strict = layout.leaves, strict
        self.exact = [limits(leaf.space, ROUNDING) for leaf in layout.leaves]
        self.limits = self.exact if strict else [limits(leaf.space, WILD) for leaf in layout.leaves]
        self.checks = [quick_check(limit) for limit in self.exact]
        self.outside = 0
        self.first = ""  # what was tolerated first

    def hold(self, arrays: Arrays) -> bool:
        """Whether all observations are finite and within bounds; arrays [B, ...], one a leaf."""
        for array, check in zip(arrays, self.checks, strict=True):
            if check is not None and not check(array):
                return not self.strict and self._tolerable(arrays)
        return True

    def _tolerable(self, arrays: Arrays) -> bool:
        """Whether no observation is outside its space by far; counts those that are a little."""
        if self.faults(arrays):
            return False
        found = self._beyond(arrays, self.exact)
        self.outside += len(found)
        self.first = self.first or next(iter(found.values()))
        return True

    def faults(self, arrays: Arrays, skip: Collection[int] = ()) -> dict[int, str]:
        """What is wrong, by row [B], but for the rows in `skip`."""
        return self._beyond(arrays, self.limits, skip)

    def _beyond(self, arrays: Arrays, limits: list, skip: Collection[int] = ()) -> dict[int, str]:
        found: dict[int, str] = {}
        for array, leaf, limit in zip(arrays, self.leaves, limits, strict=True):
            if limit is None:
                continue
            outside = ~((array >= limit[0]) & (array <= limit[1]))
            for row in np.flatnonzero(outside.reshape(len(array), -1).any(axis=1)).tolist():
                if row not in found and row not in skip:
                    found[row] = self._fault(array[row], outside[row], leaf.space, "the observation" + leaf.where)
        return found

    def _fault(self, value: np.ndarray, outside: np.ndarray, space: spaces.Space, where: str) -> str:
        if first_nonfinite((value[None],)) is not None:
            return f"it returned NaN or infinity in {where}"
        index = tuple(np.argwhere(outside)[0].tolist())
        entry = f" (entry {', '.join(map(str, index))})" if index else ""
        low, high = (np.broadcast_to(bound, value.shape)[index] for bound in edges(space))
        return f"it returned {value[index]:g} in {where}{entry}, outside its space's {low:g} to {high:g}"


def edges(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest value [*shape] of a leaf's canonical space."""
    match space:
        case spaces.Box():
            return space.low, space.high
        case spaces.Discrete():
            return np.asarray(space.start), np.asarray(space.start + space.n - 1)
        case spaces.MultiDiscrete():
            return space.start, space.start + space.nvec - 1
    return np.zeros(space.shape), np.ones(space.shape)  # MultiBinary


def limits(space: spaces.Space, slack: float) -> tuple[np.ndarray, np.ndarray] | None:
    """`edges` for a check; None where the dtype holds nothing else. `slack` widens finite bounds of floats."""
    low, high = edges(space)
    if not isinstance(space, spaces.Box):
        return low, high
    if space.dtype.kind != "f":
        info = np.iinfo(space.dtype)
        return None if (low <= info.min).all() and (high >= info.max).all() else (low, high)
    largest = np.finfo(space.dtype).max
    low, high = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(invalid="ignore"):
        width = np.where(np.isfinite(high - low) & (high > low), high - low, 0.0)
    scales = (np.where(width > 0, width, np.maximum(1.0, np.abs(bound))) for bound in (low, high))
    low, high = (bound + sign * slack * scale for bound, sign, scale in zip((low, high), (-1, 1), scales, strict=True))
    return np.maximum(low, -largest).astype(space.dtype), np.minimum(high, largest).astype(space.dtype)


def finite(array: np.ndarray) -> bool:
    """Whether all numbers are."""
    return bool(np.isfinite(array).all())


def quick_check(limit: tuple[np.ndarray, np.ndarray] | None) -> Callable[[np.ndarray], bool] | None:
    """Whether an array [B, *shape] holds no NaN and nothing outside, in as few operations as its limits allow."""
    if limit is None:
        return None
    low, high = limit
    if low.dtype.kind == "f" and (high == np.finfo(high.dtype).max).all() and (low == -high).all():
        return finite
    # A comparison with NaN is false, so these find it too.
    if (low == -high).all():
        return lambda array: (np.abs(array) <= high).all()
    return lambda array: ((array >= low) & (array <= high)).all()
