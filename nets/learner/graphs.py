"""Replays a loss and its gradients as one graph: the same kernels and numbers at a fraction of the overhead.

For small networks on a CPU most of an optimizer step goes into Python and autograd, not arithmetic. Tracing the loss
together with its backward pass to TorchScript, without what need not be repeated (nets/learner/simplify.py), halves
the step and changes no bit of the result.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx

from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.learner.simplify import simplify
from agent_gym.nets.learner.written import written

MAX_SHAPES = 4  # graphs kept; a loss that sees more shapes of batch than this is not worth tracing
PATIENCE = 200  # plain updates before tracing, which costs about as much time as they do
TRIALS = 2  # batches on which a graph must agree with the loss bit for bit before it is trusted


class GradientGraph:
    """`loss_fn` and its gradients, replayed where that is possible and run as it stands where it is not.

    The loss must do the same operations on every batch of one shape: what varies has to be a tensor, in the batch or
    written in place. Each graph proves itself on its first batches against the loss itself, and is dropped otherwise.
    Parameters and their gradients must stay where they are in memory.
    """

    def __init__(self, loss_fn: Callable, parameters: list[Tensor], patience: int | None = None) -> None:
        """`parameters` have their `.grad`; `patience`: updates of one shape before it is traced; None: PATIENCE."""
        self.loss_fn, self.patience = loss_fn, PATIENCE if patience is None else patience
        self.parameters = parameters
        self.gradients = [parameter.grad for parameter in parameters]
        self.graphs: dict[tuple, _Graph | None] = {}
        self.seen: dict[tuple, int] = {}

    def __call__(self, *batch: object) -> tuple[Tensor, dict[str, Tensor]]:
        """Fills the parameters' `.grad`; returns the loss [] and the stats, detached."""
        leaves = [leaf for argument in batch for leaf in tree_leaves(argument)]
        key = tuple([(leaf.shape, leaf.dtype) for leaf in leaves])
        if key not in self.graphs:
            self.seen[key] = self.seen.get(key, 0) + 1
            if self.seen[key] <= self.patience:
                return self.run(*batch)
            self.graphs[key] = _Graph.trace(self, batch, leaves) if len(self.graphs) < MAX_SHAPES else None
        graph = self.graphs[key]
        if graph is None:
            return self.run(*batch)
        if graph.trials < TRIALS:
            graph.trials += 1
            replayed = [value.clone() for value in self._all(*graph(leaves))]
            loss, stats = self.run(*batch)
            if not all(torch.equal(a, b) for a, b in zip(replayed, self._all(loss, stats), strict=True)):
                self.graphs[key] = None
            return loss, stats
        return graph(leaves)

    def _all(self, loss: Tensor, stats: dict[str, Tensor]) -> list[Tensor]:
        return [loss, *stats.values(), *self.gradients]

    def run(self, *batch: object) -> tuple[Tensor, dict[str, Tensor]]:
        """The same without a graph."""
        loss, stats = self.loss_fn(*batch)
        torch._foreach_copy_(self.gradients, self._gradients_of(loss))
        return loss.detach(), {name: value.detach() for name, value in stats.items()}

    def _gradients_of(self, loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, self.parameters, materialize_grads=True)


class _Graph:
    """One traced shape: leaves in; loss and stats out, and gradients to their places.

    `sources`: the results to be copied to `targets`, gradients that the script does not write there itself.
    `called`: functions that the script calls without keeping them in memory.
    """

    def __init__(
        self, script: Callable, called: list[Callable], names: list[str], sources: list[int], targets: list[Tensor]
    ) -> None:
        self.script, self.called = script, called
        self.names, self.sources, self.targets = names, sources, targets
        self.trials = 0

    @torch.no_grad()
    def __call__(self, leaves: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.jit.optimized_execution(False):  # its passes split addmm, which rounds differently
            results = self.script(*leaves)
        if self.sources:
            torch._foreach_copy_(self.targets, [results[i] for i in self.sources])
        return results[0], dict(zip(self.names, results[1 : 1 + len(self.names)], strict=True))

    @classmethod
    def trace(cls, owner: GradientGraph, batch: tuple, leaves: list[Tensor]) -> _Graph | None:
        """None where the loss cannot be traced."""
        names: list[str] = []

        def run(*traced: Tensor) -> tuple[Tensor, ...]:
            following: Iterator[Tensor] = iter(traced)
            loss, stats = owner.loss_fn(*(tree_map(lambda _: next(following), argument) for argument in batch))
            names[:] = stats
            return loss, *stats.values(), *owner._gradients_of(loss)

        try:
            graph = written(run, leaves)
            places = [None] * (1 + len(names)) + owner.gradients  # of the results
            done = simplify(graph, leaves, places)
            called = _without_lists_of_bool(graph)
            sources = [i for i, place in enumerate(places) if place is not None and i not in done]
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                script = torch.jit.trace(graph, tuple(leaves), check_trace=False)
            # Calling the module instead would cost 15 microseconds of looking things up.
            return cls(script.forward, called, names, sources, [places[i] for i in sources])
        except (RuntimeError, TypeError, NotImplementedError):
            return None


def _without_lists_of_bool(module: fx.GraphModule) -> list[Callable]:
    """Put operations that take such a list, as which gradients are wanted, into functions of TorchScript.

    `torch.jit.trace` knows no such lists, but follows into these functions, where they are constants. Results that
    nobody wants must not leave them, since they may not exist. Returns the functions.
    """
    functions = []
    for node in list(module.graph.nodes):
        lists = [arg for arg in node.args if isinstance(arg, list | tuple)]
        users = list(node.users)
        if not any(isinstance(part, bool) for parts in lists for part in parts):
            continue
        if node.kwargs or any(user.target is not operator.getitem for user in users):
            continue
        inputs = node.all_input_nodes
        arguments = ", ".join(f"x{inputs.index(a)}" if isinstance(a, fx.Node) else str(a) for a in node.args)
        wanted = sorted({user.args[1] for user in users})
        script = torch.jit.CompilationUnit(
            f"def run({', '.join(f'x{i}: Tensor' for i in range(len(inputs)))}):\n"
            f"    results = torch.ops.{node.target._schema.name.replace('::', '.')}({arguments})\n"
            f"    return [{', '.join(f'results[{i}]' for i in wanted)}]\n"
        ).run
        functions.append(script)
        with module.graph.inserting_before(node):
            call = module.graph.call_function(lambda *tensors, script=script: script(*tensors), tuple(inputs))
        for user in users:
            user.args = (call, wanted.index(user.args[1]))
        module.graph.erase_node(node)
    module.recompile()
    return functions


class Replayed:
    """A function of one tensor without gradients, replayed as a graph once it has shown that this changes nothing.

    The function must do the same operations for every tensor of one shape, and its parameters must stay as they are.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.script: Callable[[Tensor], Tensor] | None = None
        self.calls, self.good = 0, True

    def __call__(self, x: Tensor) -> Tensor:
        if self.calls > TRIED and self.good:
            with torch.inference_mode(), torch.jit.optimized_execution(False):
                return self.script(x)
        result = self.function(x)
        if self.good and self.calls <= TRIED:
            self._try(x, result)
        return result

    def _try(self, x: Tensor, result: Tensor) -> None:
        """Make the graph after a few calls and compare it with what the function gave in some more."""
        self.calls += 1
        if self.calls < TRIED // 2:
            return
        try:
            with torch.inference_mode(), torch.jit.optimized_execution(False), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.script is None:
                    self.script = torch.jit.trace(self.function, (x,), check_trace=False)
                self.good = torch.equal(self.script(x), result)
        except (RuntimeError, TypeError, NotImplementedError):
            self.good = False


TRIED = 20  # calls of a function before it is replayed
