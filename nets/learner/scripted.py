"""Functions of tensors replayed as their bare operations, without the Python and the vmap around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agent_gym.nets.learner.cuda_graphs import leaves_of
from agent_gym.nets.learner.written import Written

WAIT = 2  # calls before one is written down
TRIALS = 2  # calls on which what was written down must agree bit for bit


class Scripted:
    """`function` of tensors in dicts and tuples, which gives a tuple of tensors, without gradients.

    It must do the same operations for the same shapes and the same `way`; tensors that it reads elsewhere must stay
    where they are in memory, and it may change none.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], capture: str = "auto") -> None:
        """`capture`: "no" calls the function itself, always."""
        self.function, self.replayed = function, capture != "no"
        self.calls: dict[tuple, int] = {}
        self.scripts: dict[tuple, Callable | None] = {}

    def __call__(self, *arguments: Any, way: tuple = ()) -> tuple[Tensor, ...]:
        """`way`: what else than shapes decides about what is done."""
        if not self.replayed:
            return self.function(*arguments)
        leaves = leaves_of(arguments)
        key = (way, *[(leaf.shape, leaf.dtype) for leaf in leaves])
        calls = self.calls[key] = self.calls.get(key, 0) + 1
        if calls > WAIT + TRIALS and self.scripts[key] is not None:
            with torch.inference_mode(), torch.jit.optimized_execution(False):
                return self.scripts[key](*leaves)
        if calls != WAIT:
            found = self.function(*arguments)
            if WAIT < calls <= WAIT + TRIALS and self.scripts[key] is not None:
                with torch.inference_mode(), torch.jit.optimized_execution(False):
                    again = self.scripts[key](*leaves)
                if not all(torch.equal(a, b) for a, b in zip(found, again, strict=True)):
                    self.scripts[key] = None
            return found
        with Written(leaves) as written:
            found = self.function(*arguments)
        self.scripts[key] = self._script(written, leaves, found)
        return found

    def _script(self, written: Written, leaves: list[Tensor], found: tuple[Tensor, ...]) -> Callable | None:
        """None where TorchScript does not take it."""
        try:
            module = written.module(found)
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.jit.trace(module, tuple(leaves), check_trace=False).forward
        except (RuntimeError, TypeError, NotImplementedError):
            return None
