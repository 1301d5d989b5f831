"""Functions of our own on tensors beneath a vmap. It takes a part of functorch that is not public, and may refuse."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _functorch
from torch._functorch.utils import enable_single_level_autograd_function

REFUSED = "functorch transforms"  # what torch 2.14 says of them


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
