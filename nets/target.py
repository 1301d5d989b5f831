"""Target networks: slow copies that learning bootstraps from."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from agent_gym.nets.learner.learner import flatten


class TargetNetwork:
    """A copy of `source` that follows it, as one operation on one vector.

    `learned` is the Learner's vector of the parameters of `source` that learn, which are all of them that require
    gradients. `module` is the copy; frozen parameters it shares with the source.
    """

    def __init__(self, source: nn.Module, learned: Tensor) -> None:
        self.module = deepcopy(source, {id(p): p for p in source.parameters() if not p.requires_grad})
        self.learned = learned.detach()
        self.vector = flatten(p for p in self.module.parameters() if p.requires_grad).detach()
        for parameter in self.module.requires_grad_(False).parameters():
            parameter.grad = None

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """target += tau (source - target); 1 copies."""
        self.vector.lerp_(self.learned, tau)
