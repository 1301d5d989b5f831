"""Proportional prioritised sampling (Schaul et al. 2016, section 3.3) from a sum tree with wide nodes."""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH = 128  # children of a node: three levels hold two million leaves, and a level costs a few kernels


class SumTree:
    """Priorities of `capacity` slots; every node holds the sum of its children, so a draw descends in three steps.

    Sums are made anew from the children, never by adding differences, so they do not drift.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self.levels: list[Tensor] = []  # leaves first; each padded to whole nodes
        size = capacity
        while True:
            size = -(-size // WIDTH) * WIDTH
            self.levels.append(torch.zeros(size, dtype=torch.float64, device=device))
            size //= WIDTH
            if size == 1:
                break

    @property
    def leaves(self) -> Tensor:
        return self.levels[0]

    @property
    def total(self) -> Tensor:
        return self.levels[-1].sum()

    def update(self, slot: Tensor, priority: Tensor) -> None:
        """Set the priorities [n] of slots [n]; of a slot given twice one of the two stays."""
        self.levels[0][slot] = priority.to(self.levels[0].dtype)
        for below, level in zip(self.levels, self.levels[1:], strict=False):
            slot = slot // WIDTH
            level[slot] = below.view(-1, WIDTH)[slot].sum(-1)

    def rebuild(self) -> None:
        """All sums from the leaves."""
        for below, level in zip(self.levels, self.levels[1:], strict=False):
            level.zero_()
            level[: len(below) // WIDTH] = below.view(-1, WIDTH).sum(-1)

    def sample(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Slots [n], one from each of n equal parts of the sum, and their probabilities [n]."""
        device = self.leaves.device
        uniform = torch.rand(batch_size, generator=generator, device=device, dtype=torch.float64)
        mass = (torch.arange(batch_size, device=device) + uniform) / batch_size * self.total
        node = torch.zeros(batch_size, dtype=torch.int64, device=device)
        for level in reversed(self.levels):
            children = level.view(-1, WIDTH)[node]
            upto = children.cumsum(-1)
            mass = torch.minimum(mass, upto[:, -1] * (1.0 - 1e-12))  # rounding must not lead behind the last child
            child = torch.searchsorted(upto, mass.unsqueeze(-1), right=True)
            before = upto.gather(-1, child) - children.gather(-1, child)
            mass = (mass.unsqueeze(-1) - before).squeeze(-1).clamp_(min=0.0)
            node = node * WIDTH + child.squeeze(-1)
        return node, self.leaves[node] / self.total
