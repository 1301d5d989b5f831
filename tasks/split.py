"""Rows to train on, to choose the best model by, and to test on."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from agent_gym.ground.errors import UserError
from agent_gym.tasks.config import TaskConfig

OFTEN = 5  # rows from which on a class is in every part


def split_rows(config: TaskConfig, rows: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Row numbers of the training, validation and test part, drawn from the seed. Raises UserError.

    Each class of `labels` [rows] is shared out evenly. One of OFTEN rows or more is in every part, and one that has
    rows in any part has one in training. A part that the flags leave empty is the one before it.
    """
    often = set()
    if labels is not None:
        classes, sizes = np.unique(labels, return_counts=True)
        often = set(classes[sizes >= OFTEN].tolist())

    def divide(rows_in: np.ndarray, share: float, which: int) -> tuple[np.ndarray, np.ndarray]:
        count = round(share * rows)
        if count == 0 or share == 0.0:
            return rows_in, rows_in[:0]
        if count >= len(rows_in):
            raise UserError(f"{rows} rows are too few to split: give more, or --val-split 0 --test-split 0")
        if labels is None:
            return train_test_split(rows_in, test_size=count, random_state=config.seed % 2**32)
        chosen = take_evenly(labels[rows_in], count, often, np.random.default_rng((config.seed, which)))
        return np.delete(rows_in, chosen), rows_in[chosen]

    rest, test = divide(np.arange(rows), config.test_split, 0)
    train, val = divide(rest, config.val_split, 1)
    val = val if len(val) else train
    return train, val, test if len(test) else val


def take_evenly(labels: np.ndarray, count: int, often: set, rng: np.random.Generator) -> np.ndarray:
    """About `count` positions in labels [N]: of each class its share, at least one of those in `often`, never all."""
    classes, numbered, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    share = count * sizes / len(labels)
    least = np.array([int(c in often and n > 1) for c, n in zip(classes, sizes, strict=True)])
    most = np.maximum(sizes - 1, 0)
    take = np.clip(np.floor(share).astype(int), least, most)
    order = rng.permutation(len(classes))  # among equals
    while take.sum() != count:
        step = 1 if take.sum() < count else -1
        may = (take < most) if step > 0 else (take > least)
        if not may.any():
            break
        wanting = np.where(may, step * (share - take), -np.inf)
        take[order[wanting[order].argmax()]] += step
    shuffled = rng.permutation(len(labels))
    grouped = shuffled[np.argsort(numbered[shuffled], kind="stable")]
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    chosen = np.concatenate([grouped[start : start + n] for start, n in zip(starts, take, strict=True)])
    if len(chosen) < count:  # classes of single rows
        others = np.setdiff1d(shuffled, chosen, assume_unique=True)
        chosen = np.concatenate((chosen, rng.permutation(others)[: count - len(chosen)]))
    return np.sort(chosen)
