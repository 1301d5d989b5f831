"""A person at one side of a two-player game and an agent at the other, however the person plays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agent_gym.envs.games.game import TURN, Game, outcome, over


class Sitting:
    """One game after another; the person has `side` 0 (begins) or 1."""

    def __init__(self, game: Game, policy: Any, side: int, device: torch.device | str = "cpu") -> None:
        self.game, self.policy, self.side, self.device = game, policy, side, torch.device(device)
        self.number = 0
        self.again()

    def again(self) -> None:
        """A new game."""
        self.state = self.game.initial(1, self.device)
        self.number += 1
        self.answered: int | None = None
        """The agent's latest move."""
        self.seen: dict[str, np.ndarray] = {}
        """What it thought of the position in which it made that: see Policy.inspect."""
        self.values: list[float] = []

    def swap(self) -> None:
        """A new game from the other side."""
        self.side = 1 - self.side
        self.again()

    @property
    def over(self) -> bool:
        return bool(over(self.state)[0])

    @property
    def waits(self) -> bool:
        """Whether the agent is to move."""
        return not self.over and int(self.state[TURN, 0]) != self.side

    @property
    def legal(self) -> list[int]:
        """What may be played now."""
        return self.game.mask(self.state)[0].nonzero().flatten().tolist()

    @property
    def result(self) -> str:
        """How a game that is over ended for the person: won, lost or drawn."""
        mine = outcome(self.state)[self.side, 0].item()
        return "won" if mine > 0 else "lost" if mine < 0 else "drawn"

    def play(self, action: int) -> None:
        """The person's legal move."""
        self.state = self.game.play(self.state, torch.tensor([action], device=self.device))

    def answer(self) -> int:
        """The agent's move; of a policy that wants an illegal one, any legal one."""
        obs, legal = self.game.observe(self.state), self.game.mask(self.state)
        here = (obs, self.policy.initial_state(1), torch.ones(1, dtype=torch.bool, device=self.device), legal)
        self.seen = {key: part[0].cpu().numpy() for key, part in self.policy.inspect(*here).items()}
        if "value" in self.seen:
            self.values.append(float(self.seen["value"]))
        action = self.policy.act(*here)[0].item()
        if not legal[0, action]:
            action = int(legal[0].float().multinomial(1))
        self.answered = action
        self.play(action)
        return action

    def point(self, x: float, y: float) -> int | None:
        """The legal move that a place in the picture, in shares of its width and height, means; None: none."""
        action = self.game.point(x, y)
        return action if action in self.legal else None

    @property
    def pass_move(self) -> int | None:
        """The legal move that no place means, such as a pass."""
        return next((action for action in self.legal if self.game.name_action(action) == "pass"), None)

    def picture(self) -> np.ndarray:
        return self.game.render(self.state[:, 0].cpu().numpy())

    @property
    def names(self) -> list[str]:
        """Of all moves."""
        return [self.game.name_action(action) for action in range(self.game.num_actions)]
