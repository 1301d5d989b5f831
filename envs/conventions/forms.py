"""Text, Sequence, Graph and OneOf as arrays of a fixed size: what is longer loses its end."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import iterate

from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import Several, Web, Words

WORDS, VOCABULARY = 32, 1024  # words of a text that are read, and numbers for them
LONGEST, NODES = 64, 32  # things of a sequence, nodes of a graph
WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


class Form(NamedTuple):
    """The fixed space, and what makes one of its arrays of an observation."""

    space: spaces.Space
    convert: Callable[[Any], np.ndarray]


def form_of(space: spaces.Space) -> Form | None:
    """None for spaces that have arrays of a fixed size themselves, and for unknown ones. Raises UserError."""
    if is_text(space):  # Text, and MiniGrid's missions
        return Form(Words([VOCABULARY] * WORDS), words)
    match space:
        case spaces.Sequence():
            size = _size(space.feature_space)
            return Form(_unbounded(Several, (LONGEST, size + 1)), _Row(space))
        case spaces.Graph():
            size = _size(space.node_space) + (_size(space.edge_space) if space.edge_space is not None else 0)
            return Form(_unbounded(Web, (NODES, size + 1 + NODES)), _Graph(space))
        case spaces.OneOf():
            size = sum(_size(part) for part in space.spaces) + len(space.spaces)
            return Form(_unbounded(spaces.Box, (size,)), _Choice(space))
    return None


def is_text(space: spaces.Space) -> bool:
    return space.dtype is not None and np.dtype(space.dtype).kind == "U"


def words(text: Any) -> np.ndarray:
    """[WORDS] int64: for each word a number that depends on it alone, 0 behind the last. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"observation is a {type(text).__name__}, its space says text")
    numbers = np.zeros(WORDS, np.int64)
    found = WORD.findall(text.lower())[:WORDS]
    numbers[: len(found)] = [1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in found]
    return numbers


def _size(space: spaces.Space) -> int:
    try:
        return spaces.flatdim(space)
    except (ValueError, NotImplementedError) as error:
        raise UserError(
            f"the space {space} within a Sequence, Graph or OneOf is not supported: expected one of a fixed size"
        ) from error


def _flat(space: spaces.Space, values: Any) -> np.ndarray:
    """Many values of a space, each flat [n, width] float32, as spaces.flatten has them one by one."""
    if isinstance(space, spaces.Box):
        return np.asarray(values, np.float32).reshape(len(values), -1)
    if isinstance(space, spaces.Discrete):
        rows = np.zeros((len(values), space.n), np.float32)
        rows[np.arange(len(values)), np.asarray(values, int) - space.start] = 1.0
        return rows
    return np.array([spaces.flatten(space, value) for value in values], np.float32).reshape(len(values), -1)


def _unbounded(kind: type[spaces.Box], shape: tuple[int, ...]) -> spaces.Box:
    return kind(-np.inf, np.inf, shape, np.float32)


class _Row:
    """A Sequence's things, one after the other."""

    def __init__(self, space: spaces.Sequence) -> None:
        self.part, self.stacked = space.feature_space, space.stacked_feature_space if space.stack else None
        self.width = _size(self.part)

    def __call__(self, value: Any) -> np.ndarray:
        things = list(iterate(self.stacked, value)) if self.stacked is not None else list(value)
        rows, count = np.zeros((LONGEST, self.width + 1), np.float32), min(len(things), LONGEST)
        rows[:count, :-1], rows[:count, -1] = _flat(self.part, things[:count]), 1.0
        return rows


class _Graph:
    """Nodes with the mean of the edges that lead to them, and the nodes from which those come."""

    def __init__(self, space: spaces.Graph) -> None:
        self.nodes, self.edges = space.node_space, space.edge_space
        self.width, self.more = _size(self.nodes), 0 if self.edges is None else _size(self.edges)

    def __call__(self, value: spaces.GraphInstance) -> np.ndarray:
        table = np.zeros((NODES, self.width + self.more + 1 + NODES), np.float32)
        count = min(len(value.nodes), NODES)
        start = self.width + self.more
        table[:count, : self.width], table[:count, start] = _flat(self.nodes, value.nodes[:count]), 1.0
        links = np.zeros((0, 2), int) if value.edge_links is None else np.asarray(value.edge_links).reshape(-1, 2)
        known = (links < count).all(1)
        source, target = links[known].T
        table[target, start + 1 + source] = 1.0
        if self.more:
            edges = _flat(self.edges, np.asarray(value.edges)[known]) if known.any() else 0.0
            np.add.at(table[:, self.width : start], target, edges)
            table[:, self.width : start] /= np.maximum(np.bincount(target, minlength=NODES), 1)[:, None]
        return table


class _Choice:
    """Which of the spaces it is, 1 in its place, and all of them side by side, 0 but for that one."""

    def __init__(self, space: spaces.OneOf) -> None:
        self.parts = space.spaces
        sizes = [_size(part) for part in self.parts]
        self.starts = len(sizes) + np.concatenate(([0], np.cumsum(sizes)))

    def __call__(self, value: Any) -> np.ndarray:
        which, own = int(value[0]), value[1]
        row = np.zeros(self.starts[-1], np.float32)
        row[which] = 1.0
        row[self.starts[which] : self.starts[which + 1]] = spaces.flatten(self.parts[which], own)
        return row
