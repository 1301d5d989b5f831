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


OFF_POLICY = """
import torch
import agent_gym.envs
from agent_gym.agents import agent_class, config_class
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.nets.ranks import RANKS
from agent_gym.training.distributed import spread

KINDS = [("dqn", "CartPole-v1", {"normalize_obs": True}), ("sac", "Pendulum-v1", {}), ("td3", "Pendulum-v1", {}),
         ("tqc", "Pendulum-v1", {}), ("crossq", "Pendulum-v1", {})]


def made(name, env, settings, count):
    torch.manual_seed(RANKS.rank)  # first weights are the first rank's
    config = config_class(name)(hidden_sizes=(16,), batch_size=16, buffer_size=1000, learning_starts=64,
                                total_steps=1000, train_every=4, normalize_returns="yes", **settings)
    agent = agent_class(name)(config, NativeVectorEnv(NATIVE[env], count, seed=RANKS.rank))
    return agent


def batches(agent):
    for _ in range(4):
        for _, batch in agent.batches.draw(agent.replay, None, 2, 1.0):
            agent._normalize(batch)
            yield batch | agent.drawn(batch)


def filled(agent):
    agent.begin()
    for _ in range(5):
        agent.collect()
        agent.collected = 0
    return agent


stored = []
for kind in KINDS:
    whole = filled(made(*kind, 8))
    start, found = whole.learners, list(batches(whole))
    before = [learner.parameters.detach().clone() for learner in start.values()]
    for batch in found:
        whole.fit(dict(batch), whole.learners, whole.targets)
        whole.updates += 1
    stored.append((before, found, whole))
RANKS.join()
rows = slice(8 * RANKS.rank, 8 * RANKS.rank + 8)
for kind, (before, found, whole) in zip(KINDS, stored):
    agent = made(*kind, 4)
    spread(agent)
    filled(agent)
    held = agent.steps, agent.config.batch_size, agent.replay.size
    assert held == (whole.steps, 8, whole.replay.size), held  # of one environment
    for learner, vector in zip(agent.learners.values(), before):
        learner.parameters.data.copy_(vector)
    agent.start_from_weights()
    for batch in found:
        # [T, n, ...], and noise of SAC's losses likewise
        part = {name: x[:, rows] for name, x in batch.items()}
        agent.fit(part, agent.learners, agent.targets)
        agent.updates += 1
    pairs = list(zip(agent.learners.values(), whole.learners.values(), before))
    apart = max((a.parameters - b.parameters).abs().max().item() for a, b, _ in pairs)
    moved = min((b.parameters - c).abs().max().item() for _, b, c in pairs)
    others = [(a.vector - b.vector).abs().max().item() for a, b in zip(agent.targets.values(), whole.targets.values())]
    print("KIND", kind[0], apart, max(others, default=0.0), moved, flush=True)
RANKS.leave()
"""


def test_two_ranks_learn_from_halves_of_a_batch_what_one_learns_from_the_whole():
    codes, outs, errs = ended(started(["-c", OFF_POLICY], 2))
    assert codes == [0, 0], errs
    for out in outs:
        lines = [line.split()[1:] for line in out.splitlines() if line.startswith("KIND")]
        assert [line[0] for line in lines] == ["dqn", "sac", "td3", "tqc", "crossq"]
        for kind, apart, targets, moved in lines:
            assert float(moved) > 1e-4, kind
            if kind != "crossq":  # which looks at the batch as a whole
                assert float(apart) < 1e-6 and float(targets) < 1e-6, kind


DIES = """
import os, sys
from agent_gym.__main__ import main
from benchmarks.killing import Spot
if os.environ["RANK"] == "1":
    Spot(sys.argv[1], int(sys.argv[2]), 3).lay()
sys.exit(main(sys.argv[3:]))
"""
FLAGS = ["--num-envs", "4", "--eval-episodes", "2", "--checkpoint-every", "400", "--eval-every", "800", "--quiet"]
PPO = ["-m", "agent_gym", "train", "ppo", "--num-steps", "20", "--num-epochs", "2", "--num-minibatches", "2"]
PPO += ["--num-threads", "1", *FLAGS]
DQN = ["-m", "agent_gym", "train", "dqn", "--env", "CartPole-v1", "--learning-starts", "100", "--buffer-size", "600"]
DQN += ["--prioritized", "--normalize-obs", "--normalize-returns", "yes", "--hidden-sizes", "16", "--batch-size", "16"]
DQN += ["--num-threads", "1", "--train-every", "4", "--utd", "0.5", *FLAGS]
KILLS = {  # flags, steps, and where a rank dies: in an update between two checkpoints
    "ppo": (PPO, 1200, "agent_gym.agents.on_policy:gae", "12"),
    "dqn": (DQN, 800, "agent_gym.agents.off_policy.agent:priorities", "250"),
}


def weights(run):
    return open_checkpoint(run, "last")["agent"]["model"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    paths = {name: tmp_path_factory.mktemp("ranks") / name for name in KILLS}
    for name, path in paths.items():
        flags, steps, *_ = KILLS[name]
        codes, _, errs = ended(started([*flags, "--total-steps", str(steps), "--run-dir", str(path)], 2))
        assert codes == [0, 0], errs
    return paths


@pytest.fixture(scope="module")
def whole(runs):
    return runs["ppo"]


def test_the_first_rank_writes_a_run_like_any_other(whole):
    result = json.loads((whole / "result.json").read_text())
    assert result["total_steps"] == 1200 and result["return_mean"] > 0
    state = open_checkpoint(whole, "last")["agent"]
    assert len(state["ranks"]) == 1 and state["reset"].shape == (2,)
    assert not torch.equal(state["generator"], state["ranks"][0]["generator"])
    assert not torch.equal(state["obs"], state["ranks"][0]["obs"])
    assert all(
        torch.equal(a, b) for a, b in zip(state["model"].values(), state["ranks"][0]["model"].values(), strict=True)
    )
    assert len(list(whole.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_rank_stops_the_other_and_the_run_goes_on_in_the_same_bits(name, runs, tmp_path):
    path, (flags, steps, *spot) = tmp_path / "killed", KILLS[name]
    argv = ["-c", DIES, *spot, *flags[2:], "--total-steps", str(steps), "--run-dir", str(path)]
    codes, _, errs = ended(started(argv, 2))
    assert codes == [2, -signal.SIGKILL] and not (path / "result.json").exists()
    lines = [line for line in errs[0].splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "another rank of this run has ended" in lines[0]
    codes, _, errs = ended(started(["-m", "agent_gym", "train", "--resume", str(path), "--quiet"], 2))
    assert codes == [0, 0], errs
    ours, theirs = weights(path), weights(runs[name])
    assert all(torch.equal(tensor, theirs[part]) for part, tensor in ours.items())


@pytest.mark.parametrize("name", KILLS)
def test_another_number_of_ranks_goes_on_with_a_warning(name, runs, tmp_path):
    import shutil

    from agent_gym.__main__ import main

    path = tmp_path / "copy"
    shutil.copytree(runs[name], path)
    before = open_checkpoint(path, "last")["agent"]
    with captured_stderr() as err:
        assert main(["train", "--resume", str(path), "--total-steps", str(before["steps"] + 300), "--quiet"]) == 0
    assert "was on 2 ranks and goes on with 1" in err.getvalue()
    state = open_checkpoint(path, "last")["agent"]
    assert state["steps"] >= before["steps"] + 300
    if name == "dqn":  # 100 steps without updates, until there is something to learn from
        made, gone = (state[name] - before[name] for name in ("updates", "steps"))
        assert made == gone / 2 and state["replay"]["size"] == gone // 4
        assert not torch.equal(*map(flat, (state, before)))


def flat(state):
    return torch.cat([x.flatten() for x in state["model"].values()])


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
        (["dqn", "--batch-size", "33", "--num-envs", "2"], "--batch-size 33 on 2 ranks: expected a multiple of 2"),
        (["alphazero", "--num-envs", "2"], "alphazero trains on one rank"),
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
