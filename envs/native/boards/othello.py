"""Othello (Reversi): discs between the new one and another of one's own are turned over. 8 by 8 or smaller."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.games.game import RESULT, TURN, Game, name_cell, numbers, result, square_symmetries
from agent_gym.envs.native.boards.bits import bit, by_player, pack, planes, signed, unpack
from agent_gym.envs.native.boards.pictures import draw_stones, pointed
from agent_gym.ground.errors import UserError

MINE, THEIRS, LEGAL = 3, 4, 5  # rows: discs of who is to move, of the other, and where the first may play
SIDE = 8  # bits of a row, whatever the size
SIZES = (4, 6, 8)
_ALL, _LEFT, _RIGHT = (1 << 64) - 1, 0x0101010101010101, 0x8080808080808080
UP = ((1, _ALL & ~_LEFT), (7, _ALL & ~_RIGHT), (8, _ALL), (9, _ALL & ~_LEFT))  # steps to higher bits, where they land
DOWN = ((1, _ALL & ~_RIGHT), (7, _ALL & ~_LEFT), (8, _ALL), (9, _ALL & ~_RIGHT))
STEPS = tuple((step,) for step, _ in UP)


def positions(size: int) -> tuple[int, ...]:
    return tuple(SIDE * row + column for row in range(size) for column in range(size))


def landing(size: int) -> tuple:
    """The cells that a step up and one down can land on, [2, 4, 1]: on the board, and with no bits shifted in."""
    board = sum(1 << position for position in positions(size))
    up = tuple((signed(board & cells),) for _, cells in UP)
    down = tuple((signed(board & cells & (_ALL >> step)),) for step, cells in DOWN)
    return up, down


def shift(discs: Tensor, size: int) -> Tensor:
    """Discs [2, 4, B], one step further up and down: right, two diagonals and a row on, and the opposite ways."""
    steps, cells = numbers(STEPS, discs.device), numbers(landing(size), discs.device)
    up, down = torch.bitwise_left_shift(discs[0], steps), torch.bitwise_right_shift(discs[1], steps)
    return torch.stack((up, down)) & cells


def rays(discs: Tensor, through: Tensor, size: int) -> Tensor:
    """Unbroken rows of `through` [B] that start beside `discs` [B], in each direction, [2, 4, B]."""
    found = shift(discs.expand(2, 4, -1), size) & through
    for _ in range(size - 3):
        found = found | (shift(found, size) & through)
    return found


def union(words: Tensor) -> Tensor:
    """The union of words [2, 4, B] over the directions, [B]."""
    words = words[0] | words[1]
    words = words[:2] | words[2:]
    return words[0] | words[1]


def moves_of(mine: Tensor, theirs: Tensor, size: int) -> Tensor:
    """Where the player of `mine` may play, [B]."""
    return union(shift(rays(mine, theirs, size), size)) & ~(mine | theirs)


def initial(size: int, num_games: int, device: torch.device) -> Tensor:
    """State [6, B]: four discs in the middle; the first player's lie up and to the right."""
    middle = (size // 2 - 1) * (SIDE + 1)
    mine = signed((1 << middle + 1) | (1 << middle + SIDE))
    theirs = signed((1 << middle) | (1 << middle + SIDE + 1))
    state = torch.zeros(6, num_games, dtype=torch.int64, device=device)
    state[MINE], state[THEIRS] = mine, theirs
    state[LEGAL] = moves_of(state[MINE], state[THEIRS], size)
    return state


def play(size: int, state: Tensor, action: Tensor) -> Tensor:
    turn, _, moves, mine, theirs, _ = state
    passes = action == size * size
    cells = numbers((*positions(size), 0), state.device)[action]
    disc = torch.where(passes, 0, bit(cells))
    # A ray of the other's discs is turned over if one more step lands on an own disc.
    found = rays(disc, theirs, size)
    held = (shift(found, size) & mine) != 0
    turned = union(torch.where(held, found, 0))
    mine, theirs = mine | disc | turned, theirs & ~turned
    legal, again = moves_of(theirs, mine, size), moves_of(mine, theirs, size)
    lead = count(mine, size) - count(theirs, size)
    ended = (legal == 0) & (again == 0)
    standing = torch.where(lead < 0, 1 - turn, turn)
    state = (1 - turn, result(standing, ended & (lead != 0), ended), moves + 1, theirs, mine, legal)
    return torch.stack(state)


def count(word: Tensor, size: int) -> Tensor:
    """The number of discs, [B]."""
    return unpack(word, positions(size)).sum(-2)


def mask(size: int, state: Tensor) -> Tensor:
    """[B, cells + 1]: where discs would be turned over; to pass, the last action, only where there is no such cell."""
    playing = state[RESULT] == 0
    legal = unpack(state[LEGAL], positions(size)) * playing
    return torch.cat((legal, ((state[LEGAL] == 0) & playing).unsqueeze(0))).T.bool()


def observe(size: int, state: Tensor) -> Tensor:
    """[B, 2, size, size]: own discs and the other's."""
    return planes(state[MINE : THEIRS + 1], positions(size), size)


def restore(size: int, obs: Tensor) -> Tensor:
    """The player to move counts as the first: who moved first cannot be seen, and does not matter."""
    mine, theirs = pack(obs.flatten(2), positions(size)).T
    moves = obs.long().sum((1, 2, 3)) - 4
    zero = torch.zeros_like(moves)
    return torch.stack((zero, zero, moves, mine, theirs, moves_of(mine, theirs, size)))


def score(size: int, state: Tensor) -> Tensor:
    """Discs of the first player minus those of the second."""
    lead = count(state[MINE], size) - count(state[THEIRS], size)
    return (lead * (1 - 2 * state[TURN])).float()


def cells(size: int, state: Tensor) -> Tensor:
    """[B, size, size]: 0, 1 for the first player, 2 for the second."""
    return by_player(observe(size, state), state[TURN])


def render(size: int, state: np.ndarray) -> np.ndarray:
    return draw_stones(cells(size, torch.from_numpy(state).unsqueeze(1))[0].tolist(), between_lines=True)


def make(size: int = 8) -> Game:
    """Raises UserError for a size that is none."""
    if size not in SIZES:
        raise UserError(f'Othello of size {size!r}: --env-kwargs takes "size" {", ".join(map(str, SIZES))}')
    return Game(
        id="AgentGym/Othello-v0",
        board=(size, size),
        num_planes=2,
        num_actions=size * size + 1,
        max_moves=2 * size * size,
        initial=partial(initial, size),
        play=partial(play, size),
        mask=partial(mask, size),
        observe=partial(observe, size),
        restore=partial(restore, size),
        score=partial(score, size),
        cells=partial(cells, size),
        symmetries=square_symmetries(size, extra=(size * size,)),
        name_action=lambda action: "pass" if action == size * size else name_cell(size, action),
        point=partial(pointed, size, size),
        render=partial(render, size),
        variant=f"{size} by {size}",
    )
