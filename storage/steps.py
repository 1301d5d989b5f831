"""Steps of training in a file that grows with the run, and that a resumed run cuts back to where its checkpoint was.

One line of JSON says what a row is made of; then each vector step is so many bytes: every part of the observations
acted on [B, ...], actions [B, ...], rewards [B], FLAGS [B], and for each row that ended the parts of its last
observation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent_gym.ground.errors import UserError, unwritable

TERMINATED, TRUNCATED, NO_STEP = 1, 2, 4
"""FLAGS. A row with NO_STEP holds none: with TRUNCATED, the episode was cut before it."""
ADVICE = "make room, then go on with --resume"


class Kept(NamedTuple):
    """An episode of T steps."""

    obs: list[np.ndarray]
    """Each part [T + 1, ...]."""
    action: np.ndarray
    """[T, ...]."""
    reward: np.ndarray
    """[T]."""
    terminated: bool


class StepLog:
    """Writes steps behind the first `length` bytes of a file; what comes behind these is forgotten."""

    def __init__(self, path: Path, length: int = 0) -> None:
        """Raises UserError where the file cannot be written or is shorter."""
        self.path, self.rows = path, None
        try:
            path.parent.mkdir(exist_ok=True)
            self.file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115  closed by close
            if os.fstat(self.file.fileno()).st_size < length:
                self.file.close()
                raise UserError(f"{path} holds less than it did at the checkpoint: bring it back as it was")
            self.file.truncate(length)
            self.file.seek(length)
        except OSError as error:
            raise unwritable("what training sees", path, error, ADVICE) from error
        self.begun = length > 0

    def add(
        self, obs: list[np.ndarray], action: np.ndarray, reward: np.ndarray, flags: np.ndarray, last: list[np.ndarray]
    ) -> None:
        """One vector step; `last` holds the true successors of all rows. Raises UserError."""
        arrays = [*obs, action, reward, flags]
        ended = (flags & (TERMINATED | TRUNCATED)) > 0
        try:
            if not self.begun:
                parts = [[str(array.dtype), list(array.shape)] for array in arrays]
                self.file.write(json.dumps(parts).encode() + b"\n")
                self.begun = True
            for array in arrays:
                self.file.write(np.ascontiguousarray(array).data)
            if ended.any():
                for array in last:
                    self.file.write(np.ascontiguousarray(array[ended]).data)
        except OSError as error:
            raise unwritable("what training sees", self.path, error, ADVICE) from error

    def sync(self) -> int:
        """Bring it to the disk; the bytes there. Raises UserError."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            return self.file.tell()
        except OSError as error:
            raise unwritable("what training sees", self.path, error, ADVICE) from error

    def close(self) -> None:
        self.file.close()


def episodes(path: Path) -> Iterator[Kept]:
    """The episodes of a file in the order of their ends; those under way at its end count as cut. Raises UserError."""
    try:
        with open(path, "rb") as file:
            shapes = [(np.dtype(dtype), tuple(shape)) for dtype, shape in json.loads(file.readline())]
            yield from _episodes(file, shapes)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read as the steps of a training ({error})") from error


def _episodes(file, shapes: list[tuple[np.dtype, tuple[int, ...]]]) -> Iterator[Kept]:
    rows = shapes[-1][1][0]
    running: list[list[list[np.ndarray]]] = [[] for _ in range(rows)]
    while (step := _read(file, shapes)) is not None:
        *obs, action, reward, flags = step
        ended = (flags & (TERMINATED | TRUNCATED)) > 0
        last = _read(file, [(d, (int(ended.sum()), *shape[1:])) for d, shape in shapes[:-3]]) if ended.any() else None
        place = np.cumsum(ended) - 1
        for row in range(rows):
            if not flags[row] & NO_STEP:
                running[row].append([part[row] for part in (*obs, action, reward)])
            if ended[row] and running[row]:
                yield _whole(running[row], [part[place[row]] for part in last], bool(flags[row] & TERMINATED))
                running[row] = []


def _read(file, shapes: list[tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray] | None:
    """The next arrays; None at the end. Raises ValueError for a piece of them."""
    found = []
    for dtype, shape in shapes:
        size = dtype.itemsize * int(np.prod(shape))
        data = file.read(size)
        if len(data) < size:
            if found or data:
                raise ValueError("it ends within a step")
            return None
        found.append(np.frombuffer(data, dtype).reshape(shape))
    return found


def _whole(steps: list[list[np.ndarray]], last: list[np.ndarray], terminated: bool) -> Kept:
    *obs, action, reward = (np.stack(column) for column in zip(*steps, strict=True))
    obs = [np.concatenate((part, end[None])) for part, end in zip(obs, last, strict=True)]
    return Kept(obs, action, reward, terminated)
