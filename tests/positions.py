"""Positions to test with."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.games.game import Game, over
from agent_gym.envs.games.players import draw_legal

CPU = torch.device("cpu")


def walk(game: Game, num_games: int, moves: int, seed: int = 0) -> Tensor:
    """Positions [S, B] after random moves; games that end earlier are left out."""
    generator = torch.Generator().manual_seed(seed)
    state = game.initial(num_games, CPU)
    for _ in range(moves):
        state = game.play(state, draw_legal(game.mask(state), generator))
        state = state[:, ~over(state)]
    return state


def follow(game: Game, actions: list[int]) -> Tensor:
    """The position [S, 1] after these moves, each of them legal."""
    state = game.initial(1, CPU)
    for action in actions:
        assert game.mask(state)[0, action], game.name_action(action)
        state = game.play(state, torch.tensor([action]))
    return state
