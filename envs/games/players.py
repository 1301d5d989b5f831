"""Players of any game: random, greedy, and tree search with random games from the leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from agent_gym.envs.games.game import TURN, Game, outcome, over
from agent_gym.envs.games.search import SearchConfig, search, uct
from agent_gym.ground.errors import UserError

Player = Callable[[Tensor, torch.Generator], Tensor]
"""(state [S, B], generator) -> a legal action [B] for each game; any number where a game is over."""

OPPONENTS = "random, greedy, mcts-N with N simulations a move"
MOST_SIMULATIONS = 1_000_000
WIN = 1e6


def draw_legal(legal: Tensor, generator: torch.Generator) -> Tensor:
    """One of the legal actions [B, n], each as likely as any other, [B]."""
    noise = torch.rand(legal.shape, generator=generator, device=legal.device)
    return (noise + legal).argmax(1)


def random_player(game: Game) -> Player:
    """Any legal action."""
    return lambda state, generator: draw_legal(game.mask(state), generator)


def greedy_player(game: Game) -> Player:
    """A move that wins at once; else the one after which its score is highest; among equals a random one."""

    def play(state: Tensor, generator: torch.Generator) -> Tensor:
        legal, count = game.mask(state), game.num_actions
        action = torch.arange(count, device=state.device).repeat_interleave(state.shape[1])
        after = game.play(state.repeat(1, count), action)
        sign = 1.0 - 2.0 * state[TURN].float()
        gain = (game.score(after) + WIN * outcome(after)[0]).view(count, -1) * sign
        gain = torch.where(legal, gain.T, -2.0 * WIN)
        return draw_legal(legal & (gain >= gain.amax(1, keepdim=True)), generator)

    return play


def rollout(game: Game, state: Tensor, generator: torch.Generator) -> Tensor:
    """The result [B] of playing on at random, for the player to move in `state`."""
    mover = state[TURN]
    final = torch.zeros(state.shape[1], device=state.device)
    index = torch.arange(state.shape[1], device=state.device)
    while len(index):
        state = game.play(state, draw_legal(game.mask(state), generator))
        ended = over(state)
        if ended.any():
            first, second = outcome(state[:, ended])
            done = index[ended]
            final[done] = torch.where(mover[done] == 0, first, second)
            state, index = state[:, ~ended], index[~ended]
    return final


def mcts_player(game: Game, simulations: int) -> Player:
    """UCT with one random game from each leaf."""
    config = SearchConfig(simulations=simulations, rule=uct)

    def play(state: Tensor, generator: torch.Generator) -> Tensor:
        def evaluate(leaves: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
            tie = torch.rand(legal.shape, generator=generator, device=legal.device)
            return tie, rollout(game, leaves, generator)

        return search(game, state, evaluate, config, generator).best

    return play


RUN_PLAYERS: list[Callable[[Game, str], Player]] = []
"""Who opens run directories, which this room cannot: agent_gym.composing.sources puts a function here."""


def is_named(name: str) -> bool:
    """Whether `name` stands for a player without a file."""
    return name in ("random", "greedy") or re.fullmatch(r"mcts-\d+", name) is not None


def make_player(game: Game, name: str) -> Player:
    """The player that `name` stands for. Raises UserError."""
    if name == "random":
        return random_player(game)
    if name == "greedy":
        return greedy_player(game)
    simulations = re.fullmatch(r"mcts-([1-9]\d*)", name)
    if simulations and int(simulations[1]) <= MOST_SIMULATIONS:
        return mcts_player(game, int(simulations[1]))
    if RUN_PLAYERS and isinstance(name, str) and Path(name).is_dir():
        return RUN_PLAYERS[0](game, name)
    raise UserError(
        f"unknown opponent {name!r}: expected {OPPONENTS} (at most {MOST_SIMULATIONS:,}), or the directory of a run"
    )
