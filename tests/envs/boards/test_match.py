"""Matches and Elo."""

import math

import pytest
import torch

from agent_gym.envs.games.game import TURN
from agent_gym.envs.games.match import Match, elo_difference, play_match, rate
from agent_gym.envs.games.players import make_player
from agent_gym.envs.native.boards import connect_four, tictactoe
from benchmarks.learning import never_loses


def test_elo_by_hand():
    assert elo_difference(0.5) == 0.0
    assert elo_difference(10 / 11) == pytest.approx(400.0)
    assert elo_difference(1.0) == math.inf and elo_difference(0.0) == -math.inf


def test_a_rating_expects_the_score_that_it_had():
    """With one opponent and the drawn game that is added: score 15.5 of 21."""
    assert rate([(100.0, 0.75, 20)]) == pytest.approx(100.0 + 400 * math.log10(15.5 / 5.5), abs=0.1)
    assert rate([(0.0, 0.5, 10), (200.0, 0.5, 10)]) == pytest.approx(100.0, abs=0.1)


def test_the_interval_is_wilsons():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662."""
    low, high = Match(81, 0, 182, math.nan, math.nan).interval()
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_both_colours_are_played_and_results_are_the_first_players():
    """Who takes the lowest column stacks four; against the highest the beginner wins."""
    game = connect_four.make()

    def lowest(state, generator):
        return game.mask(state).int().argmax(1)

    def highest(state, generator):
        return 6 - game.mask(state).flip(1).int().argmax(1)

    match = play_match(game, lowest, highest, 10, torch.Generator().manual_seed(0))
    assert match == Match(5, 0, 5, 1.0, 0.0)
    assert match.score == 0.5 and match.games == 10


def test_every_opening_is_played_by_both():
    game, seen = tictactoe.make(), []

    def first_legal(state, generator):
        seen.append(sorted((state[TURN] * 1000 + state[3] * 32 + state[4]).tolist()))
        return game.mask(state).int().argmax(1)

    play_match(game, first_legal, first_legal, 12, torch.Generator().manual_seed(4), opening=2)
    assert len(seen[0]) == 6 and seen[0] == seen[1]


def test_the_better_player_scores_more_with_either_colour():
    game = tictactoe.make()
    match = play_match(
        game, make_player(game, "mcts-40"), make_player(game, "random"), 30, torch.Generator().manual_seed(0)
    )
    assert match.as_first > 0.8 and match.as_second > 0.6


def test_perfect_play_of_tic_tac_toe():
    """4,520 positions that are not over (5,478 in all), a draw from the start; whoever plays well never loses."""
    game = tictactoe.make()
    values = never_loses.solve(game)
    assert len(values) == 4520 and values[tuple(game.initial(1, torch.device("cpu"))[:, 0].tolist())] == 0.0

    def perfect(state, generator):
        return never_loses.moves_values(game, state, values).argmax(1)

    def first(state, generator):
        return game.mask(state).float().argmax(1)

    for side in (0, 1):
        assert never_loses.against_perfect(game, perfect, side) == pytest.approx((0.0, 1.0, 0.0))
        assert never_loses.against_perfect(game, first, side) == pytest.approx((0.0, 0.0, 1.0))
        assert never_loses.exhaust(game, perfect, side)[2] == 0
