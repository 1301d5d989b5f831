"""One side of a two-player game for an agent: the opponent moves within the agent's step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agent_gym.envs.games.game import FIRST_WON, RESULT, TURN, Game, outcome, over
from agent_gym.ground.errors import UserError

SIDES = ("random", "first", "second")
Opponent = Callable[[Tensor, Tensor], Tensor]
"""(state [S, K], which of the games these are [K]) -> its moves [K]; any number where a game is over."""


class Table:
    """An agent at one side of each of many games; `side`: which one, or drawn for each game."""

    def __init__(self, game: Game, side: str = "random") -> None:
        """Raises UserError."""
        if side not in SIDES:
            raise UserError(f'side {side!r}: --env-kwargs takes "side" {", ".join(SIDES)}')
        self.game, self.side = game, side

    def seats(self, num_games: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """The agent's side of each game, 0 or 1."""
        if self.side == "random":
            return torch.randint(2, (num_games,), generator=generator, device=device)
        return torch.full((num_games,), SIDES.index(self.side) - 1, device=device)

    def reply(self, state: Tensor, agent: Tensor, opponent: Opponent) -> Tensor:
        """The games after the opponent's move where it is to move; `agent` [B] is the agent's side."""
        due = (state[TURN] != agent) & ~over(state)
        if state.device.type != "cpu":  # asking who is due would stall it
            moved = self.game.play(state, opponent(state, torch.arange(len(due), device=due.device)))
            return torch.where(due, moved, state)
        index = due.nonzero().squeeze(1)
        if not len(index):
            return state
        waiting = state[:, index]
        return state.index_copy(1, index, self.game.play(waiting, opponent(waiting, index)))

    def step(self, state: Tensor, agent: Tensor, action: Tensor, opponent: Opponent) -> tuple[Tensor, Tensor, Tensor]:
        """The games after the agent's and the opponent's moves, the reward [B], and which are over.

        The reward is 1 for a win, -1 for a loss and 0 otherwise; an illegal action loses at once.
        """
        legal = self.game.mask(state).gather(1, action.unsqueeze(1)).squeeze(1)
        lost = state.clone()
        lost[RESULT] = FIRST_WON + 1 - agent
        after = self.reply(torch.where(legal, self.game.play(state, action), lost), agent, opponent)
        return after, torch.where(agent == 0, *outcome(after)), over(after)
