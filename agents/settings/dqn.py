"""Settings of DQN and QR-DQN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.agents.settings.exploration import ExplorationSettings
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.settings import NOT_NEGATIVE, STEP_SHARE, Count


@dataclass(frozen=True)
class DQNConfig(ExplorationSettings, OffPolicyConfig):
    """Deep Q-learning."""

    buffer_size: int = 100_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    double: bool = True
    """The network itself chooses the action that the target network values (van Hasselt et al. 2016)."""
    dueling: bool = True
    """Separate outputs for the state's value and the actions' advantages (Wang et al. 2016)."""
    n_step: int = 3
    quantiles: Annotated[int, NOT_NEGATIVE] = 0
    """Quantiles of the return's distribution for each action (QR-DQN, Dabney et al. 2018); 0: its mean alone."""
    td_loss: Literal["huber", "mse"] = "huber"
    """Loss of the error; huber heeds large errors less, and so tends to the median where states look alike."""
    target_every: Count = 500
    """Environment steps between updates of the target network."""
    tau: Annotated[float, STEP_SHARE] = 1.0
    """Share of the way that the target goes then; 1 copies."""
    conservative: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the penalty on values of actions that the data do not take (CQL, Kumar et al. 2020); 0: none."""


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Deep Q-learning of the return's distribution by quantiles."""

    quantiles: int = 50
