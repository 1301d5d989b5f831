"""Matches between two players of a game, and what their results say about strength."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from agent_gym.envs.games.game import TURN, Game, outcome, over
from agent_gym.envs.games.players import Player, draw_legal

BASE = 400.0  # points of Elo for odds of ten to one


class Match(NamedTuple):
    """What the first of two players got."""

    wins: int
    draws: int
    losses: int
    as_first: float
    """Its score in the games that it began, 0 to 1; NaN where it began none."""
    as_second: float

    @property
    def games(self) -> int:
        return self.wins + self.draws + self.losses

    @property
    def score(self) -> float:
        """Wins and half of the draws, over the games."""
        return (self.wins + self.draws / 2) / self.games

    def interval(self) -> tuple[float, float]:
        """95 % interval of the score: Wilson's, with the draws' smaller variance left out of account."""
        n, z = self.games, 1.96
        centre = (self.score + z * z / (2 * n)) / (1 + z * z / n)
        spread = z / (1 + z * z / n) * math.sqrt(self.score * (1 - self.score) / n + z * z / (4 * n * n))
        return max(centre - spread, 0.0), min(centre + spread, 1.0)


@torch.no_grad()
def play_match(
    game: Game,
    player: Player,
    other: Player,
    num_games: int,
    generator: torch.Generator,
    *,
    device: torch.device | str = "cpu",
    opening: int = 0,
) -> Match:
    """`num_games` games, all at once; `player` begins half of them, one more if they are odd.

    Each `opening` of so many random moves is played twice with the sides changed, so that players who always play
    alike do not play one game again and again.
    """
    half = (num_games + 1) // 2
    state = game.initial(half, torch.device(device))
    for _ in range(opening):
        after = game.play(state, draw_legal(game.mask(state), generator))
        state = torch.where(over(after), state, after)  # an opening that ends the game is left out
    begins = (torch.arange(num_games, device=state.device) < half).long()
    state = torch.cat((state, state[:, : num_games - half]), 1)
    mine = torch.where(begins == 1, state[TURN], 1 - state[TURN])
    while True:
        running = ~over(state)
        if not running.any():
            break
        for moves, who in ((player, state[TURN] == mine), (other, state[TURN] != mine)):
            index = (who & running).nonzero().squeeze(1)
            if len(index):
                here = state[:, index]
                state = state.index_copy(1, index, game.play(here, moves(here, generator)))
    first, second = outcome(state)
    result = torch.where(mine == 0, first, second)
    scores = (result + 1.0) / 2.0
    mean = [scores[begins == value].mean().item() if (begins == value).any() else math.nan for value in (1, 0)]
    return Match(int((result > 0).sum()), int((result == 0).sum()), int((result < 0).sum()), *mean)


def elo_difference(score: float) -> float:
    """Points of Elo that a score of 0 to 1 stands for; infinite at its ends."""
    if not 0.0 < score < 1.0:
        return math.inf if score >= 1.0 else -math.inf
    return BASE * math.log10(score / (1.0 - score))


def rate(matches: list[tuple[float, float, int]]) -> float:
    """The most likely Elo of a player with these matches: (Elo of the opponent, score from 0 to 1, games) each.

    A draw with each opponent is added, so that a player who wins all has a rating too.
    """
    low, high = -10_000.0, 10_000.0
    while high - low > 0.01:
        middle = (low + high) / 2.0
        surplus = 0.0
        for elo, score, games in matches:
            expected = 1.0 / (1.0 + 10.0 ** ((elo - middle) / BASE))
            surplus += score * games + 0.5 - expected * (games + 1)
        low, high = (middle, high) if surplus > 0.0 else (low, middle)
    return (low + high) / 2.0
