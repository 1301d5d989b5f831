"""The global generators of Python and NumPy, from which environments of users draw: seeded, saved, left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_globals(seed: int) -> None:
    """Seed both, once for each process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)


def global_state() -> dict:
    """Where both stand, as tensors and plain data."""
    _, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": [] if gauss is None else [float(gauss)],
        "numpy": torch.from_numpy(keys.astype(np.int64)),
        "numpy_rest": [int(position), int(has_gauss), float(cached)],
    }


def set_global_state(state: dict) -> None:
    """Go on from where `global_state` found them."""
    gauss = state["python_gauss"]
    random.setstate((3, tuple(state["python"].tolist()), float(gauss[0]) if gauss else None))
    position, has_gauss, cached = state["numpy_rest"]
    keys = state["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), float(cached)))


def plain_state() -> dict:
    """The same as plain data alone."""
    return {name: part.tolist() if isinstance(part, torch.Tensor) else part for name, part in global_state().items()}


def set_plain_state(state: dict) -> None:
    """Go on from where `plain_state` found them."""
    set_global_state(state | {name: torch.tensor(state[name]) for name in ("python", "numpy")})


@contextmanager
def undisturbed() -> Iterator[None]:
    """Afterwards both stand where they stood, whatever was drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
