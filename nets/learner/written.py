"""Writes down what a function does with tensors, as a graph of its bare operations.

torch.fx's make_fx does the same, and imports torch._dynamo for it: 1.5 seconds and 80 MB.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode


def written(function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The graph of what `function(*inputs)` does. Raises RuntimeError where it takes a number out of a tensor."""
    with Written(inputs) as kept:
        results = function(*inputs)
    return kept.module(results)


class Written(TorchDispatchMode):
    """Keeps the operations on plain tensors that are done within it, those of autograd included.

    `inputs`: the tensors that vary. All others are read again, from where they lie, whenever the graph runs.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph, self.constants = fx.Graph(), {}
        self.nodes: dict[int, fx.Node] = {}
        self.kept: list[Any] = []  # a tensor that is gone leaves its number to another
        self.told = ""  # the first operation that took a number out of a tensor
        for i, leaf in enumerate(inputs):
            self._known(leaf, self.graph.placeholder(f"x{i}"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped imports torch._dynamo

    def module(self, outputs: tuple[Tensor, ...]) -> fx.GraphModule:
        """The graph from the inputs to `outputs`. Raises RuntimeError where a number was taken out of a tensor, since
        Python may decide by it."""
        if self.told:
            raise RuntimeError(f"{self.told} takes a number out of a tensor")
        self.graph.output(self._node(outputs))
        return fx.GraphModule(self.constants, self.graph)

    def _known(self, result: Any, node: fx.Node) -> None:
        if isinstance(result, Tensor):
            self.nodes[id(result)] = node
            self.kept.append(result)
        elif isinstance(result, tuple | list):
            for i, part in enumerate(result):
                self._known(part, self.graph.call_function(operator.getitem, (node, i)))

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
        if torch.Tag.data_dependent_output in func.tags:
            self.told = self.told or str(func)
        self._known(result, self.graph.call_function(func, *inputs))
        return result
