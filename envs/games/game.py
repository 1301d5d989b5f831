"""The contract of two-player games of perfect information: pure functions on batches of positions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent_gym.ground.errors import UserError

# The first rows of every state [S, B] int64; a game's own follow.
TURN, RESULT, MOVES = range(3)  # who is to move, 0 or 1; how it stands; moves that were made
PLAYING, FIRST_WON, SECOND_WON, DRAWN = range(4)


@dataclass(frozen=True)
class Game:
    """A zero-sum game of two players as pure functions. The last dimension of a state counts the games.

    A finished game may be played on, so that no caller has to pick out the others: its state then means nothing.
    """

    id: str
    board: tuple[int, int]  # rows, columns
    num_planes: int
    num_actions: int
    max_moves: int  # no game is longer
    initial: Callable[[int, torch.device], Tensor]  # (num_games, device) -> state [S, B]
    play: Callable[[Tensor, Tensor], Tensor]  # (state, legal action [B]) -> state
    mask: Callable[[Tensor], Tensor]  # legal actions [B, num_actions] bool; none once a game is over
    observe: Callable[[Tensor], Tensor]
    # [B, num_planes, rows, columns] uint8 0 or 1, as the player to move sees it: own stones, the other's, what else
    restore: Callable[[Tensor], Tensor]
    # the state behind an observation; what it does not show counts as never seen (Go's earlier positions)
    cells: Callable[[Tensor], Tensor]  # [B, rows, columns]: 0 empty, 1 the first player's, 2 the second's
    symmetries: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    # each as (which cell comes to each cell, which action comes to each action); the identity first
    name_action: Callable[[int], str]
    point: Callable[[float, float], int | None]
    # (share of the width, of the height) of a place in its picture -> the action meant there, legal or not; None: none
    render: Callable[[np.ndarray], np.ndarray]  # state of one game [S] -> image [H, W, 3] uint8
    score: Callable[[Tensor], Tensor] = lambda state: torch.zeros(state.shape[1], device=state.device)
    # [B] float32: how far the first player is ahead, 0 where only winning counts
    variant: str = ""  # what sets it apart from others of its id, in words
    shifted: bool = False  # each row of cells lies half a cell further to the right

    @property
    def rules(self) -> str:
        """Id and variant: the same for games that are the same."""
        return f"{self.id} {self.variant}".strip()


def over(state: Tensor) -> Tensor:
    """Which games are over, [B] bool."""
    return state[RESULT] != PLAYING


def outcome(state: Tensor) -> Tensor:
    """What each player got, [2, B] float32: 1 a win, -1 a loss, 0 a draw or no end yet."""
    first = (state[RESULT] == FIRST_WON).float() - (state[RESULT] == SECOND_WON).float()
    return torch.stack((first, -first))


def result(turn: Tensor, won: Tensor, drawn: Tensor) -> Tensor:
    """The row RESULT after a move of `turn`, which `won` or else `drawn` the game."""
    return torch.where(won, turn + FIRST_WON, torch.where(drawn, DRAWN, PLAYING))


@functools.cache
def numbers(values: tuple, device: torch.device) -> Tensor:
    """Whole numbers, nested or not, as an int64 tensor that is sent to the device once."""
    return torch.tensor(values, dtype=torch.int64, device=device)


def square_symmetries(size: int, extra: tuple[int, ...] = ()) -> tuple:
    """The eight turns and reflections of a square board whose actions are its cells; `extra` actions stay."""
    grid = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(side, quarter) for side in (grid, grid.T) for quarter in range(4)]
    return tuple((tuple(cells.ravel().tolist()), (*cells.ravel().tolist(), *extra)) for cells in turned)


def name_cell(columns: int, action: int) -> str:
    """Letter and number of a cell: a1 in the upper left corner."""
    return f"{chr(ord('a') + action % columns)}{action // columns + 1}"


GAMES: dict[str, Callable[..., Game]] = {}  # by the id of the environment: the rules for its arguments


def find_game(env_id: str, env_kwargs: dict, asked_by: str) -> Game:
    """The rules behind an environment, with those of its arguments that concern them. Raises UserError."""
    name = env_id.rpartition(":")[2]
    if name not in GAMES:
        raise UserError(
            f"{asked_by} plays two-player games of perfect information whose rules are known, and {env_id} is none: "
            f"--env takes {', '.join(GAMES)}"
        )
    rules = inspect.signature(GAMES[name]).parameters
    return GAMES[name](**{key: value for key, value in env_kwargs.items() if key in rules})
