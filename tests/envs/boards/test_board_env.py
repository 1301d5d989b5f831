"""Boards as environments of one agent, and their opponents."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from positions import CPU, follow, walk

from agent_gym.envs.games.game import FIRST_WON, RESULT, SECOND_WON, over
from agent_gym.envs.games.players import draw_legal, make_player
from agent_gym.envs.make import make_env
from agent_gym.envs.native.boards import connect_four, othello, tictactoe
from agent_gym.ground.errors import UserError

IDS = {"TicTacToe": {}, "ConnectFour": {}, "Othello": {"size": 6}, "Go": {"size": 5, "komi": 0.5}, "Hex": {"size": 4}}


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_checker_passes_and_a_picture_is_drawn(name):
    env = gymnasium.make(f"AgentGym/{name}-v0", render_mode="rgb_array", **IDS[name])
    check_env(env.unwrapped)
    env.reset(seed=0)
    before = env.render()
    env.step(int(np.flatnonzero(env.unwrapped.action_masks())[0]))
    assert before.dtype == np.uint8 and before.shape[2] == 3 and (env.render() != before).any()


@pytest.mark.parametrize("name", IDS)
def test_games_end_with_a_result_and_begin_again(name):
    env = make_env(f"AgentGym/{name}-v0", 32, env_kwargs=IDS[name], seed=3)
    assert env.backend == "native"
    generator, ended = torch.Generator().manual_seed(0), 0
    for _ in range(60):
        step = env.step(draw_legal(env.mask, generator))
        assert not step.truncated.any() and set(step.reward.tolist()) <= {-1.0, 0.0, 1.0}
        assert not step.reward[~step.terminated].any()
        assert env.mask.any(1).all()
        ended += int(step.terminated.sum())
    assert ended > 32


@pytest.mark.parametrize(("side", "stones"), [("first", 0), ("second", 1)])
def test_the_agent_may_choose_its_side(side, stones):
    env = make_env("AgentGym/ConnectFour-v0", 8, env_kwargs={"side": side})
    assert (env.reset(0).sum((1, 2, 3)) == stones).all()


def test_sides_are_drawn_otherwise():
    stones = make_env("AgentGym/ConnectFour-v0", 64).reset(0).sum((1, 2, 3))
    assert set(stones.tolist()) == {0, 1}


def test_an_illegal_move_loses():
    env = make_env("AgentGym/TicTacToe-v0", 4, env_kwargs={"side": "first"})
    env.reset(0)
    env.step(torch.zeros(4, dtype=torch.int64))
    step = env.step(torch.zeros(4, dtype=torch.int64))
    assert (step.reward == -1).all() and step.terminated.all()


def test_a_saved_board_goes_on_as_it_would_have():
    env, other = (make_env("AgentGym/Go-v0", 6, env_kwargs={"size": 5}, seed=seed) for seed in (1, 2))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        env.step(draw_legal(env.mask, generator))
    other.load_state_dict(env.state_dict())
    for _ in range(20):
        action = draw_legal(env.mask, generator)
        ours, theirs = env.step(action), other.step(action)
        assert torch.equal(ours.obs, theirs.obs) and torch.equal(ours.reward, theirs.reward)


def test_greedy_wins_at_once_where_it_can():
    game, generator = connect_four.make(), torch.Generator().manual_seed(0)
    state = follow(game, [0, 6, 0, 6, 0, 5])  # three of the first player's stand in column 1
    state = state.expand(-1, 20)
    assert (make_player(game, "greedy")(state, generator) == 0).all()


def test_greedy_takes_the_most_discs_in_othello():
    game, generator = othello.make(6), torch.Generator().manual_seed(0)
    state = walk(game, 50, 9)
    chosen = make_player(game, "greedy")(state, generator)
    side = 1.0 - 2.0 * state[0].float()
    best = torch.full((state.shape[1],), -100.0)
    for action in range(game.num_actions):  # one action after the other
        legal = game.mask(state)[:, action]
        after = game.play(state, torch.full((state.shape[1],), action))
        best = torch.where(legal, torch.maximum(best, game.score(after) * side), best)
    reached = game.play(state, chosen)
    ended = over(reached)
    assert torch.equal((game.score(reached) * side)[~ended], best[~ended])


@pytest.mark.parametrize(("moves", "result"), [([0, 3, 1, 4], FIRST_WON), ([0, 3, 8, 4, 7], SECOND_WON)])
def test_tree_search_finds_the_winning_move(moves, result):
    game = tictactoe.make()
    state = follow(game, moves).expand(-1, 10)
    action = make_player(game, "mcts-60")(state, torch.Generator().manual_seed(1))
    assert (game.play(state, action)[RESULT] == result).all()


def test_more_simulations_play_better_than_random():
    game, generator = connect_four.make(), torch.Generator().manual_seed(0)
    players = make_player(game, "mcts-25"), make_player(game, "random")
    state, turn = game.initial(20, CPU), 0
    while not over(state).all():
        after = game.play(state, players[turn](state, generator))
        state, turn = torch.where(over(state), state, after), 1 - turn
    assert (state[RESULT] == FIRST_WON).sum() >= 17


@pytest.mark.parametrize(
    ("env_kwargs", "line"),
    [
        ({"opponent": "genius"}, "unknown opponent 'genius': expected random, greedy, mcts-N"),
        ({"opponent": "mcts-0"}, "unknown opponent 'mcts-0'"),
        ({"side": "left"}, "side 'left': --env-kwargs takes \"side\" random, first, second"),
        ({"size": 20}, "Go of size 20"),
        ({"komi": 1000}, "Go with komi 1000"),
        ({"rules": "japanese"}, "takes no argument 'rules'"),
    ],
)
def test_bad_arguments_are_named_in_one_line(env_kwargs, line):
    with pytest.raises(UserError) as caught:
        make_env("AgentGym/Go-v0", 2, env_kwargs=env_kwargs)
    assert line in str(caught.value) and "\n" not in str(caught.value)
