"""Functions of tensors replayed as their bare operations, without the Python and the vmap around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from agent_gym.nets.learner.cuda_graphs import leaves_of

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
        with _Written(leaves) as written:
            found = self.function(*arguments)
        self.scripts[key] = written.script(leaves, found)
        return found


class _Written(TorchDispatchMode):
    """Writes down the operations on plain tensors that are done within it."""

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self.graph, self.constants = fx.Graph(), {}
        self.nodes: dict[int, fx.Node] = {}
        self.kept: list[Any] = []  # a tensor that is gone leaves its number to another
        for i, leaf in enumerate(inputs):
            self._known(leaf, self.graph.placeholder(f"x{i}"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped imports torch._dynamo, more than a second

    def _known(self, result: Any, node: fx.Node) -> None:
        if isinstance(result, Tensor):
            self.nodes[id(result)] = node
            self.kept.append(result)
        elif isinstance(result, tuple | list):
            for i, part in enumerate(result):
                self._known(part, self.graph.call_function(lambda parts, i=i: parts[i], (node,)))

    def _node(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._node(part) for part in value)
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self.nodes:  # read from elsewhere
            name = f"c{len(self.constants)}"
            self.constants[name] = value.detach()
            self._known(value, self.graph.get_attr(name))
        return self.nodes[id(value)]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        inputs = self._node(args), {name: self._node(value) for name, value in (kwargs or {}).items()}
        result = func(*args, **(kwargs or {}))
        self._known(result, self.graph.call_function(func, *inputs))
        return result

    def script(self, inputs: list[Tensor], outputs: tuple[Tensor, ...]) -> Callable | None:
        """None where TorchScript does not take it."""
        try:
            self.graph.output(tuple(self.nodes[id(output)] for output in outputs))
            module = fx.GraphModule(self.constants, self.graph)
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.jit.trace(module, tuple(inputs), check_trace=False).forward
        except (KeyError, RuntimeError, TypeError, NotImplementedError):
            return None
