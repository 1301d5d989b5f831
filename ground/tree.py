"""Observations are a tensor or a (nested) dict of tensors; these functions treat both alike."""

from collections.abc import Callable
from typing import Any

import torch

Tree = torch.Tensor | dict[str, Any]


def tree_map(fn: Callable[..., Any], tree: Tree, *others: Tree) -> Any:
    """Apply fn to matching leaves; the result has the structure of `tree`."""
    if isinstance(tree, dict):
        return {key: tree_map(fn, leaf, *(other[key] for other in others)) for key, leaf in tree.items()}
    return fn(tree, *others)


def tree_leaves(tree: Tree) -> list[torch.Tensor]:
    """The leaves, depth first, in the order of the keys."""
    if isinstance(tree, dict):
        return [leaf for child in tree.values() for leaf in tree_leaves(child)]
    return [tree]
