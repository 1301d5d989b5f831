"""Settings of networks of action values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, Needs


@dataclass(frozen=True)
class ValueSettings:
    """What the network says of the return of each action."""

    dueling: bool = True
    """Separate outputs for the state's value and the actions' advantages (Wang et al. 2016)."""
    quantiles: Annotated[int, NOT_NEGATIVE] = 0
    """Quantiles of the return's distribution for each action (QR-DQN, Dabney et al. 2018); 0: its mean alone."""
    implicit: Annotated[bool, Needs("quantiles", but=(0,))] = False
    """Quantiles at levels drawn anew for each update instead of fixed ones (IQN, Dabney et al. 2018b)."""
    atoms: Annotated[int, NOT_NEGATIVE] = 0
    """Values of which the chances are learned for each action (C51, Bellemare et al. 2017); 0: none."""
    value_range: Annotated[tuple[float, float], Needs("atoms", but=(0,))] = (-10.0, 10.0)
    """The least and the largest of them, in units of the reward that is learned from."""
    noisy: bool = False
    """Explore by learned noise on the last layer's weights instead of random actions (Fortunato et al. 2018)."""
    td_loss: Annotated[Literal["huber", "mse"], Needs("quantiles", (0,))] = "huber"
    """Loss of the error; huber heeds large errors less, and so tends to the median where states look alike."""

    def check_values(self) -> None:
        """Raises UserError for what does not go together."""
        if self.quantiles and self.atoms:
            raise UserError(
                f"--quantiles {self.quantiles} and --atoms {self.atoms} are two forms of the return's distribution: "
                "leave one of them out"
            )
        if self.atoms == 1:
            raise UserError("--atoms 1 leaves no choice: expected 2 or more, or 0 for none")
        low, high = self.value_range
        if not low < high:
            raise UserError(f"--value-range {low:g} {high:g}: expected the smaller number first")
