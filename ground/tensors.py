"""Tensors that anybody may have written: nothing is taken unchecked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.plain import short


def require_like(given: Any, template: Any, name: str = "state") -> None:
    """Raise TypeError, which names the part, unless saved state `given` is built like `template`, the state of now.

    Same keys, types, and shapes; what is empty or None in the template, or a dimension of 0, may have been filled, and
    a dict may be missing altogether, which whoever takes the state looks at.
    """
    if template is None or (given is None and isinstance(template, dict)):  # a part that could not be saved
        return
    if isinstance(template, Tensor):
        if not isinstance(given, Tensor) or given.dtype != template.dtype or given.dim() != template.dim():
            raise TypeError(f"{name} is {short(given)}, expected {template.dim()} dimensions of {template.dtype}")
        if any(there != here != 0 for there, here in zip(given.shape, template.shape, strict=True)):
            raise TypeError(f"{name} has the shape {tuple(given.shape)}, expected {tuple(template.shape)}")
        return
    kind = next(k for k in (dict, (list, tuple), bool, int, float, object) if isinstance(template, k))
    if not isinstance(given, (float, int) if kind is float else kind) or (isinstance(given, bool) and kind is not bool):
        raise TypeError(f"{name} is {short(given)}, expected a {type(template).__name__}")
    if kind is object and type(given) is not type(template):
        raise TypeError(f"{name} is {short(given)}, expected a {type(template).__name__}")
    if kind in (dict, (list, tuple)) and len(template):
        parts = template.items() if kind is dict else enumerate(template)
        if len(given) != len(template) or (kind is dict and given.keys() != template.keys()):
            raise TypeError(f"{name} has other parts than here")
        for key, part in parts:
            require_like(given[key], part, f"{name}.{key}")


def tensors(tree: Any) -> Iterator[Tensor]:
    """Every tensor in dicts, lists and tuples."""
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    if isinstance(tree, Tensor):
        yield tree
    for part in parts:
        yield from tensors(part)


def all_finite(tree: Any) -> bool:
    """Whether no tensor in dicts, lists and tuples holds NaN or an infinite number."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors(tree))
