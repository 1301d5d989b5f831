"""The commands on runs: healthy, broken, cut, and none."""

from __future__ import annotations

import json
import shutil

import gymnasium
import numpy as np
import pytest

import evaluate
import train
from agent_gym import PPO
from agent_gym.__main__ import main

SMALL = ["--quiet", "--num-threads", "1", "--eval-episodes", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    flags = ["ppo", "--total-steps", "16384", *SMALL]
    assert train.main([*flags, "--run-dir", str(folder / "good")]) == 0
    assert train.main([*flags, "--run-dir", str(folder / "high"), "--learning-rate", "3"]) == 0
    assert train.main(["iris", "--quiet", "--run-dir", str(folder / "iris")]) == 0
    assert train.main(["iris", "--quiet", "--run-dir", str(folder / "slow"), "--learning-rate", "1e-6"]) == 0
    return folder


def diagnosed(capsys, *argv: str) -> dict:
    capsys.readouterr()
    assert main(["diagnose", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name, cause", [("high", "learning_rate_high"), ("slow", "learning_rate_low")])
def test_a_fault_is_named_with_its_flag(runs, capsys, name, cause):
    found = diagnosed(capsys, str(runs / name))
    assert not found["healthy"]
    assert cause in [f["cause"] for f in found["findings"][:2]]
    first = next(f for f in found["findings"] if f["cause"] == cause)
    assert first["flags"].startswith("--learning-rate")


@pytest.mark.parametrize("name", ["good", "iris"])
def test_healthy_runs_say_so(runs, capsys, name):
    assert diagnosed(capsys, str(runs / name))["healthy"]
    assert evaluate.main([str(runs / name), "--diagnose"]) == 0
    assert "no fault found" in capsys.readouterr().out


def test_python_says_the_same(runs, tmp_path):
    agent = PPO("CartPole-v1", seed=0, learning_rate=3.0, quiet=True, eval_episodes=2, num_threads=1)
    agent.learn(8192, run_dir=tmp_path / "x")
    found = agent.diagnose()
    assert "learning_rate_high" in [f.cause for f in found.findings[:2]]
    assert "--learning-rate" in str(found)


def test_diagnosis_changes_nothing_in_the_run(runs, capsys):
    def content():
        return {p: p.read_bytes() for p in sorted((runs / "good").rglob("*")) if p.is_file()}

    before = content()
    diagnosed(capsys, str(runs / "good"))
    assert content() == before


def damaged(runs, tmp_path, how):
    path = tmp_path / "run"
    shutil.copytree(runs / "good", path)
    how(path)
    return path


def cut_events(path):
    file = next(path.glob("events*"))
    file.write_bytes(file.read_bytes()[:-30])


def half_events(path):
    file = next(path.glob("events*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def odd_files(path):
    (path / "result.json").write_text('{"return_mean": "x"}')
    (path / "findings.json").write_text('[{"cause": [1], "step": "x"}, 3]')


def other_env(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"env": "no_such_module:Env-v0"}))


def no_events(path):
    for file in path.glob("events*"):
        file.unlink()


def other_version(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"warp_factor": 9}))


def no_config(path):
    (path / "config.json").write_text("{}")


@pytest.mark.parametrize("how", [cut_events, odd_files])
def test_half_a_record_and_files_of_no_use_are_left_out(runs, tmp_path, capsys, how):
    assert diagnosed(capsys, str(damaged(runs, tmp_path, how)), "--no-play")["healthy"]


def test_an_environment_that_is_gone_is_told_and_the_rest_is_judged(runs, tmp_path, capsys):
    found = diagnosed(capsys, str(damaged(runs, tmp_path, other_env)))
    assert "no_such_module" in found["missing"][0] and found["healthy"]


@pytest.mark.parametrize(
    "how, words",
    [
        (half_events, "end at step"),
        (no_events, "no TensorBoard events"),
        (other_version, "another version"),
        (no_config, "is no run"),
    ],
)
def test_bad_runs_are_one_line(runs, tmp_path, capsys, how, words):
    assert main(["diagnose", str(damaged(runs, tmp_path, how))]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "argv, words",
    [
        (["diagnose", "nowhere"], "no run directory"),
        (["check", "Nowhere-v0"], "unknown environment"),
        (["check", "CartPole-v1", "--episodes", "0"], "--episodes"),
        (["check", "CartPole-v1", "--env-kwargs", "{"], "not JSON"),
        (["check", "CartPole-v1", "--obs-keys", "image"], "--obs-keys"),
        (["check"], "env"),
        (["evaluate", "x", "--diagnose", "--watch"], "--diagnose"),
    ],
)
def test_bad_words_are_one_line(argv, words, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert words in error.lower() or words in error
    assert error.count("\n") == 1


class TwoRewards(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    reward_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.x, {}

    def step(self, action):
        self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.x, np.array([1.0, -1.0 if action else 0.0], np.float32), bool(self.x > 0.8), False, {}


def test_a_vector_of_rewards_is_weighed_as_in_training(monkeypatch, capsys):
    monkeypatch.setitem(gymnasium.registry, "Two-v0", gymnasium.envs.registration.EnvSpec("Two-v0", TwoRewards))
    assert main(["check", "Two-v0", "--episodes", "4"]) == 0
    assert "--reward-weights" in capsys.readouterr().out  # which mend it
    assert main(["check", "Two-v0", "--episodes", "4", "--reward-weights", "1", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "rewards       0.5 to 1" in out and "--reward-weights 1.0 0.5" in out
