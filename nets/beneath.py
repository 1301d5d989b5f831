"""Functions of our own on tensors beneath a vmap. It takes a part of functorch that is not public, and may refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.func import vmap

REFUSED = "functorch transforms"  # what torch 2.14 says of them


class Level:
    """A vmap under way over tensors of `size` rows."""

    def __init__(self, level: int, size: int) -> None:
        self.level, self.size = level, size

    def enter(self, tree: Any) -> Any:
        """Tensors [size, ...] in dicts and sequences as what is computed with, one row at a time."""
        return _each(lambda x: _functorch._add_batch_dim(x, 0, self.level), tree)

    def leave(self, tree: Any) -> Any:
        """The way back."""
        return _each(lambda x: _functorch._remove_batch_dim(x, self.level, self.size, 0), tree)


def _each(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _each(change, part) for key, part in tree.items()}
    return tree if tree is None else tuple([_each(change, part) for part in tree])


@contextmanager
def mapping(size: int) -> Iterator[Level]:
    """torch.func.vmap, without its checks, which take as long as the arithmetic of small networks."""
    if not _loaded:  # the rules that torch has written in Python
        _loaded.append(vmap(torch.neg)(torch.zeros(1)))
    level = _functorch._vmap_increment_nesting(size, "error")
    try:
        yield Level(level, size)
    finally:
        _functorch._vmap_decrement_nesting()


_loaded: list[Tensor] = []


def is_mapped(x: Tensor) -> bool:
    """Whether a vmap is under way over x."""
    return _functorch.is_batchedtensor(x)


def applied(function: type[torch.autograd.Function], *args: Tensor) -> Tensor | None:
    """`function.apply(*args)`, of tensors that are mapped by no vmap, also while one is under way.

    None where this torch refuses that (2.14 does, 2.13 does not): torch's own operations do then, more slowly.
    """
    try:
        with enable_single_level_autograd_function():
            return super(torch.autograd.Function, function).apply(*args)
    except RuntimeError as error:
        if REFUSED not in str(error):
            raise
        return None
