"""Matches between runs, games against a person, and runs as opponents of environments."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from lowest import Lowest
from positions import follow

from agent_gym.commands.playing.against_person import board_text, play_person
from agent_gym.commands.playing.evaluate import main as evaluate
from agent_gym.commands.train import main as train
from agent_gym.composing.saved import open_saved
from agent_gym.composing.seats.duels import against_itself, numbers, text
from agent_gym.composing.seats.sitting import Sitting
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.games.match import Match
from agent_gym.envs.make import make_env
from agent_gym.envs.native.boards import connect_four, tictactoe
from agent_gym.storage.checkpoint import load_checkpoint, save_checkpoint

TINY = ["--num-envs", "16", "--simulations", "8", "--match-games", "4", "--match-selves", "0", "--eval-episodes", "4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "ttt"
    flags = ["--env", "AgentGym/TicTacToe-v0", "--total-steps", "256", "--eval-every", "256", "--quiet"]
    assert train(["alphazero", *flags, *TINY, "--run-dir", str(path)]) == 0
    return path


def test_a_match_is_printed_as_json(run, capsys):
    assert evaluate([str(run), "--against", "random", "--episodes", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["wins"] + result["draws"] + result["losses"] == result["episodes"] == 20
    low, high = result["score_ci95"]
    assert low < result["score"] < high or result["score"] in (0.0, 1.0)
    assert result["against"] == "random" and result["score"] > 0.4


def test_a_run_against_itself_draws_even(run, capsys):
    """Each opening is played from both sides, so equal players have equal scores."""
    assert evaluate([str(run), "--against", str(run), "--episodes", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 0.5


def test_a_run_is_the_opponent_of_an_environment(run):
    env = make_env("AgentGym/TicTacToe-v0", 4, env_kwargs={"opponent": str(run), "side": "first"})
    env.reset(0)
    step = env.step(torch.tensor([4, 4, 4, 4]))
    assert (step.obs[:, 1].sum((1, 2)) == 1).all()  # its answer stands on the board
    assert (step.obs == step.obs[:1]).all()  # and is always the same


def test_spectators_see_it_against_itself(run):
    saved = open_saved(run)
    source = against_itself(NamedSource(saved.config), run)
    assert source.kwargs == {"opponent": str(run)}
    again = NamedSource(replace(saved.config, env_kwargs='{"opponent": "greedy"}'))
    assert against_itself(again, run) is again
    cartpole = NamedSource(replace(saved.config, env="CartPole-v1"))
    assert against_itself(cartpole, run) is cartpole


def test_matches_that_cannot_be_are_refused_in_one_line(run, capsys):
    assert evaluate([str(run), "--against", "nobody"]) == 2
    assert "'nobody' is no player: expected random, greedy, mcts-N" in capsys.readouterr().err
    assert evaluate([str(run), "--play", "--watch", "--web", "8000"]) == 2
    assert "--play is in the terminal, with --watch in a window, with --web PORT" in capsys.readouterr().err
    assert evaluate([str(run), "--against", "random", "--watch"]) == 2
    assert "--against shows no picture" in capsys.readouterr().err
    with pytest.raises(Exception, match="has learned AgentGym/TicTacToe-v0, and this is AgentGym/ConnectFour-v0"):
        make_env("AgentGym/ConnectFour-v0", 1, env_kwargs={"opponent": str(run)})


def test_a_run_that_names_itself_as_its_opponent_is_refused(run, tmp_path, capsys):
    """One without spaces asks its environment for them, and that asks the run for its opponent."""
    ring = [tmp_path / "a", tmp_path / "b"]
    for path, other in zip(ring, reversed(ring), strict=True):
        shutil.copytree(run, path)
        best = path / "checkpoints" / "best.pt"
        state = load_checkpoint(best)
        del state["spaces"]
        state["config"]["env_kwargs"] = json.dumps({"opponent": str(other)})
        save_checkpoint(best, state)
    assert evaluate([str(ring[0]), "--episodes", "2"]) == 2
    error = capsys.readouterr().err
    assert "names itself as the opponent of its own environment" in error and error.count("\n") == 1


def test_a_person_plays_and_wins():
    answers, told = iter(["b2", "z9", "?", "m", "b1", "b3"]), []
    sitting = Sitting(tictactoe.make(), Lowest(torch.tensor([[5.0, 0, 3.0, 0, 0, 0, 0, 0, 0]])), 0)
    ended = play_person(sitting, ask=lambda question: next(answers), tell=told.append)
    assert ended == "won"
    assert any(line.startswith("the agent plays a1; its value +0.25; a1 62 %, c1 38 %") for line in told)
    assert "'z9' is no legal move here" in "\n".join(told)
    assert "a1 5, c1 3" in told  # the visits, on request
    assert "b1, c1, a2, c2, a3, b3, c3" in told


def test_a_person_may_stop_and_names_columns_by_number():
    answers = iter(["4", "q"])
    sitting = Sitting(connect_four.make(), Lowest(), 0)
    assert play_person(sitting, ask=lambda q: next(answers), tell=lambda t: None) == "stopped"


def test_the_board_in_letters():
    state = follow(tictactoe.make(), [4, 0])
    assert board_text(tictactoe.make(), state) == "    a b c\n  1 O . .\n  2 . X .\n  3 . . ."


def test_what_is_infinite_is_no_number():
    result = numbers(Match(4, 0, 0, 1.0, float("nan")))
    assert result["elo_difference"] is None and result["score_as_second"] is None
    json.dumps(result, allow_nan=False)
    line = text({"agent": "a", "against": "b", "env": "c"} | result)
    assert "4 won, 0 drawn, 0 lost of 4" in line and "beyond measure" in line
