"""What the numbers of an action value say of the return: its mean, or its distribution in one of several forms."""

from __future__ import annotations

from typing import Any

from agent_gym.nets.values.atoms import Atoms
from agent_gym.nets.values.implicit import ImplicitQuantiles
from agent_gym.nets.values.means import Means
from agent_gym.nets.values.quantiles import Quantiles


def make_values(config: Any, in_dim: int) -> Means:
    """By the settings `quantiles`, `implicit`, `atoms`, `value_range` and `td_loss`; `in_dim`: of the features."""
    if config.atoms:
        return Atoms(config.atoms, *config.value_range)
    if config.implicit:
        return ImplicitQuantiles(config.quantiles, in_dim)
    return Quantiles(config.quantiles) if config.quantiles else Means(config.td_loss)
