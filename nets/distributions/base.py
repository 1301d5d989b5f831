"""What every action distribution does, and what rules choices out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Generator, Tensor

RULED_OUT = -1e9  # logit of a choice that may not be taken; finite, so that its share of the entropy is 0


def rule_out(values: Tensor, mask: Tensor, columns: Tensor) -> Tensor:
    """Values [..., m, n] of m choices, lowest where `mask` [..., c] is False; see MultiCategorical."""
    flat = torch.zeros(*mask.shape[:-1], values.shape[-2] * values.shape[-1], dtype=torch.bool, device=mask.device)
    flat = flat.index_copy(-1, columns, ~mask)
    return values.masked_fill(flat.view(*flat.shape[:-1], *values.shape[-2:]), RULED_OUT)


class Noise(NamedTuple):
    """What stands in for a random generator where the noise of a draw comes from outside."""

    kind: str
    """normal: standard normal; uniform: from 0 to 1, without the 0; both: uniform before `normals` normal ones."""
    shape: tuple[int, ...]
    """For one action."""
    normals: int = 0


class Distribution(ABC):
    """What a policy head returns."""

    @abstractmethod
    def sample(self, generator: Generator | None = None) -> Tensor:
        """One action for each [T, B], without gradient."""

    def masked(self, mask: Tensor | None) -> Distribution:
        """Without the choices where `mask` [..., n] is False; None rules nothing out. See VectorEnv.mask."""
        if mask is None:
            return self
        raise TypeError(f"a mask is for discrete actions, and this is a {type(self).__name__}")

    @property
    @abstractmethod
    def noise(self) -> Noise:
        """What `sample_from` takes for one action."""

    @abstractmethod
    def sample_from(self, noise: Tensor) -> Tensor:
        """`sample` with its `noise` [T, B, ...] given."""

    @abstractmethod
    def mode(self) -> Tensor:
        """The most likely action."""

    @abstractmethod
    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability (density) of `action`, [T, B]."""

    def entropy(self) -> Tensor:
        """Entropy in nats, [T, B], of distributions that know it in closed form."""
        raise TypeError(f"the entropy of a {type(self).__name__} has no closed form")
