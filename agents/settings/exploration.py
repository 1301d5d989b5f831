"""Settings of random actions, for agents of action values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent_gym.ground.settings import SHARE, Needs

DICED = Needs("noisy", (False,))


@dataclass(frozen=True)
class ExplorationSettings:
    """How often an action is random, over the run."""

    exploration_fraction: Annotated[float, DICED, SHARE] = 0.2
    """Share of the run in which random actions fall from exploration_initial to exploration_final."""
    exploration_initial: Annotated[float, DICED, SHARE] = 1.0
    """Chance of a random action at the start."""
    exploration_final: Annotated[float, DICED, SHARE] = 0.05
    """Chance of a random action in the end."""

    @property
    def scheduled(self) -> bool:
        """Exploration is."""
        return True

    def epsilon(self, progress: float) -> float:
        """The chance of a random action when a share `progress` of the run is done."""
        done = min(progress / self.exploration_fraction, 1.0) if self.exploration_fraction else 1.0
        return self.exploration_initial + done * (self.exploration_final - self.exploration_initial)
