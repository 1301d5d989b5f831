"""A two-player game as an environment for one agent, whose opponent moves within the agent's step."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.games.game import GAMES, Game
from agent_gym.envs.games.players import make_player
from agent_gym.envs.games.table import Table
from agent_gym.envs.native.core import Core


def board_core(game: Game, opponent: str = "random", side: str = "random") -> Core:
    """The environment of one player of `game`. Raises UserError for an opponent or a side that is none.

    State: that of the game, and a row with the agent's side. See envs.games.table.
    """
    table, player = Table(game, side), make_player(game, opponent)

    def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
        agent = table.seats(num_envs, generator, device)
        state = table.reply(game.initial(num_envs, device), agent, lambda waiting, _: player(waiting, generator))
        return torch.cat((state, agent.unsqueeze(0)))

    def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        moves = table.step(state[:-1], state[-1], action, lambda waiting, _: player(waiting, generator))
        return torch.cat((moves[0], state[-1:])), *moves[1:]

    return Core(
        game.id,
        spaces.Box(0, 1, (game.num_planes, *game.board), np.uint8),
        spaces.Discrete(game.num_actions),
        game.max_moves,
        initial,
        step,
        lambda state: game.observe(state[:-1]),
        lambda state: game.render(state[:-1]),
        2,
        tuple(game.name_action(action) for action in range(game.num_actions)),
        mask=lambda state: game.mask(state[:-1]),
        game=game,
    )


def family(make: Callable[..., Game]) -> Callable[..., Core]:
    """A Core for each choice of a game's own arguments, `opponent` and `side`; the rules become known too."""

    def build(opponent: str = "random", side: str = "random", **rules: object) -> Core:
        return board_core(make(**rules), opponent, side)

    known = [*inspect.signature(make).parameters.values(), *inspect.signature(build).parameters.values()]
    named = [p.replace(kind=p.KEYWORD_ONLY) for p in known if p.kind is p.POSITIONAL_OR_KEYWORD]
    GAMES[make().id] = make
    build.__signature__ = inspect.Signature(named)  # what a line about a wrong argument lists
    return build
