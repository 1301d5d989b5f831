"""Settings of DQN and QR-DQN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent_gym.agents.settings.exploration import ExplorationSettings
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.agents.settings.values import ValueSettings
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, STEP_SHARE, Count


@dataclass(frozen=True)
class DQNConfig(ValueSettings, ExplorationSettings, OffPolicyConfig):
    """Deep Q-learning."""

    buffer_size: int = 100_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    double: bool = True
    """The network itself chooses the action that the target network values (van Hasselt et al. 2016)."""
    n_step: int = 3
    target_every: Count = 500
    """Environment steps between updates of the target network."""
    tau: Annotated[float, STEP_SHARE] = 1.0
    """Share of the way that the target goes then; 1 copies."""
    conservative: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the penalty on values of actions that the data do not take (CQL, Kumar et al. 2020); 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_values()
        if self.noisy and (self.conservative or self.data):
            other = "--conservative" if self.conservative else "--data"
            raise UserError(f"--noisy is for exploring, and {other} for data that are there: leave one of them out")

    def epsilon(self, progress: float) -> float:
        return 0.0 if self.noisy else super().epsilon(progress)


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Deep Q-learning of the return's distribution by quantiles."""

    quantiles: int = 50
