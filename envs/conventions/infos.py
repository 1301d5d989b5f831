"""The scalars in what environments tell beside observation and reward, as one table a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent_gym.ground.spaces import KEY

MOST = 32  # names; what comes after them is left out
LONGEST = 48  # bytes of a name
KINDS = (int, float, np.number, np.bool_)  # bool is an int
OTHERS = frozenset((KEY, "TimeLimit.truncated", "env_id", "players", "elapsed_step", "final_info", "final_obs"))


class Scalars:
    """A table [B, MOST] of float32 with a column for each name, in the order in which the names came.

    NaN where an environment told none. `names` may lie in shared memory, as bytes [MOST, LONGEST] after each other.
    """

    def __init__(self, rows: int, table: np.ndarray | None = None, names: np.ndarray | None = None) -> None:
        self.table = np.full((rows, MOST), np.nan, np.float32) if table is None else table
        self.shared = names
        self.columns: dict[str, int] = {}

    def clear(self) -> None:
        if self.columns:
            self.table[:] = np.nan

    def put(self, row: int, info: dict[str, Any]) -> None:
        """Take in the scalars of one environment's info."""
        for name, value in info.items():
            if isinstance(value, KINDS) or (isinstance(value, np.ndarray) and value.shape == () and _counts(value)):
                column = self.columns.get(name)
                if column is None and (column := self._new(name)) is None:
                    continue
                self.table[row, column] = value

    def put_all(self, info: dict[str, Any], rows: np.ndarray | bool = True) -> None:
        """Take in what a vector environment tells of `rows` [B]: an array [B] a name, perhaps with who told it."""
        for name, value in info.items():
            if isinstance(value, np.ndarray) and value.shape == self.table.shape[:1] and _counts(value):
                column = self.columns.get(name)
                if column is None and (column := self._new(name)) is None:
                    continue
                there = info.get(f"_{name}", True)
                np.copyto(self.table[:, column], value, where=np.logical_and(there, rows), casting="unsafe")

    def _new(self, name: Any) -> int | None:
        if not isinstance(name, str) or name.startswith("_") or name in OTHERS or len(self.columns) == MOST:
            return None
        column = len(self.columns)
        if self.shared is not None:
            text = np.frombuffer(name.encode()[:LONGEST].ljust(LONGEST, b"\0"), np.uint8)
            self.shared[column] = text
        self.columns[name] = column
        return column

    def told(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        """The names and a copy of their columns [B, k]; None without names."""
        if not self.columns:
            return None
        return tuple(self.columns), self.table[:, : len(self.columns)].copy()


def together(names: np.ndarray, table: np.ndarray, shares: list[range]) -> tuple[tuple[str, ...], np.ndarray] | None:
    """As `Scalars.told`, of several processes: names [W, MOST, LONGEST], whose columns differ, and table [B, MOST]."""
    if not names.any():
        return None
    columns: dict[str, int] = {}
    merged = np.full((len(table), MOST), np.nan, np.float32)
    for own, rows in zip(names, shares, strict=True):
        for column, text in enumerate(own):
            if not text[0]:
                break
            name = text.tobytes().rstrip(b"\0").decode(errors="ignore")
            if name in columns or len(columns) < MOST:
                place = columns.setdefault(name, len(columns))
                merged[rows.start : rows.stop, place] = table[rows.start : rows.stop, column]
    return tuple(columns), merged[:, : len(columns)]


def _counts(value: np.ndarray) -> bool:
    return value.dtype.kind in "biuf"
