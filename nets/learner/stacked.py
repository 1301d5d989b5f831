"""Several networks of one make as one: what each holds is a row of tensors [S, ...], and one program learns all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agent_gym.nets.beneath import mapping
from agent_gym.nets.learner.graphs import GradientGraph
from agent_gym.nets.learner.learner import Learner, NonFiniteError, Stats
from agent_gym.nets.learner.optimizers import step_all
from agent_gym.nets.target import TargetNetwork

PATIENCE = 300  # plain updates before one is traced: under vmap each takes about a third longer than its graph


def tensors_of(
    modules: Iterable[nn.Module], learners: Iterable[Learner], targets: Iterable[TargetNetwork] = ()
) -> list[Tensor]:
    """All tensors of one member, in an order that is the same for all."""
    found: list[Tensor] = []
    for module in modules:
        found += [*module.parameters(), *module.buffers()]
    for learner in learners:
        optimizer = learner.optimizer
        optimizer.state = optimizer.state or optimizer.initial()
        found += [learner.parameters, learner.parameters.grad, *learner.learned, *optimizer.state.values()]
        found += [parameter.grad for parameter in learner.learned]
    for target in targets:
        found += [target.vector, target.learned]
    return list({id(tensor): tensor for tensor in found}.values())


class Stack:
    """S members of one make, whose tensors become rows of shared ones: reading and writing either is the same.

    `modules[s]` are the modules of member s, those of its targets among them, `learners[s]` and `targets[s]` what
    changes them. All live on one device. `rows(tensor)` gives the tensor [S, ...] whose rows are that tensor of the
    first member and those in its place of the others.
    """

    def __init__(
        self,
        modules: Sequence[Sequence[nn.Module]],
        learners: Sequence[Sequence[Learner]],
        targets: Sequence[Sequence[TargetNetwork]] | None = None,
    ) -> None:
        self.size = len(modules)
        targets = targets or [()] * self.size
        members = [tensors_of(*member) for member in zip(modules, learners, targets, strict=True)]
        storages = {tensors[0].untyped_storage().data_ptr() for tensors in members}
        if len(storages) < self.size:  # members of another stack
            for tensors in members:
                _move_out(tensors)
        self._rows: dict[int, Tensor] = {}
        self._kept: list[list[Tensor]] = members
        for together in _by_storage(members):
            self._join(together)
        learned = {id(parameter) for learner in learners[0] for parameter in learner.learned}
        self.places: list[tuple[dict[str, Tensor], str]] = []
        self.values: list[Tensor] = []
        for own, name in places_of(modules[0]):
            self.places.append((own, name))
            self.values.append(self._leaf(own[name], id(own[name]) in learned))
        self.first = [own[name] for own, name in self.places]

    def _join(self, together: list[list[Tensor]]) -> None:
        """Give tensors that share a storage, a list for each member, places in one storage for all members."""
        first = together[0][0]
        count = first.untyped_storage().nbytes() // first.itemsize
        base = torch.empty(self.size, count, dtype=first.dtype, device=first.device)
        for row, tensors in zip(base, together, strict=True):
            row.copy_(torch.as_strided(tensors[0].detach(), (count,), (1,), 0))
            for tensor in tensors:
                start = row.storage_offset() + tensor.storage_offset()
                tensor.data = base.as_strided(tensor.shape, tensor.stride(), start)
        for tensor in together[0]:
            shape, strides = (self.size, *tensor.shape), (count, *tensor.stride())
            self._rows[id(tensor)] = base.as_strided(shape, strides, tensor.storage_offset())

    def _leaf(self, tensor: Tensor, learned: bool) -> Tensor:
        rows = self._rows[id(tensor)]
        if learned:
            rows.requires_grad_()
            rows.grad = self._rows[id(tensor.grad)]
        return rows

    def rows(self, tensor: Tensor) -> Tensor:
        """[S, ...] of a tensor of the first member."""
        return self._rows[id(tensor)]

    def mapped(self, function: Callable[..., Any], modules: Iterable[nn.Module] | None = None) -> Callable[..., Any]:
        """`function`, which the first member's modules (all, or `modules` of them) take part in, for all at once.

        It takes and gives tensors, in dicts and tuples, with the members as the first dimension: member s is computed
        with its own tensors and row s of the arguments.
        """
        wanted = None if modules is None else {(id(own), name) for own, name in places_of(modules)}
        chosen = [
            (own, name, value, first)
            for (own, name), value, first in zip(self.places, self.values, self.first, strict=True)
            if wanted is None or (id(own), name) in wanted
        ]

        def many(*arguments: Any) -> Any:
            with mapping(self.size) as level:
                try:
                    for own, name, value, _ in chosen:
                        own[name] = level.enter(value)
                    return level.leave(function(*level.enter(arguments)))
                finally:
                    for own, name, _, first in chosen:
                        own[name] = first

        return many


def places_of(modules: Iterable[nn.Module]) -> list[tuple[dict[str, Tensor], str]]:
    """Where modules keep their tensors."""
    parts = (part for whole in modules for part in whole.modules())
    owners = (own for part in parts for own in (part._parameters, part._buffers))
    return [(own, name) for own in owners for name, tensor in own.items() if tensor is not None]


def _by_storage(members: list[list[Tensor]]) -> list[list[list[Tensor]]]:
    """The tensors of all members grouped by the storage in which the first member's lie: [group][member][tensor]."""
    groups: dict[int, list[int]] = {}
    for place, tensor in enumerate(members[0]):
        groups.setdefault(tensor.untyped_storage().data_ptr(), []).append(place)
    return [[[member[place] for place in places] for member in members] for places in groups.values()]


def _move_out(tensors: list[Tensor]) -> None:
    """Give the tensors of a member of a stack storages of their own; those that share one go on doing so."""
    for (together,) in _by_storage([tensors]):
        low = min(tensor.storage_offset() for tensor in together)
        spans = [sum((n - 1) * step for n, step in zip(t.shape, t.stride(), strict=True)) + 1 for t in together]
        high = max(tensor.storage_offset() + span for tensor, span in zip(together, spans, strict=True))
        own = torch.as_strided(together[0].detach(), (high - low,), (1,), low).clone()
        for tensor in together:
            tensor.data = own.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset() - low)


class StackedLearner:
    """The Learners of S members as one: the losses and gradients of all by one program, then each its own step.

    `loss_fn` is the first member's. Each member's gradient is clipped by its own norm.
    """

    def __init__(self, stack: Stack, learners: Sequence[Learner], loss_fn: Callable[..., tuple[Tensor, Stats]]) -> None:
        self.learners = learners
        self.config = learners[0].config
        self.grad = stack.rows(learners[0].parameters.grad)
        self.one = stack.mapped(loss_fn)
        learned = {id(parameter) for parameter in learners[0].learned}
        self.learned = list(
            {id(v): v for v, t in zip(stack.values, stack.first, strict=True) if id(t) in learned}.values()
        )
        self.graph = GradientGraph(self._loss, self.learned, patience=PATIENCE)

    def _loss(self, *batch: Any) -> tuple[Tensor, Stats]:
        """The sum of all losses: the gradient of each member is that of its own."""
        losses, stats = self.one(*batch)
        return losses.sum(), stats | {"loss": losses.detach()}

    def update(self, *batch: Any) -> Stats:
        """One optimizer step of each member on its rows [S, ...] of the batch; stats [S, ...].

        Raises NonFiniteError before any parameter changes; its `member` is the first that failed.
        """
        run = self.graph if self.config.capture == "auto" else self.graph.run
        _, stats = run(*batch)
        norms = torch.linalg.vector_norm(self.grad, dim=1)
        good = torch.isfinite(stats["loss"] + norms)
        if not good.all():
            error = NonFiniteError("the loss or its gradient is not finite")
            error.member = int(good.logical_not().nonzero()[0])
            raise error
        limit = self.config.max_grad_norm
        if limit > 0 and norms.max().item() > 0.999 * limit:
            self.grad.mul_((limit / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(1))
        step_all([learner.optimizer for learner in self.learners])
        return stats | {"grad_norm": norms}


class StackedTarget:
    """The targets of S members as one."""

    def __init__(self, stack: Stack, target: TargetNetwork) -> None:
        """`target`: the first member's."""
        self.vector, self.learned = stack.rows(target.vector), stack.rows(target.learned)
        self.taus: Tensor | None = None
        """[S, 1] where each member has its own."""

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """As TargetNetwork.follow."""
        self.vector.lerp_(self.learned, tau if self.taus is None else self.taus)
