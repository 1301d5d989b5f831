"""Tic-tac-toe: three in a row on nine cells."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.games.game import TURN, Game, name_cell, numbers, over, result, square_symmetries
from agent_gym.envs.native.boards.bits import bit, by_player, empty_board, planes, state_of, unpack
from agent_gym.envs.native.boards.pictures import WIDE, draw_crosses, pointed

MINE, THEIRS = 3, 4  # rows: stones of who is to move, and of the other
CELLS = tuple(range(9))
ROWS = [(i, i + 1, i + 2) for i in (0, 3, 6)] + [(i, i + 3, i + 6) for i in (0, 1, 2)] + [(0, 4, 8), (2, 4, 6)]
LINES = tuple(sum(1 << cell for cell in row) for row in ROWS)


def play(state: Tensor, action: Tensor) -> Tensor:
    turn, _, moves, mine, theirs = state
    mine, moves = mine | bit(action), moves + 1
    lines = numbers(LINES, state.device).unsqueeze(1)
    won = ((mine & lines) == lines).any(0)
    return torch.stack((1 - turn, result(turn, won, moves == 9), moves, theirs, mine))


def mask(state: Tensor) -> Tensor:
    """[B, 9]: the empty cells."""
    return ((unpack(state[MINE] | state[THEIRS], CELLS) == 0) & ~over(state)).T


def observe(state: Tensor) -> Tensor:
    """[B, 2, 3, 3]: own marks and the other's."""
    return planes(state[MINE : THEIRS + 1], CELLS, 3)


def restore(obs: Tensor) -> Tensor:
    return state_of(obs, CELLS)


def cells(state: Tensor) -> Tensor:
    """[B, 3, 3]: 0, 1 for the first player, 2 for the second."""
    return by_player(observe(state), state[TURN])


def render(state: np.ndarray) -> np.ndarray:
    return draw_crosses(cells(torch.from_numpy(state).unsqueeze(1))[0].tolist())


def make() -> Game:
    return Game(
        id="AgentGym/TicTacToe-v0",
        board=(3, 3),
        num_planes=2,
        num_actions=9,
        max_moves=9,
        initial=empty_board,
        play=play,
        mask=mask,
        observe=observe,
        restore=restore,
        cells=cells,
        symmetries=square_symmetries(3),
        name_action=lambda action: name_cell(3, action),
        point=partial(pointed, 3, 3, margin=WIDE),
        render=render,
    )
