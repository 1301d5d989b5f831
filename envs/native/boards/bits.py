"""Boards of at most 64 cells as the bits of one int64 each."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.games.game import numbers


def signed(word: int) -> int:
    """64 bits as the int64 that holds them."""
    return word - (1 << 64) if word >= 1 << 63 else word


def bit(position: Tensor) -> Tensor:
    """One bit at each position, [B]."""
    return torch.bitwise_left_shift(torch.ones_like(position), position)


def unpack(word: Tensor, positions: tuple[int, ...]) -> Tensor:
    """The bits of words [..., B] at `positions`, as 0 and 1 in [..., len(positions), B]."""
    shifts = numbers(positions, word.device).unsqueeze(-1)
    return torch.bitwise_right_shift(word.unsqueeze(-2), shifts) & 1


def pack(cells: Tensor, positions: tuple[int, ...]) -> Tensor:
    """The words [...] whose bits at `positions` are cells [..., len(positions)]."""
    words = numbers(tuple(signed(1 << position) for position in positions), cells.device)
    return (cells.long() * words).sum(-1)


def planes(words: Tensor, positions: tuple[int, ...], rows: int) -> Tensor:
    """Words [C, B] as planes [B, C, rows, columns] uint8, cell by cell in the order of `positions`."""
    bits = unpack(words, positions).to(torch.uint8)
    return bits.permute(2, 0, 1).reshape(words.shape[1], words.shape[0], rows, -1)


def by_player(planes: Tensor, turn: Tensor) -> Tensor:
    """Planes [B, 2, rows, columns] of who is to move and of the other as 1 for the first player, 2 for the second."""
    mine, theirs = planes.long().unbind(1)
    turn = turn.view(-1, 1, 1)
    return mine * (1 + turn) + theirs * (2 - turn)


def empty_board(num_games: int, device: torch.device) -> Tensor:
    """State [5, B] before the first move: turn, result, moves, and the stones of both."""
    return torch.zeros(5, num_games, dtype=torch.int64, device=device)


def state_of(obs: Tensor, positions: tuple[int, ...]) -> Tensor:
    """State [5, B] of a game without passes or captures from its planes: each move left one stone."""
    mine, theirs = pack(obs.flatten(2), positions).T
    moves = obs.long().sum((1, 2, 3))
    return torch.stack((moves % 2, torch.zeros_like(moves), moves, mine, theirs))
