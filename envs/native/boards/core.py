"""A two-player game as an environment for one agent, whose opponent moves within the agent's step."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.games.game import FIRST_WON, GAMES, RESULT, TURN, Game, outcome, over
from agent_gym.envs.games.players import Player, make_player
from agent_gym.envs.native.core import Core
from agent_gym.ground.errors import UserError

SIDES = ("random", "first", "second")


def board_core(game: Game, opponent: str = "random", side: str = "random") -> Core:
    """The environment of one player of `game`. Raises UserError for an opponent or a side that is none.

    State: that of the game, and a row with the agent's side. The reward is 1 for a win, -1 for a loss and 0 otherwise;
    an illegal action loses at once.
    """
    if side not in SIDES:
        raise UserError(f'side {side!r}: --env-kwargs takes "side" {", ".join(SIDES)}')
    table = BoardTable(game, make_player(game, opponent), side)
    return Core(
        game.id,
        spaces.Box(0, 1, (game.num_planes, *game.board), np.uint8),
        spaces.Discrete(game.num_actions),
        game.max_moves,
        table.initial,
        table.step,
        lambda state: game.observe(state[:-1]),
        lambda state: game.render(state[:-1]),
        2,
        tuple(game.name_action(action) for action in range(game.num_actions)),
        mask=lambda state: game.mask(state[:-1]),
        game=game,
    )


class BoardTable:
    """An agent and its opponent at one game."""

    def __init__(self, game: Game, opponent: Player, side: str) -> None:
        self.game, self.opponent, self.side = game, opponent, side

    def initial(self, num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
        state = self.game.initial(num_envs, device)
        if self.side == "random":
            agent = torch.randint(2, (num_envs,), generator=generator, device=device)
        else:
            agent = torch.full((num_envs,), SIDES.index(self.side) - 1, device=device)
        return torch.cat((self.reply(state, agent, generator), agent.unsqueeze(0)))

    def reply(self, state: Tensor, agent: Tensor, generator: torch.Generator) -> Tensor:
        """The games after the opponent's move where it is to move."""
        due = (state[TURN] != agent) & ~over(state)
        if state.device.type != "cpu":  # asking who is due would stall it
            moved = self.game.play(state, self.opponent(state, generator))
            return torch.where(due, moved, state)
        index = due.nonzero().squeeze(1)
        if not len(index):
            return state
        waiting = state[:, index]
        moved = self.game.play(waiting, self.opponent(waiting, generator))
        return state.index_copy(1, index, moved)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        state, agent = state[:-1], state[-1]
        legal = self.game.mask(state).gather(1, action.unsqueeze(1)).squeeze(1)
        after = self.game.play(state, action)
        lost = state.clone()
        lost[RESULT] = FIRST_WON + 1 - agent
        after = self.reply(torch.where(legal, after, lost), agent, generator)
        reward = torch.where(agent == 0, *outcome(after))
        return torch.cat((after, agent.unsqueeze(0))), reward, over(after)


def family(make: Callable[..., Game]) -> Callable[..., Core]:
    """A Core for each choice of a game's own arguments, `opponent` and `side`; the rules become known too."""

    def build(opponent: str = "random", side: str = "random", **rules: object) -> Core:
        return board_core(make(**rules), opponent, side)

    known = [*inspect.signature(make).parameters.values(), *inspect.signature(build).parameters.values()]
    named = [p.replace(kind=p.KEYWORD_ONLY) for p in known if p.kind is p.POSITIONAL_OR_KEYWORD]
    GAMES[make().id] = make
    build.__signature__ = inspect.Signature(named)  # what a line about a wrong argument lists
    return build
