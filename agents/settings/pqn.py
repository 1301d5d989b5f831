"""Settings of PQN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from agent_gym.agents.settings.exploration import ExplorationSettings
from agent_gym.agents.settings.on_policy import OnPolicyConfig
from agent_gym.ground.settings import SHARE
from agent_gym.nets.settings import ActivationName


@dataclass(frozen=True)
class PQNConfig(ExplorationSettings, OnPolicyConfig):
    """Parallelised Q-learning: Q(λ) on rollouts."""

    num_envs: int = 32
    num_steps: int = 32
    num_epochs: int = 2
    max_grad_norm: float = 10.0
    hidden_sizes: tuple[int, ...] = (128, 128)
    activation: ActivationName = "relu"
    layer_norm: bool = True
    orthogonal: bool = False  # PyTorch's weights, as for the other agents of action values
    q_lambda: Annotated[float, SHARE] = 0.65
    """Weight of longer returns in the target: 0 bootstraps after one step, 1 at the end of the rollout alone."""
    dueling: bool = False
    """Separate outputs for the state's value and the actions' advantages (Wang et al. 2016)."""

    # Its values are means, learned by their squared error.
    quantiles: ClassVar[int] = 0
    atoms: ClassVar[int] = 0
    implicit: ClassVar[bool] = False
    noisy: ClassVar[bool] = False
    td_loss: ClassVar[str] = "mse"
