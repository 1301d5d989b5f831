"""--pbt: members of one batched program take over weights and settings from each other."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from agent_gym.__main__ import main
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.ground.errors import UserError
from agent_gym.many.search import pbt
from agent_gym.many.search.pbt import changed, drawn, run_pbt, tunable
from agent_gym.many.search.problem import Problem
from agent_gym.many.search.space import Choice, Span
from agent_gym.storage.checkpoint import open_checkpoint

SPACE = {"learning_rate": Span(1e-4, 1e-2, True), "gamma": Choice((0.9, 0.99)), "entropy_coef": Span(1e-4, 0.1, True)}
SMALL = {"num_envs": 4, "num_steps": 16, "num_epochs": 1, "num_minibatches": 1, "hidden_sizes": (8,)}
CONFIG = PPOConfig(**SMALL, total_steps=1280, eval_episodes=1, quiet=True, eval_every="never", checkpoint_every=256)
PROBLEM = Problem("agent", "ppo", replace(CONFIG, num_threads=1, device="cpu"), SPACE, {})


def weights(path, member):
    return open_checkpoint(path / "members" / f"seed-{member}", "last")["agent"]["model"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("pbt") / "p"
    code, found = run_pbt(PROBLEM, 4, path, True)
    assert code == 0
    return path, found


def test_the_worst_go_on_from_the_best(whole):
    path, found = whole
    told = json.loads((path / "pbt.json").read_text())
    assert told["settings"] == found["settings"] and told["score"] == max(
        json.loads((path / "members" / f"seed-{k}" / "result.json").read_text())["return_mean"] for k in range(4)
    )
    steps = [change for history in told["history"] for change in history]
    assert steps and all(change["from"] in range(4) and change["step"] % 64 == 0 for change in steps)
    for settings in told["settings"]:
        assert 1e-4 <= settings["learning_rate"] <= 1e-2 and settings["gamma"] in (0.9, 0.99)
    assert len({settings["learning_rate"] for settings in told["settings"]}) > 1


def test_a_population_that_was_killed_takes_the_same_way(whole, tmp_path, monkeypatch):
    path, calls = tmp_path / "killed", []

    class Killed(pbt.Population):
        def __call__(self, stack):
            super().__call__(stack)
            calls.append(stack.agents[0].steps)
            if calls[-1] == 768:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pbt, "Population", Killed)
        run_pbt(PROBLEM, 4, path, True)
    code, found = run_pbt(PROBLEM, 4, path, True)
    assert code == 0 and found["history"] == whole[1]["history"] and found["settings"] == whole[1]["settings"]
    for member in range(4):
        theirs = weights(whole[0], member)
        assert all(torch.equal(part, theirs[name]) for name, part in weights(path, member).items())


def test_settings_stay_in_their_ranges():
    rng = np.random.default_rng(0)
    for what in SPACE.values():
        value = drawn(what, rng)
        for _ in range(50):
            value = changed(what, value, rng)
            assert value in what.values if isinstance(what, Choice) else what.low <= value <= what.high


def test_what_cannot_change_while_a_network_learns_is_refused(tmp_path, capsys):
    with pytest.raises(UserError, match=r"num_steps in space.yaml cannot change"):
        tunable({"num_steps": Choice((16, 32))}, "space.yaml", True)
    assert tunable(SPACE | {"num_steps": Choice((16, 32))}, "x", False) == SPACE
    for argv, words in (
        (["sweep", "dqn", "--env", "CartPole-v1", "--pbt", "--trials", "2"], "--pbt trains ppo and a2c"),
        (["sweep", "ppo", "--env", "CartPole-v1", "--pbt", "--trials", "1"], "a population of 2 or more"),
        (["sweep", "ppo", "--env", "CartPole-v1", "--pbt", "--time", "3m"], "--time is for searches"),
    ):
        assert main([*argv, "--run-dir", str(tmp_path / "x"), "--quiet"]) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1, err
