"""Settings of SAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, STEP_SHARE, Needs, Range

LEARNED = Needs("alpha", (0.0,))
CAUTIOUS = Needs("conservative", but=(0.0,))
DISTRIBUTED = Needs("quantiles", but=(0,))


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic."""

    env: str = "Pendulum-v1"
    tau: Annotated[float, STEP_SHARE] = 0.005
    """Share of the way that target critics go towards the critics after each update."""
    alpha: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the entropy; 0: learned."""
    initial_alpha: Annotated[float, LEARNED, POSITIVE] = 1.0
    """Where the learned weight starts; 1 pays an agent for staying alive until it has fallen."""
    target_entropy: Annotated[float, LEARNED] = 0.0
    """Entropy in nats that the learned weight aims at; 0: minus the action dimensions, or most of log n if discrete."""
    conservative: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the penalty on values of actions that the data do not take (CQL, Kumar et al. 2020); 0: none."""
    conservative_actions: Annotated[int, CAUTIOUS, Range(1)] = 10
    """Continuous actions drawn of each kind to estimate that penalty."""
    quantiles: Annotated[int, NOT_NEGATIVE] = 0
    """Quantiles of the return's distribution that each critic learns (TQC, Kuznetsov et al. 2020); 0: its mean."""
    drop_atoms: Annotated[int, DISTRIBUTED, NOT_NEGATIVE] = 2
    """Largest quantiles of each critic that are left out of the target, against overestimated values."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantiles and self.drop_atoms >= self.quantiles:
            raise UserError(
                f"--drop-atoms {self.drop_atoms} leaves none of --quantiles {self.quantiles}: expected fewer"
            )
        if self.quantiles and self.conservative:
            raise UserError("--conservative is for critics of means and does not go with --quantiles: leave one out")


@dataclass(frozen=True)
class TQCConfig(SACConfig):
    """SAC whose critics learn the return's distribution, the largest values of which are left out of the target."""

    quantiles: int = 25


@dataclass(frozen=True)
class CQLConfig(SACConfig):
    """Conservative Q-learning from a data set: SAC with a penalty on values of actions that the set does not take."""

    total_steps: int = 50_000
    normalize_obs: bool = True
    conservative: float = 5.0
    required = ("data",)
