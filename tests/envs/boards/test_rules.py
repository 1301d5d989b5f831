"""Boards beside open_spiel, published counts and games, and themselves seen from other sides."""

import pytest
import torch
from positions import CPU, follow, walk

from agent_gym.envs.games.game import DRAWN, FIRST_WON, RESULT, SECOND_WON, outcome, over
from agent_gym.envs.native.boards import connect_four, go, hex, othello, tictactoe
from benchmarks.learning.board_rules import PAIRS, compare

GAMES = {
    "tictactoe": tictactoe.make(),
    "connect_four": connect_four.make(),
    "othello-6": othello.make(6),
    "othello-8": othello.make(8),
    "go-5": go.make(5),
    "go-7": go.make(7, komi=0),
    "hex-4": hex.make(4),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_legal_moves_ends_and_results_are_open_spiels(pair):
    compare(pair, 12 if pair.startswith("go") else 30, seed=1)


@pytest.mark.parametrize(
    ("make", "counts"),
    [
        # Aart Bik, Perft for Reversi, https://www.aartbik.com/MISC/reversi.html
        (othello.make, [4, 12, 56, 244, 1396, 8200]),
        # John Tromp, https://tromp.github.io/c4/c4.html counts positions; sequences of 4 moves are 7^4, all possible
        (connect_four.make, [7, 49, 343, 2401]),
        # All 255,168 games of tic-tac-toe: 1440 end with the fifth move, 5328 with the sixth (Schaefer 2002)
        (tictactoe.make, [9, 72, 504, 3024, 15120, 54720]),
    ],
    ids=["othello", "connect four", "tictactoe"],
)
def test_the_number_of_games_of_each_length(make, counts):
    game, state = make(), None
    state = game.initial(1, CPU)
    found = []
    for _ in counts:
        parent, action = game.mask(state).nonzero().T
        state = game.play(state[:, parent], action)
        found.append(state.shape[1])
    assert found == counts


def test_perfect_play_of_six_by_six_othello_ends_as_published():
    """J. F. Feinstein 1993, https://www.maths.nottingham.ac.uk/plp/pmzjff/Othello/6x6sol.html: White wins 20 to 16."""
    moves = ["d3", "c5", "d6", "e3", "f5", "f4", "e2", "d2", "c2", "e6"]  # of the 8 by 8 board around it
    game = othello.make(6)
    grid = [  # the number of each move, row 2 to 7, column b to g; 0: the start
        *(28, 9, 8, 7, 31, 32),
        *(22, 14, 1, 4, 17, 16),
        *(27, 13, 0, 0, 6, 15),
        *(19, 2, 0, 0, 5, 12),
        *(24, 23, 3, 10, 26, 29),
        *(21, 18, 20, 11, 25, 30),
    ]
    order = [grid.index(number) for number in range(1, 33)]
    assert [f"{'bcdefg'[cell % 6]}{cell // 6 + 2}" for cell in order[:10]] == moves
    state = game.initial(1, CPU)
    for cell in order:
        if game.mask(state)[0, 36]:  # the printed line leaves passes out
            state = game.play(state, torch.tensor([36]))
        assert game.mask(state)[0, cell]
        state = game.play(state, torch.tensor([cell]))
    assert state[RESULT].item() == SECOND_WON
    assert game.score(state).item() == 16 - 20


@pytest.mark.parametrize("name", GAMES)
def test_symmetric_positions_have_symmetric_moves_and_results(name):
    game = GAMES[name]
    for moves in (2, 5):
        state = walk(game, 40, moves)
        obs, mask = game.observe(state), game.mask(state)
        for cells, actions in game.symmetries:
            turned = obs.flatten(2)[..., list(cells)].view_as(obs)
            there = game.restore(turned)
            assert torch.equal(game.mask(there), mask[:, list(actions)])
            chosen = mask.float().multinomial(1, generator=torch.Generator().manual_seed(2)).squeeze(1)
            place = torch.tensor(actions).argsort()[chosen]
            after, after_there = game.play(state, chosen), game.play(there, place)
            seen = game.observe(after).flatten(2)[..., list(cells)].view_as(obs)
            assert torch.equal(game.observe(after_there), seen)
            assert torch.equal(over(after), over(after_there))


@pytest.mark.parametrize("name", GAMES)
def test_what_is_seen_gives_the_position_back(name):
    game = GAMES[name]
    for moves in (0, 3, 7):
        state = walk(game, 30, moves)
        back = game.restore(game.observe(state))
        assert torch.equal(game.observe(back), game.observe(state))
        if not name.startswith("go"):  # earlier positions are not seen
            assert torch.equal(game.mask(back), game.mask(state))
        action = game.mask(state).int().argmax(1)
        assert torch.equal(game.observe(game.play(back, action)), game.observe(game.play(state, action)))


def test_outcome_is_told_for_both_players():
    game = tictactoe.make()
    won = follow(game, [0, 3, 1, 4, 2])
    lost = follow(game, [0, 3, 1, 4, 8, 5])
    drawn = follow(game, [0, 1, 2, 4, 3, 5, 7, 6, 8])
    assert [s[RESULT].item() for s in (won, lost, drawn)] == [FIRST_WON, SECOND_WON, DRAWN]
    assert [outcome(s)[:, 0].tolist() for s in (won, lost, drawn)] == [[1, -1], [-1, 1], [0, 0]]


def test_a_move_may_not_bring_back_any_position():
    """A ko: Black takes the stone in b2 with c2, and White may not take back at once."""
    game = go.make(4, komi=0)
    state = follow(game, [1, 2, 4, 7, 9, 10, 16, 5, 6])
    assert game.cells(state)[0].tolist() == [[0, 1, 2, 0], [1, 0, 1, 2], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert not game.mask(state)[0, 5]
    for action in (15, 12):  # after another pair of moves it may
        state = game.play(state, torch.tensor([action]))
    assert game.mask(state)[0, 5]


@pytest.mark.parametrize(("komi", "result"), [(2.0, FIRST_WON), (9.0, DRAWN), (9.5, SECOND_WON)])
def test_area_and_komi_decide_go(komi, result):
    game = go.make(3, komi)
    state = follow(game, [4, 9, 9])  # one black stone owns all nine points
    assert state[RESULT].item() == result
