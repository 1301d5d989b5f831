"""Connect Four: four in a row of discs that fall into seven columns of six cells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.games.game import TURN, Game, numbers, over, result
from agent_gym.envs.native.boards.bits import by_player, empty_board, planes, state_of, unpack
from agent_gym.envs.native.boards.pictures import draw_discs, pointed

MINE, THEIRS = 3, 4  # rows: discs of who is to move, and of the other
ROWS, COLUMNS = 6, 7
HEIGHT = ROWS + 1  # bits of a column: its cells from the bottom and one that stays empty
CELLS = tuple(HEIGHT * column + ROWS - 1 - row for row in range(ROWS) for column in range(COLUMNS))
TOPS = tuple(HEIGHT * column + ROWS - 1 for column in range(COLUMNS))
BOTTOM = tuple(1 << HEIGHT * column for column in range(COLUMNS))
WHOLE = tuple(((1 << ROWS) - 1) << HEIGHT * column for column in range(COLUMNS))
WAYS = ((1,), (HEIGHT,), (HEIGHT - 1,), (HEIGHT + 1,))  # up, right, and both diagonals, in bits
WAYS_TWICE = tuple((2 * way,) for (way,) in WAYS)


def play(state: Tensor, action: Tensor) -> Tensor:
    turn, _, moves, mine, theirs = state
    # Adding a bit at the bottom of a column carries it to the lowest empty cell.
    fallen = ((mine | theirs) + numbers(BOTTOM, state.device)[action]) & numbers(WHOLE, state.device)[action]
    mine, moves = mine | fallen, moves + 1
    pairs = mine & torch.bitwise_right_shift(mine, numbers(WAYS, state.device))
    fours = pairs & torch.bitwise_right_shift(pairs, numbers(WAYS_TWICE, state.device))
    drawn = moves == ROWS * COLUMNS
    return torch.stack((1 - turn, result(turn, (fours != 0).any(0), drawn), moves, theirs, mine))


def mask(state: Tensor) -> Tensor:
    """[B, 7]: the columns with room."""
    return ((unpack(state[MINE] | state[THEIRS], TOPS) == 0) & ~over(state)).T


def observe(state: Tensor) -> Tensor:
    """[B, 2, 6, 7]: own discs and the other's, the top row first."""
    return planes(state[MINE : THEIRS + 1], CELLS, ROWS)


def restore(obs: Tensor) -> Tensor:
    return state_of(obs, CELLS)


def cells(state: Tensor) -> Tensor:
    """[B, 6, 7]: 0, 1 for the first player, 2 for the second."""
    return by_player(observe(state), state[TURN])


def render(state: np.ndarray) -> np.ndarray:
    return draw_discs(cells(torch.from_numpy(state).unsqueeze(1))[0].tolist())


def point(x: float, y: float) -> int | None:
    """The column at a place in the picture."""
    cell = pointed(ROWS, COLUMNS, x, y)
    return None if cell is None else cell % COLUMNS


def make() -> Game:
    board = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    straight, mirrored = tuple(range(COLUMNS)), tuple(reversed(range(COLUMNS)))
    return Game(
        id="AgentGym/ConnectFour-v0",
        board=(ROWS, COLUMNS),
        num_planes=2,
        num_actions=COLUMNS,
        max_moves=ROWS * COLUMNS,
        initial=empty_board,
        play=play,
        mask=mask,
        observe=observe,
        restore=restore,
        cells=cells,
        symmetries=(
            (tuple(board.ravel().tolist()), straight),
            (tuple(board[:, ::-1].ravel().tolist()), mirrored),
        ),
        name_action=lambda action: f"column {action + 1}",
        point=point,
        render=render,
    )
