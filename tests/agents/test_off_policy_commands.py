"""What agents with a replay buffer refuse, and whole runs of them as a user types them."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train as command
from agent_gym.agents import agent_class, config_class
from agent_gym.agents.buffers import free_memory
from agent_gym.agents.off_policy.agent import OffPolicyConfig
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError

NARROW = {"hidden_sizes": (8,), "batch_size": 8, "buffer_size": 500}


def make_agent(name: str, env_id: str = "CartPole-v1", backend: str = "auto", **settings):
    config = config_class(name)(env=env_id, **NARROW | settings)
    torch.manual_seed(config.seed)
    return agent_class(name)(config, make_env(env_id, config.num_envs, backend=backend, seed=config.seed))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"batch_size": 600}, ["--batch-size 600", "--buffer-size 500"]),
        ({"n_step": 501}, ["--n-step 501", "--buffer-size 500"]),
        ({"n_step": 100, "num_envs": 8}, ["--n-step 100", "--num-envs 8", "62"]),
        ({"num_envs": 501}, ["--num-envs 501", "--buffer-size 500"]),
        ({"learning_starts": 1000, "total_steps": 1000}, ["--learning-starts 1000", "--total-steps 1000"]),
        ({"utd": 0.0}, ["--utd 0.0"]),
        ({"train_every": 0}, ["--train-every 0"]),
        ({"priority_beta": 1.5}, ["--priority-beta 1.5"]),
    ],
)
def test_settings_that_cannot_work(settings, words):
    with pytest.raises(UserError) as error:
        OffPolicyConfig(**NARROW | settings)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_sequences_longer_than_what_is_collected_or_kept():
    for settings in ({"learning_starts": 30}, {"learning_starts": 200, "buffer_size": 64}):
        with pytest.raises(UserError, match="expected at least 82"):
            make_agent("dqn", encoder="gru", num_envs=2, sequence_length=32, burn_in=7, n_step=1, **settings).begin()


class Bad(gymnasium.Env):
    """From its 90th step on it pays what is no number, unless it has been mended."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(2)
    mended = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0 if not hasattr(self, "t") else self.t
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.t += 1
        bad = self.t >= 90 and not self.mended
        return np.zeros(3, np.float32), float("inf") if bad else 1.0, self.t % 10 == 0, False, {}


gymnasium.register("Test/BadReward-v0", Bad)
FEW = ["--total-steps", "400", "--learning-starts", "40", "--batch-size", "8", "--eval-episodes", "2", "--quiet"]


def refused(capsys, arguments: list) -> list[str]:
    """What a command prints on stderr that must end with code 2, line by line."""
    capsys.readouterr()
    assert command.main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return err.splitlines()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["dqn", "--env", "Pendulum-v1"], ["dqn", "Box", "Pendulum-v1", "Discrete", "sac"]),
        (["qrdqn", "--env", "Pendulum-v1"], ["dqn", "Box", "Pendulum-v1"]),
        (["td3", "--env", "CartPole-v1"], ["td3", "Discrete(2)", "CartPole-v1", "Box"]),
        (["ddpg", "--env", "CartPole-v1"], ["ddpg", "Discrete(2)", "CartPole-v1", "Box"]),
        (["dqn", "--batch-size", "64", "--buffer-size", "50"], ["--batch-size 64", "--buffer-size 50"]),
        (["dqn", "--total-steps", "100", "--learning-starts", "100"], ["--learning-starts 100", "--total-steps 100"]),
        (["sac", "--env", "Pendulum-v1", "--n-step", "2000", "--buffer-size", "1500"], ["--n-step 2000", "1500"]),
        (["dqn", "--buffer-size", "1000000000000"], ["--buffer-size 1000000000000", "GB", "fits"]),
        (["dqn", "--encoder", "lstm", "--learning-starts", "10"], ["--learning-starts 10", "--sequence-length"]),
        (["sac", "--env", "Pendulum-v1", "--tau", "0"], ["--tau 0"]),
    ],
)
def test_bad_flags_give_one_line_and_leave_nothing(capsys, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    lines = refused(capsys, [*flags, "--quiet"])
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, env_id, tags",
    [
        ("dqn", "CartPole-v1", {"q_loss", "q_mean"}),
        ("sac", "Pendulum-v1", {"q_loss", "q_mean", "policy_loss", "entropy", "alpha"}),
        ("td3", "Pendulum-v1", {"q_loss", "q_mean", "policy_loss"}),
    ],
)
def test_a_run_is_logged_resumed_and_scored(name, env_id, tags, capsys, tmp_path):
    run = tmp_path / "run"
    flags = [name, "--env", env_id, *FEW, "--num-envs", "2", "--buffer-size", "300"]
    flags += ["--train-every", "1", "--run-dir", str(run)]  # presets may say otherwise
    assert command.main(flags) == 0
    assert command.main(["--resume", str(run), "--total-steps", "500", "--quiet"]) == 0
    capsys.readouterr()
    assert evaluate.main([str(run), "--episodes", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    result = json.loads((run / "result.json").read_text())
    assert result["total_steps"] == 500 and printed == {key: result[key] for key in printed}
    events = EventAccumulator(str(run)).Reload()
    tags = tags | {"loss", "grad_norm", "learning_rate"}
    assert {f"train/{tag}" for tag in tags} <= set(events.Tags()["scalars"])
    steps = [event.step for event in events.Scalars("train/q_loss")]
    assert steps == sorted(set(steps)) and steps[0] > 40 and steps[-1] == 500


def test_playing_needs_no_replay_buffer(capsys, tmp_path, monkeypatch):
    run = tmp_path / "run"
    flags = ["dqn", "--encoder", "gru", *FEW, "--num-envs", "1", "--train-every", "8", "--run-dir", str(run)]
    flags += ["--buffer-size", "1000", "--recurrent-size", "4", "--sequence-length", "8", "--burn-in", "0"]
    assert command.main(flags) == 0
    # More environments than the buffer would have room for, on a machine that has no room for the buffer.
    monkeypatch.setattr(free_memory, "free_bytes", lambda device: 1000)
    capsys.readouterr()
    assert evaluate.main([str(run), "--episodes", "25", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 25
    assert command.main([*flags, "--summary"]) == 0
    assert len(refused(capsys, [*flags, "--run-dir", tmp_path / "other"])) == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("flags, critics", [("--env Pendulum-v1", 2 * 129), ("--env CartPole-v1", 2 * 146)])
def test_the_summary_shows_actor_and_critics(flags, critics, capsys):
    """Critics by hand: from 4 numbers to 16 units (80), layer norm (32), to one value (17) or two (34)."""
    assert command.main(["sac", *flags.split(), "--hidden-sizes", "16", "--layer-norm", "--summary"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    counts = {row[0]: int(row[-1].replace(",", "")) for row in rows if row[-1].replace(",", "").isdigit()}
    assert sum(count for name, count in counts.items() if name.startswith("critic.")) == critics
    assert counts["total"] == sum(count for name, count in counts.items() if name != "total")
    assert any(row[0].startswith("actor.head") for row in rows)
    assert [row[2] for row in rows if "(BatchedLayerNorm)" in row] == ["2x16"]


def test_rewards_that_are_not_finite_lose_nothing(capsys, tmp_path, monkeypatch):
    run = tmp_path / "run"
    flags = ["dqn", "--env", "Test/BadReward-v0", *FEW, "--backend", "sync", "--eval-every", "400", "--run-dir", run]
    saved, line = refused(capsys, [*flags, "--num-envs", "2"])
    assert f"--resume {run}" in saved and "178" in saved  # 89 good steps of two environments
    assert "Test/BadReward-v0" in line and "step 90" in line and "reward" in line
    state = torch.load(run / "checkpoints/last.pt", weights_only=True)["agent"]
    assert state["steps"] == 178 and state["updates"] == 178 - 40
    assert all(torch.isfinite(x).all() for x in state["model"].values())
    monkeypatch.setattr(Bad, "mended", True)
    assert command.main(["--resume", str(run), "--quiet"]) == 0
    assert json.loads((run / "result.json").read_text())["total_steps"] == 400
