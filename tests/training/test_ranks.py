"""One run on several ranks, over gloo on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.nets.ranks import Ranks, launched
from agent_gym.storage.checkpoint import open_checkpoint

ROOT = Path(__file__).parents[2]

UPDATES = """
import sys
from dataclasses import replace
import torch
from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
import agent_gym.envs
from agent_gym.ground.tree import tree_map
from agent_gym.nets.ranks import RANKS
from agent_gym.tasks import config_class, task_class
from agent_gym.training.distributed import spread

CONFIG = PPOConfig(num_envs=16, num_steps=8, num_epochs=3, num_minibatches=1, hidden_sizes=(16,), total_steps=10_000,
                   normalize_obs=True, normalize_returns=True, max_grad_norm=0.1, target_kl=0.5)


def made(count):
    torch.manual_seed(0)
    agent = PPO(CONFIG, NativeVectorEnv(NATIVE["CartPole-v1"], count))
    agent.begin()
    return agent


def rollouts(whole, rounds):
    for _ in range(rounds):
        whole.collect()
        fields = tree_map(torch.clone, dict(whole.rollout.fields))
        yield fields, whole.obs.clone(), whole.reset.clone(), whole.steps
        whole.update()


def trained():
    torch.manual_seed(0)
    task = task_class("iris")(config_class("iris")(epochs=2, batch_size=10))
    task.begin()
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task.learner.parameters


alone = trained()  # its last minibatch is of other rows on each rank
whole, stored = made(16), []
stored = list(rollouts(whole, 4))
RANKS.join()
agent, rows = made(8), slice(8 * RANKS.rank, 8 * RANKS.rank + 8)
agent.learners = {"policy": agent.learner}
spread(agent)
for fields, obs, reset, steps in stored:
    agent.collect()
    for name, part in fields.items():
        agent.rollout.fields[name].copy_(part[:, rows])
    agent.obs, agent.reset = obs[rows], reset[rows]
    assert agent.steps == steps, (agent.steps, steps)
    agent.update()
difference = (agent.learner.parameters - whole.learner.parameters).abs().max().item()
norms = [(a.double() - b.double()).abs().max().item() for a, b in zip(agent.policy.buffers(), whole.policy.buffers())]
moved = (whole.learner.parameters - made(16).learner.parameters).abs().max().item()
learned = (trained() - alone).abs().max().item()
print("DIFFERENCE", difference, max(norms), moved, learned, flush=True)
RANKS.leave()
"""


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def started(argv, ranks, **options):
    """The processes that torchrun would start, without torchrun itself, which takes seconds."""
    common = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(ranks)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
    return [subprocess.Popen([sys.executable, *argv], env=common | each, **pipes | options) for each in own]


def ended(processes):
    found = [process.communicate(timeout=300) for process in processes]
    return [process.returncode for process in processes], [out for out, _ in found], [err for _, err in found]


def test_two_ranks_of_eight_environments_learn_what_one_learns_from_the_same_sixteen():
    codes, outs, errs = ended(started(["-c", UPDATES], 2))
    assert codes == [0, 0], errs
    for out in outs:
        parameters, statistics, moved, of_task = map(float, out.split("DIFFERENCE")[1].split())
        assert parameters < 1e-6 and statistics < 1e-6 and moved > 1e-3 and of_task < 1e-6


DIES = """
import os, sys
from agent_gym.__main__ import main
from benchmarks.killing import Spot
if os.environ["RANK"] == "1":
    Spot("agent_gym.agents.on_policy:gae", 12, 3).lay()  # in the 12th of 20 updates, two after a checkpoint
sys.exit(main(sys.argv[1:]))
"""
FLAGS = ["--num-envs", "4", "--eval-episodes", "2", "--checkpoint-every", "400", "--eval-every", "800", "--quiet"]
PPO = ["-m", "agent_gym", "train", "ppo", "--num-steps", "20", "--num-threads", "1", *FLAGS]


def weights(run):
    return open_checkpoint(run, "last")["agent"]["model"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "whole"
    codes, _, errs = ended(started([*PPO, "--total-steps", "1600", "--run-dir", str(path)], 2))
    assert codes == [0, 0], errs
    return path


def test_the_first_rank_writes_a_run_like_any_other(whole):
    result = json.loads((whole / "result.json").read_text())
    assert result["total_steps"] == 1600 and result["return_mean"] > 0
    state = open_checkpoint(whole, "last")["agent"]
    assert len(state["ranks"]) == 1 and state["reset"].shape == (2,)
    assert not torch.equal(state["generator"], state["ranks"][0]["generator"])
    assert not torch.equal(state["obs"], state["ranks"][0]["obs"])
    assert all(
        torch.equal(a, b) for a, b in zip(state["model"].values(), state["ranks"][0]["model"].values(), strict=True)
    )
    assert len(list(whole.glob("events.out.tfevents.*"))) == 1


def test_a_killed_rank_stops_the_other_and_the_run_goes_on_in_the_same_bits(whole, tmp_path):
    path = tmp_path / "killed"
    codes, _, errs = ended(started(["-c", DIES, *PPO[2:], "--total-steps", "1600", "--run-dir", str(path)], 2))
    assert codes == [2, -signal.SIGKILL] and not (path / "result.json").exists()
    lines = [line for line in errs[0].splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "another rank of this run has ended" in lines[0]
    codes, _, errs = ended(started(["-m", "agent_gym", "train", "--resume", str(path), "--quiet"], 2))
    assert codes == [0, 0], errs
    ours, theirs = weights(path), weights(whole)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_another_number_of_ranks_goes_on_with_a_warning(whole, tmp_path):
    import shutil

    from agent_gym.__main__ import main

    path = tmp_path / "copy"
    shutil.copytree(whole, path)
    with captured_stderr() as err:
        assert main(["train", "--resume", str(path), "--total-steps", "1700", "--quiet"]) == 0
    assert "was on 2 ranks and goes on with 1" in err.getvalue()
    assert open_checkpoint(path, "last")["agent"]["steps"] >= 1700


@contextmanager
def captured_stderr():
    import io
    from contextlib import redirect_stderr

    with redirect_stderr(io.StringIO()) as err:
        yield err


@pytest.mark.parametrize(
    "flags, words",
    [
        (["ppo", "--num-envs", "1"], "--num-envs 1 on 2 ranks: expected at least one for each"),
        (["ppo", "--num-envs", "3"], "--num-envs 3 on 2 ranks: expected a multiple of 2"),
        (["dqn"], "dqn trains on one rank"),
    ],
)
def test_what_ranks_cannot_share_is_refused_in_one_line(monkeypatch, tmp_path, flags, words):
    from agent_gym.commands import train
    from agent_gym.nets.ranks import RANKS

    monkeypatch.setattr(RANKS, "size", 2)
    monkeypatch.setattr(RANKS, "total", lambda number: number)
    with pytest.raises(UserError, match=words):
        train.run([*flags, "--run-dir", str(tmp_path / "x"), "--quiet"])
    assert not (tmp_path / "x").exists()


def test_a_refusal_by_all_ranks_is_printed_once(tmp_path):
    argv = ["-m", "agent_gym", "train", "ppo", "--num-envs", "3", "--run-dir", str(tmp_path / "x")]
    codes, _, errs = ended(started(argv, 2))
    assert codes == [2, 2] and errs[1] == "" and errs[0].count("\n") == 1
    assert "--num-envs 3 on 2 ranks" in errs[0] and not (tmp_path / "x").exists()


def test_rows_are_shared_out_with_their_weights():
    ranks = Ranks()
    ranks.size = 3
    parts = []
    for ranks.rank in range(3):
        mine = ranks.rows(7)
        parts += range(*mine.indices(7))
        assert ranks.weight == pytest.approx(3 * (mine.stop - mine.start) / 7)
    assert parts == list(range(7))
    assert ranks.rows(2) == slice(0, 2) and ranks.weight == 1.0


def test_a_number_of_ranks_that_is_none(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE='two'"):
        launched()
