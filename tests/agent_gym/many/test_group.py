"""--seeds: one run a seed in processes of their own, and what they say together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agent_gym.__main__ import main
from agent_gym.diagnosis.curves import read_curves
from agent_gym.ground.errors import UserError
from agent_gym.many import train_group
from agent_gym.many.group import Group
from agent_gym.many.seeds import parse_seeds
from agent_gym.storage.checkpoint import open_checkpoint

ROOT = Path(__file__).parents[3]
FLAGS = ["--num-envs", "4", "--total-steps", "3000", "--eval-every", "1000", "--checkpoint-every", "250"]
FLAGS += ["--eval-episodes", "4", "--device", "cpu", "--num-threads", "1", "--quiet"]


@pytest.mark.parametrize(
    "text, seeds", [("3", (0, 1, 2)), ("2:5", (2, 3, 4)), ("0,5,7", (0, 5, 7)), ("1_0:1_2", (10, 11))]
)
def test_seeds_as_people_write_them(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "0", "-3", "a", "1.5", "5:5", "7:2", "1,,2", "1,1", "1:2:3", "99999999", "3000000000,1"]
)
def test_seeds_that_are_none(text):
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)


def test_seeds_are_shared_out_among_cores_where_one_program_can_train_them():
    assert train_group.shared_out("ppo", (0, 1, 2, 3, 4), 2, "auto") == ((0, 1), (2, 3, 4))
    assert train_group.shared_out("a2c", (0, 1), 2, "auto") == ()  # a process each
    assert train_group.shared_out("dqn", (0, 1, 2, 3), 2, "auto") == ((0, 1), (2, 3))
    assert train_group.shared_out("pqn", (0, 1, 2, 3), 2, "auto") == ()
    assert train_group.shared_out("ppo", (0, 1, 2, 3), 2, "processes") == ()


def weights(run):
    return open_checkpoint(run, "last")["agent"]["model"]


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """One process trains both seeds, whatever this machine's cores."""
    path = tmp_path_factory.mktemp("groups") / "g"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_group, "usable_cores", lambda: 1)
        assert main(["train", "a2c", "--seeds", "0,3", "--run-dir", str(path), *FLAGS]) == 0
    assert Group.open(path).stored.together == ((0, 3),)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of seed 3."""
    path = tmp_path_factory.mktemp("alone") / "a"
    assert main(["train", "a2c", "--seed", "3", "--run-dir", str(path), *FLAGS]) == 0
    return path


def test_a_seed_in_a_process_of_its_own_is_the_run_of_that_seed(alone, tmp_path):
    argv = ["train", "a2c", "--seeds", "3,", "--engine", "processes", "--run-dir", str(tmp_path / "g"), *FLAGS]
    assert main(argv) == 0
    run = tmp_path / "g" / "seed-3"
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(alone).items())
    ours, theirs = (json.loads((path / "config.json").read_text()) for path in (alone, run))
    assert ours | {"run_dir": ""} == theirs | {"run_dir": ""}
    assert Group.open(tmp_path / "g").stored.together == ()


def test_seeds_in_one_process_have_the_runs_of_each_alone(alone, group):
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(group / "seed-3")[name], tensor, rtol=1e-3, atol=1e-4)
    ours, theirs = ({path.name for path in run.rglob("*.*")} for run in (alone, group / "seed-3"))
    assert {name for name in ours if "tfevents" not in name} == {name for name in theirs if "tfevents" not in name}
    curves = [read_curves(run) for run in (alone, group / "seed-3")]
    assert curves[0].keys() == curves[1].keys()
    for tag in ("rollout/episode_return", "eval/episode_return"):
        assert np.array_equal(curves[0][tag].steps, curves[1][tag].steps)
    assert "seeds-0-to-3.txt" in {path.name for path in (group / "logs").iterdir()}


def test_the_seeds_together(group, capsys):
    found = json.loads((group / "result.json").read_text())
    scores = [json.loads((group / f"seed-{seed}" / "result.json").read_text())["return_mean"] for seed in (0, 3)]
    assert found["scores"] == scores and found["seeds"] == [0, 3]
    assert found["iqm"] == pytest.approx(np.mean(scores)) and found["iqm_ci95"] == sorted(scores)
    assert list(group.glob("events.out.tfevents.*")) and (group / "curves.png").exists()
    assert main(["runs", str(group), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["seed"] for row in rows} == {0, 3, "2 seeds"}
    assert next(row for row in rows if "runs" in row)["score"] == found["iqm"]
    assert main(["compare", str(group), str(group), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["probability_of_improvement"] == 0.5
    assert main(["evaluate", str(group), "--episodes", "4", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"] == scores and again["env"] == "CartPole-v1" and again["iqm"] == found["iqm"]


def test_bad_input_is_one_line(group, capsys, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "group.json").write_text('{"kind": "agent"')
    for argv, words in (
        (["train", "a2c", "--seeds", "x", "--run-dir", str(tmp_path / "x")], "--seeds x: expected a count"),
        (["train", "a2c", "--seeds"], "--seeds without a value"),
        (
            ["train", "a2c", "--seeds", "2", "--engine", "threads"],
            "--engine threads: expected one of auto, processes, ray",
        ),
        (["train", "a2c", "--engine", "auto"], "--engine says how many runs are trained"),
        (["train", "a2c", "--seeds", "2", "--seed", "1"], "--seed does not go with --seeds"),
        (["train", "a2c", "--seeds", "2", "--run-dir", str(group)], "is not empty"),
        (["train", "a2c", "--env", "CartPoel-v1", "--seeds", "2"], "CartPole-v1"),
        (["train", "--resume", str(damaged)], "is no group of runs"),
        (["train", "--resume", str(group), "--epochs", "3"], "--epochs does not fit a2c"),
        (["evaluate", str(group), "--video", "x.mp4"], "takes one run"),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1, err
    assert not (tmp_path / "x").exists()


def test_a_seed_that_fails_is_told_with_its_reason(tmp_path, capsys):
    (tmp_path / "broken_world.py").write_text(
        "import gymnasium\n"
        "class World(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (2,))\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return self.observation_space.sample(), {}\n"
        "    def step(self, action):\n"
        "        raise RuntimeError('the world is broken')\n"
        "gymnasium.register('Broken-v0', World, max_episode_steps=20)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    argv = ["-m", "agent_gym", "train", "a2c", "--env", "broken_world:Broken-v0", "--seeds", "1", "--run-dir", "g"]
    done = subprocess.run([sys.executable, *argv, *FLAGS], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "seed 0" in errors[0] and "the world is broken" in errors[0]


DIES = """
import os, signal, sys
from agent_gym.__main__ import main
from agent_gym.many import pool, train_group
train_group.usable_cores = lambda: 1
real = pool.Worker.reports
def reports(self):
    if list(self.parts[0][0].path.glob("seed-*/checkpoints/last.pt")):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self)
pool.Worker.reports = reports
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_group_goes_on_in_the_same_bits(group, tmp_path):
    """kill -9 of the parent in the midst: its workers go with it, and the group ends as one that was never killed."""
    killed = tmp_path / "killed"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", DIES, "train", "a2c", "--seeds", "0,3", "--run-dir", str(killed), *FLAGS]
    assert subprocess.run(argv, cwd=tmp_path, env=env).returncode == -signal.SIGKILL
    assert not (killed / "result.json").exists()
    assert main(["train", "--resume", str(killed), "--quiet"]) == 0
    for seed in Group.open(killed).seeds:
        ours, theirs = (weights(path / f"seed-{seed}") for path in (killed, group))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    scores = [json.loads((path / "result.json").read_text())["scores"] for path in (killed, group)]
    assert scores[0] == scores[1]


def test_a_killed_group_with_replay_buffers_goes_on_in_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(train_group, "usable_cores", lambda: 1)
    flags = ["--env", "Pendulum-v1", "--total-steps", "450", "--learning-starts", "100", "--checkpoint-every", "90"]
    flags += ["--hidden-sizes", "8", "--batch-size", "8", "--eval-every", "never", "--eval-episodes", "1", *FLAGS[10:]]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", DIES, "train", "sac", "--seeds", "0,3", "--run-dir", str(killed), *flags]
    assert subprocess.run(argv, cwd=tmp_path, env=env).returncode == -signal.SIGKILL
    assert not (killed / "result.json").exists()
    assert main(["train", "--resume", str(killed), "--quiet"]) == 0
    assert main(["train", "sac", "--seeds", "0,3", "--run-dir", str(whole), *flags]) == 0
    assert Group.open(whole).stored.together == Group.open(killed).stored.together == ((0, 3),)
    for seed in (0, 3):
        ours, theirs = (weights(path / f"seed-{seed}") for path in (killed, whole))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
