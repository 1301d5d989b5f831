"""What is predicted: a number, or one of some classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.tables.cells import number_format, numbers, texts
from agent_gym.tasks.tables.reading.frames import file_row, listed

MAX_INTEGER_CLASSES = 20  # a target of more different numbers than this, or than every fifth row, is a quantity
MAX_CLASSES = 100


class Target(NamedTuple):
    """The kind of target, its class names and its values [N]: floats, or class numbers."""

    kind: str
    classes: tuple[str, ...]
    values: np.ndarray
    decimal: str
    """Character before decimals; "" for texts."""
    notes: tuple[str, ...] = ()


def read_target(frame: pd.DataFrame, column: str, kind: str) -> Target:
    """The target as `kind`, "auto": text or few whole numbers are classes. Raises UserError."""
    cells = frame[column]
    if not len(cells):
        raise UserError(f"target {column!r} is empty in every row: nothing to learn")
    count = cells.nunique()
    if count == 1:
        raise UserError(
            f"target {column!r} has one class, {short(str(cells.iloc[0]))}, in every row: expected two or more"
        )
    decimal, notes = number_format(cells, frame.attrs.get("decimal", ".")), ()
    if kind == "auto":
        whole = decimal and bool((numbers(frame, column, decimal) % 1 == 0).all())
        quantity = decimal and (not whole or count > min(MAX_INTEGER_CLASSES, max(2, len(cells) // 5)))
        kind = "regression" if quantity else "binary" if count == 2 else "multiclass"
        if kind == "multiclass" and decimal:
            notes = (
                f"{column!r} holds whole numbers, taken as {count} classes; --kind regression takes them as numbers",
            )
    if kind == "regression":
        return Target(kind, (), numbers(frame, column, decimal or None), decimal or ".", notes)
    if kind == "binary" and count != 2:
        raise UserError(f"target {column!r} has {count} different values: --kind binary expects two")
    if count > MAX_CLASSES:
        raise UserError(
            f"target {column!r} has {count:,} different values: expected at most {MAX_CLASSES} classes, or "
            "--kind regression for a column of numbers"
        )
    # Numbers keep their order (2 before 10); both sides go through text, as in a file to predict.
    values = numbers(frame, column, decimal) if decimal else texts(frame, column).astype(str)
    known, numbered = np.unique(values, return_inverse=True)
    classes = tuple(f"{v:g}" if decimal else str(v) for v in known)
    sizes = np.bincount(numbered)
    if sizes.min() == 1 and len(sizes) > 1:
        rare = [classes[c] for c in np.flatnonzero(sizes == 1)]
        notes += (f"classes of {column!r} with one row, which is trained on: {listed(rare, 3)}",)
    return Target(kind, classes, numbered, decimal, notes)


def known_target(frame: pd.DataFrame, column: str, classes: tuple[str, ...], decimal: str) -> np.ndarray:
    """The target of rows that have one, as `read_target` gave it in training. Raises UserError with the row."""
    if not classes:
        return numbers(frame, column, decimal)
    cells = texts(frame, column)
    if decimal:
        cells = np.array([f"{v:g}" for v in numbers(frame, column, decimal)])
    number = {name: index for index, name in enumerate(classes)}
    strangers = [position for position, cell in enumerate(cells) if cell not in number]
    if strangers:
        row, cell = file_row(frame, strangers[0]), cells[strangers[0]]
        raise UserError(
            f"target {column!r}, row {row}: {short(cell)} is no class of the model; expected one of {listed(classes)}"
        )
    return np.array([number[cell] for cell in cells], dtype=np.int64)
