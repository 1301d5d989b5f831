"""Spaces beyond plain ones: observations of no fixed size, actions of several parts, and masks of choices.

An action of several parts, nested in any way, is one row: first the choices, then the numbers of each Box. A mask of
choices likewise: one entry a choice, one part after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from agent_gym.ground.errors import UserError

MOST_CHOICES = 2**24  # a row holds choices as floats
KEY = "action_mask"  # of a mask in an info or an observation
METHOD = "action_masks"  # of an environment that tells its mask


class Words(spaces.MultiDiscrete):
    """A text as [L] numbers of its first words, 0 behind the last."""


class Several(spaces.Box):
    """A number of things as [L, d + 1]: a row of features each, and 1 where there is one."""


class Web(spaces.Box):
    """A graph as [N, d + 1 + N]: features of each node, 1 where there is one, 1 for each node that leads to it."""


def choices_of(space: spaces.Space) -> list[int]:
    """The sizes of the choices that an action consists of; a bit has two, a Box none."""
    match space:
        case spaces.Discrete():
            return [int(space.n)]
        case spaces.MultiDiscrete():
            return [int(n) for n in space.nvec.ravel()]
        case spaces.MultiBinary():
            return [2] * int(np.prod(space.shape))
        case spaces.Dict() | spaces.Tuple():
            return [n for part in parts_of(space) for n in choices_of(part)]
    return []


def is_nested(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Dict | spaces.Tuple)


def parts_of(space: spaces.Dict | spaces.Tuple) -> list[spaces.Space]:
    return list(space.spaces.values()) if isinstance(space, spaces.Dict) else list(space.spaces)


def leaves_of(space: spaces.Space) -> list[spaces.Space]:
    """The parts that have none themselves, in their order."""
    return [leaf for part in parts_of(space) for leaf in leaves_of(part)] if is_nested(space) else [space]


def joined(space: spaces.Dict | spaces.Tuple) -> spaces.Space:
    """What the parts come to for an agent.

    Only Boxes: one flat Box. Only choices and bits: a MultiDiscrete. Both: a Dict of "choices", a MultiDiscrete, and
    "boxes", a Tuple of flat Boxes, of which an action is one row of float32. Raises UserError for other parts.
    """
    boxes, sizes = [], choices_of(space)
    for leaf in leaves_of(space):
        if isinstance(leaf, spaces.Box) and leaf.dtype.kind == "f":
            low, high = leaf.low.astype(np.float32).ravel(), leaf.high.astype(np.float32).ravel()
            boxes.append(spaces.Box(low, high, dtype=np.float32))
        elif not choices_of(leaf):
            raise UserError(
                f"the part {leaf} of the action space is not supported: expected Discrete, MultiDiscrete, MultiBinary "
                "or a floating-point Box; wrap the environment (gymnasium.ActionWrapper) and give the wrapper to "
                "--wrapper"
            )
    if max(sizes, default=0) >= MOST_CHOICES:
        raise UserError(f"a choice among {max(sizes):,} actions in {space}: expected fewer than {MOST_CHOICES:,}")
    if not boxes and not sizes:
        raise UserError(f"the action space {space} is empty: expected at least one part")
    if not boxes:
        return spaces.MultiDiscrete(sizes)
    if not sizes:
        low, high = (np.concatenate([getattr(box, name) for box in boxes]) for name in ("low", "high"))
        return spaces.Box(low, high, dtype=np.float32)
    return spaces.Dict({"choices": spaces.MultiDiscrete(sizes), "boxes": spaces.Tuple(boxes)})


class Unfold:
    """Makes of rows [n] or [B, n] actions of a space, nested as it is; of a space without parts it leaves them be."""

    def __init__(self, space: spaces.Space) -> None:
        self.space, self.nested = space, is_nested(space)
        self.choices = len(choices_of(space))

    def __call__(self, row: np.ndarray) -> Any:
        if not self.nested:
            return row
        action, _, _ = self._take(self.space, row, 0, self.choices)
        return action

    def _take(self, space: spaces.Space, row: np.ndarray, choice: int, number: int) -> tuple[Any, int, int]:
        """An action of `space`, and the columns behind what it took of choices and numbers."""
        match space:
            case spaces.Dict():
                made = {}
                for key, part in space.spaces.items():
                    made[key], choice, number = self._take(part, row, choice, number)
                return made, choice, number
            case spaces.Tuple():
                several = []
                for part in space.spaces:
                    one, choice, number = self._take(part, row, choice, number)
                    several.append(one)
                return tuple(several), choice, number
            case spaces.Discrete():
                value = np.rint(row[..., choice]).astype(np.int64) + space.start
                return (int(value) if value.ndim == 0 else value), choice + 1, number
            case spaces.Box():
                size = int(np.prod(space.shape))
                value = row[..., number : number + size].reshape((*row.shape[:-1], *space.shape)).astype(space.dtype)
                return np.clip(value, space.low, space.high), choice, number + size
        size = len(choices_of(space))
        value = np.rint(row[..., choice : choice + size]).reshape((*row.shape[:-1], *space.shape))
        return value.astype(space.dtype) + getattr(space, "start", 0), choice + size, number


def row_of(space: spaces.Space) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the array that holds one action."""
    if not is_nested(space):
        return tuple(space.shape), np.dtype(space.dtype)
    numbers = sum(int(np.prod(leaf.shape)) for leaf in leaves_of(space) if isinstance(leaf, spaces.Box))
    return (len(choices_of(space)) + numbers,), np.dtype(np.float64)


def fold(space: spaces.Space, action: Any) -> np.ndarray:
    """The row of an action, of which `Unfold` makes it again."""
    choices: list[np.ndarray] = []
    numbers: list[np.ndarray] = []

    def walk(part: spaces.Space, value: Any) -> None:
        if isinstance(part, spaces.Dict):
            for key, child in part.spaces.items():
                walk(child, value[key])
        elif isinstance(part, spaces.Tuple):
            for child, own in zip(part.spaces, value, strict=True):
                walk(child, own)
        elif isinstance(part, spaces.Box):
            numbers.append(np.ravel(value))
        else:
            choices.append(np.ravel(value) - np.ravel(getattr(part, "start", 0)))

    walk(space, action)
    return np.concatenate([np.asarray(part, np.float64) for part in (*choices, *numbers)])


def flat_mask(value: Any, space: spaces.Space, sizes: Sequence[int]) -> np.ndarray:
    """A mask as bool [sum of sizes], one choice after the other.

    A list of masks, one a choice, is taken too, and of bits what `MultiBinary.sample` takes: 0 and 1 for the only
    value that is allowed, 2 for both. Raises ValueError for anything else.
    """
    nested = isinstance(value, tuple | list) and len(value) and np.ndim(value[0]) > 0
    mask = np.concatenate([np.ravel(part) for part in value]) if nested else np.ravel(value)
    if isinstance(space, spaces.MultiBinary) and len(mask) == len(sizes):
        return np.stack((mask != 1, mask != 0), axis=1).ravel()
    if len(mask) != sum(sizes):
        raise ValueError(
            f"its action mask has {len(mask)} entries, and the actions {space} have {sum(sizes)}: expected one a "
            "choice (--action-mask no lets it be)"
        )
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise ValueError("its action mask holds something else than 0 and 1: expected 1 for each action allowed")
    return mask.astype(np.bool_)
