"""Boards as one row of the state for each cell, whose groups of stones are known by a label."""

from __future__ import annotations

import torch
from torch import Tensor


def beyond(cells: Tensor, value: int) -> Tensor:
    """Cells [n, B] with one more behind them, which stands for all outside of the board."""
    return torch.cat((cells, cells.new_full((1, cells.shape[1]), value)))


def neighbours(rows: int, columns: int, steps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], ...]:
    """For each step (rows, columns) the cell that it leads to from each cell; the one behind the last if outside."""
    table = []
    for down, right in steps:
        reached = [(r + down, c + right) for r in range(rows) for c in range(columns)]
        inside = [0 <= r < rows and 0 <= c < columns for r, c in reached]
        table.append(
            tuple(r * columns + c if ok else rows * columns for (r, c), ok in zip(reached, inside, strict=True))
        )
    return tuple(table)


def stand_in(labels: Tensor, wanted: Tensor, chosen: Tensor) -> Tensor:
    """Which cells [n, B] bear one of the labels `wanted` [k, B] that are `chosen` [k, B]."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for label, ok in zip(wanted, chosen, strict=True):
        found |= (labels == label) & ok
    return found
