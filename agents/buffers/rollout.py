"""On-policy storage: T steps of B environments, and minibatches of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from agent_gym.ground.tree import tree_leaves, tree_map


class Rollout:
    """Preallocated [T, B, ...] fields, written row by row. A field may be a tree of tensors.

    Fields lie where what is written to them does; `device` is where they will be wanted.
    """

    def __init__(self, num_steps: int, num_envs: int, device: torch.device | str) -> None:
        self.num_steps = num_steps
        self.num_envs = num_envs
        self.device = device
        self.fields: dict[str, object] = {}
        self._rows: list[list[Tensor]] = []
        self._kinds: list[list[int]] = []

    @torch.inference_mode(False)  # collection runs in inference mode, learning from the fields does not
    def _allocate(self, step: dict) -> None:
        def empty(x: Tensor) -> Tensor:
            pin = x.device.type == "cpu" and torch.device(self.device).type == "cuda"
            return torch.ones(self.num_steps, *x.shape, dtype=x.dtype, device=x.device, pin_memory=pin)

        self.fields |= {name: tree_map(empty, value) for name, value in step.items() if name not in self.fields}
        leaves = tree_leaves(self.fields)
        self._rows = [list(rows) for rows in zip(*(x.unbind(0) for x in leaves), strict=True)]
        # A GPU copies many tensors at once only where they are of one type.
        kinds = {(x.dtype, x.device) for x in leaves} if any(x.is_cuda for x in leaves) else ()
        self._kinds = [[i for i, x in enumerate(leaves) if (x.dtype, x.device) == kind] for kind in kinds]

    def add(self, t: int, **step: object) -> None:
        """Write one step: each field [B, ...] into row t.

        A field may stay away at first or later, as `valid` does while all steps are: it is True there.
        """
        if not step.keys() <= self.fields.keys():
            self._allocate(step)
        if len(step) < len(self.fields):
            away = self.fields.keys() - step.keys()
            step |= {name: tree_map(lambda x: torch.ones_like(x[t]), self.fields[name]) for name in away}
        row, leaves = self._rows[t], tree_leaves({name: step[name] for name in self.fields})
        if not self._kinds:
            torch._foreach_copy_(row, leaves)
        for kind in self._kinds:
            torch._foreach_copy_([row[i] for i in kind], [leaves[i] for i in kind])

    def __getitem__(self, name: str):
        return self.fields[name]


def minibatches(
    batch: dict, state: Tensor, num_minibatches: int, generator: torch.Generator
) -> Iterator[tuple[dict, Tensor]]:
    """One epoch over fields [T, B, ...] in a fresh order; yields (minibatch, state before its first step).

    Without memory (state [B, 0]) single steps are shuffled and come out as [1, n, ...]. With memory
    (state [B, S]) whole sequences are, as [T, n, ...], so that the state stays right.
    """
    if state.shape[1] == 0:
        batch = tree_map(lambda x: x.flatten(0, 1).unsqueeze(0), batch)
        state = state.new_zeros(tree_leaves(batch)[0].shape[1], 0)
    order = torch.randperm(len(state), generator=generator, device=generator.device)
    batch = tree_map(lambda x: x.index_select(1, order), batch)
    state = state.index_select(0, order)
    for part in slices(len(state), num_minibatches):
        yield tree_map(lambda x, part=part: x[:, part], batch), state[part]


def slices(size: int, parts: int) -> list[slice]:
    """Split range(size) into `parts` (at most size) slices whose lengths differ by at most one."""
    parts = min(parts, size)
    edges = [size * k // parts for k in range(parts + 1)]
    return [slice(*ends) for ends in pairwise(edges)]
