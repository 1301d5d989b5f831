"""Observation and action spaces at the environment boundary, and the conversion of what flows through them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.adapters.boundary.checks import PartError
from agent_gym.envs.conventions.forms import form_of
from agent_gym.envs.vector import Obs
from agent_gym.ground.errors import UserError, without_addresses
from agent_gym.ground.spaces import is_nested, joined

Arrays = Sequence[np.ndarray]
LARGEST_CODE = 2**15
FINE = 1e5  # up to here float32's steps are below 0.008


def canonical(space: spaces.Space) -> spaces.Space:
    """The space as the rest of the project sees it.

    Tuple becomes Dict with keys "0", "1", …; a Box gets at least one dimension and is float32, or float64 where that
    might be too coarse, uint8 if it has more dimensions than one (an image), or int32 if it is a grid of other small
    whole numbers; MultiDiscrete and MultiBinary become one-dimensional; Discrete stays. Text, Sequence, Graph and OneOf
    get arrays of a fixed size, see envs.conventions.forms. Raises UserError for the rest.
    """
    form = form_of(space)
    if form is not None:
        return form.space
    match space:
        case spaces.Dict():
            return _parts(space)
        case spaces.Tuple():
            return spaces.Dict({str(i): canonical(part) for i, part in enumerate(space.spaces)})
        case spaces.Box():
            if space.dtype == np.uint8 and len(space.shape) >= 2:
                return space
            return _box(space, np.int32 if _is_grid(space) else np.float64 if _is_wide(space) else np.float32)
        case spaces.MultiDiscrete():
            return spaces.MultiDiscrete(space.nvec.reshape(-1), start=space.start.reshape(-1))
        case spaces.MultiBinary():
            return spaces.MultiBinary(int(np.prod(space.shape)))
        case spaces.Discrete():
            return space
    raise UserError(
        f"the space {without_addresses(str(space))} is not supported: expected Box, Discrete, MultiDiscrete, "
        "MultiBinary, Text, Sequence, Graph, OneOf, or a Dict or Tuple of these; wrap the environment "
        "(gymnasium.ObservationWrapper) and give the wrapper to --wrapper"
    )


def _parts(space: spaces.Dict) -> spaces.Dict:
    """Raises UserError, which names the parts that can be kept, where one of them is not supported."""
    parts = {}
    for key, part in space.spaces.items():
        try:
            parts[key] = canonical(part)
        except UserError as error:
            good = [k for k, p in space.spaces.items() if _fits(p)]
            if not good:
                raise
            keep = json.dumps({"filter_keys": good})
            raise UserError(
                f"the observation's part {key!r}: {error}; --wrapper 'FilterObservation {keep}' leaves it out"
            ) from None
    return spaces.Dict(parts)


def _fits(space: spaces.Space) -> bool:
    try:
        canonical(space)
    except UserError:
        return False
    return True


def _is_grid(space: spaces.Box) -> bool:
    """Small whole numbers, none negative, in 2 to 4 dimensions: codes or a picture, for the networks to tell."""
    whole = space.dtype.kind in "iu" and 2 <= len(space.shape) <= 4
    return whole and bool((space.low >= 0).all() and 1 < space.high.max() < LARGEST_CODE)


def _is_wide(space: spaces.Box) -> bool:
    """float64 with values that float32 may be too coarse for."""
    return space.dtype == np.float64 and bool((np.maximum(-space.low, space.high) > FINE).any())


def _box(space: spaces.Box, dtype: type) -> spaces.Box:
    """The Box in this dtype, of one dimension at least."""
    if space.dtype == dtype and space.shape:
        return space
    with np.errstate(over="ignore"):  # a bound that float32 cannot hold is none
        low, high = (np.asarray(bound, dtype).reshape(space.shape or (1,)) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=dtype)


def canonical_action(space: spaces.Space) -> spaces.Space:
    """`canonical` for actions; those of several parts: see ground.spaces.joined. Raises UserError."""
    if is_nested(space):
        return joined(space)
    whole = isinstance(space, spaces.Box) and not np.issubdtype(space.dtype, np.floating)
    if whole or not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UserError(
            f"the action space {space} is not supported: expected Discrete, MultiDiscrete, MultiBinary, a "
            "floating-point Box or a Dict or Tuple of these; wrap the environment (gymnasium.ActionWrapper) and give "
            "the wrapper to --wrapper"
        )
    return _box(space, np.float32) if isinstance(space, spaces.Box) else canonical(space)


def alike(space: spaces.Space, other: spaces.Space) -> bool:
    """Whether two canonical spaces hold the same kinds and shapes; the bounds of observations may differ."""
    if isinstance(space, spaces.Dict) and isinstance(other, spaces.Dict):
        return space.keys() == other.keys() and all(alike(space[key], other[key]) for key in space)
    if isinstance(space, spaces.Box) and isinstance(other, spaces.Box):
        return space.shape == other.shape and space.dtype == other.dtype
    return space == other


class Leaf(NamedTuple):
    """One array of an observation."""

    path: tuple[str | int, ...]  # where it stands in the environment's own observation
    raw_shape: tuple[int, ...]  # as the environment gives it
    shape: tuple[int, ...]  # as it is stored
    dtype: np.dtype
    space: spaces.Space  # canonical
    convert: Callable[[Any], np.ndarray] | None = None  # what makes the array of an observation that is none

    @property
    def where(self) -> str:
        """Its place in words: "" or ['camera'][0]."""
        return "".join(f"[{key!r}]" for key in self.path)

    def take(self, obs: Any, lead: tuple[int, ...] = (), copy: bool = False) -> np.ndarray:
        """Its part [*lead, *shape] of the environment's own observation. Raises ValueError where that does not fit."""
        value = obs
        try:
            for key in self.path:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            raise PartError(f"observation{self.where} is missing") from None
        if self.convert is not None:
            return self._converted(value, lead)
        value = np.asarray(value)
        if value.shape != (*lead, *self.raw_shape):
            raise PartError(
                f"observation{self.where} has shape {value.shape[len(lead) :]}, its space says {self.raw_shape}"
            )
        return self.cast(value, copy).reshape((*lead, *self.shape))

    def _converted(self, value: Any, lead: tuple[int, ...]) -> np.ndarray:
        try:
            return np.stack([self.convert(one) for one in value]) if lead else self.convert(value)
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise PartError(f"observation{self.where} does not fit its space ({error})") from error

    def cast(self, value: np.ndarray, copy: bool) -> np.ndarray:
        """The same numbers in `dtype`. Raises ValueError for what is no number and for what an integer cannot hold."""
        if value.dtype is self.dtype:
            return value.copy() if copy else value
        if value.dtype.kind not in "fiub":
            raise PartError(f"observation{self.where} has dtype {value.dtype}, its space says {self.dtype}")
        with np.errstate(invalid="ignore", over="ignore"):
            cast = value.astype(self.dtype)
        if self.dtype.kind != "f" and not np.array_equal(cast, value):
            raise PartError(
                f"observation{self.where} has dtype {value.dtype} with values that its space's {self.dtype} cannot hold"
            )
        return cast


class ObsLayout:
    """Moves observations of a space, however nested, into flat lists of arrays and from there into tensors.

    `space` is canonical; `leaves` lists the arrays in a fixed order, which `empty`, `put` and `tensors` share: first
    the `parts` of the observation, then what a subclass keeps beside it.
    """

    def __init__(self, raw_space: spaces.Space):
        self.raw_space, self.space = raw_space, canonical(raw_space)
        self.parts: list[Leaf] = []
        self._collect(raw_space, self.space, ())
        self.leaves = self.parts
        self._single = self.parts[0] if self.parts[0].path == () else None
        self._direct = "fd" if self.parts[0].dtype.kind == "f" else self.parts[0].dtype.char  # need no check

    def _collect(self, raw: spaces.Space, space: spaces.Space, path: tuple) -> None:
        if isinstance(space, spaces.Dict):
            keys = range(len(raw.spaces)) if isinstance(raw, spaces.Tuple) else raw.spaces
            for key in keys:
                self._collect(raw[key], space[str(key)], (*path, key))
            return
        form = form_of(raw)
        if form is not None:
            shape = tuple(space.shape)
            self.parts.append(Leaf(path, shape, shape, np.dtype(space.dtype), space, form.convert))
            return
        dtype = space.dtype if isinstance(space, spaces.Box | spaces.MultiBinary) else np.int64
        self.parts.append(Leaf(path, tuple(raw.shape), tuple(space.shape), np.dtype(dtype), space))

    def empty(self, num_envs: int) -> list[np.ndarray]:
        """Uninitialised arrays [B, *shape], one a leaf."""
        return [np.empty((num_envs, *leaf.shape), leaf.dtype) for leaf in self.leaves]

    def fits(self, arrays: Sequence[np.ndarray], num_envs: int) -> bool:
        """Whether these are arrays [B, *shape] of the leaves."""
        own = [((num_envs, *leaf.shape), leaf.dtype) for leaf in self.leaves]
        return own == [(array.shape, array.dtype) for array in arrays]

    def put(self, arrays: Arrays, index: int, obs: Any, info: Any = None, env: Any = None) -> None:
        """Write one environment's own observation into row `index`; `info` came with it from `env`.

        Raises ValueError for a wrong shape or dtype.
        """
        single = self._single
        plain = single is not None and type(obs) is np.ndarray and obs.shape == single.shape and not single.convert
        if plain and obs.dtype.char in self._direct:
            arrays[0][index] = obs
            return
        for array, leaf in zip(arrays, self.parts, strict=False):
            array[index] = leaf.take(obs)

    def batch(self, obs: Any, num_envs: int, info: Any = None) -> list[np.ndarray]:
        """Fresh arrays [B, *shape] from a vector environment's own batched observation. Raises ValueError as `put`."""
        return [leaf.take(obs, (num_envs,), copy=True) for leaf in self.parts]

    def settled(self, arrays: list[np.ndarray], env_id: str) -> ObsLayout:
        """The layout to go on with after the first reset, which gave `arrays`. Raises UserError."""
        return self

    def mask(self, arrays: Arrays) -> np.ndarray | None:
        """The actions allowed [B, n], where that is kept beside observations."""
        return None

    def closed(self, arrays: Arrays) -> dict[int, str]:
        """Rows in which nothing may be done, and why that is wrong."""
        return {}

    def tensors(self, arrays: Arrays) -> Obs:
        """The observations in the arrays as CPU tensors that share their memory, nested as in `space`."""
        if self._single is not None:
            return torch.from_numpy(arrays[0])
        obs: dict[str, Any] = {}
        for array, leaf in zip(arrays, self.parts, strict=False):
            node = obs
            for key in leaf.path[:-1]:
                node = node.setdefault(str(key), {})
            node[str(leaf.path[-1])] = torch.from_numpy(array)
        return obs


def first_nonfinite(arrays: Sequence[np.ndarray]) -> int | None:
    """The first row that holds NaN or infinity in any floating-point array [B, ...]; None if all are finite."""
    for array in arrays:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
    return None


def action_decoder(space: spaces.Space, num_envs: int) -> Callable[[Tensor], np.ndarray]:
    """A function from an action tensor (contract of VectorEnv) to a fresh array [B, ...] in the raw space's terms.

    Of a space of several parts it is the row that `Unfold` takes.
    """
    if is_nested(space):
        return lambda action: action.cpu().numpy().astype(np.float64)
    shape, dtype = (num_envs, *space.shape), space.dtype
    start = getattr(space, "start", 0)
    shifted = np.any(start)
    # The nearest float32 may lie just outside a bound of another precision.
    rounded = isinstance(space, spaces.Box) and dtype != np.float32

    def decode(action: Tensor) -> np.ndarray:
        array = action.cpu().numpy().astype(dtype).reshape(shape)  # astype copies: the environment owns its action
        if shifted:
            array += start
        if rounded:
            np.clip(array, space.low, space.high, out=array)
        return array

    return decode


def map_obs(function: Callable[..., Any], obs: Obs, *others: Obs) -> Any:
    """Apply a function to every tensor of an observation, and to those in the same place of others."""
    if isinstance(obs, dict):
        return {key: map_obs(function, part, *(other[key] for other in others)) for key, part in obs.items()}
    return function(obs, *others)
