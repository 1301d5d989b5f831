"""Training in environments that fail, by the commands as a user types them."""

import json
import os
import signal

import gymnasium
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from agent_gym.storage.checkpoint import open_checkpoint

SMALL = ["--total-steps", "2048", "--num-envs", "4", "--num-steps", "32", "--eval-episodes", "4", "--num-epochs", "2"]
SMALL += ["--eval-every", "100000", "--quiet"]


class Moody(gymnasium.Env):
    """Fails in one of 50 steps from its 100th on, as `how` says; at reset if that says so."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, how: str):
        self.how, self.count = how, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.how == "reset":
            raise KeyError("no such map")
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.count += 1
        obs = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        if self.count >= 100 and self.np_random.random() < 0.02:
            if self.how == "misspelt":
                return self.no_such_map
            if self.how == "longer":
                return np.zeros(3, np.float32), 0.0, False, False, {}
            if self.how == "raise":
                raise RuntimeError("the motor is on fire")
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            obs = obs + np.nan
        return obs, float(obs[0]), self.count % 25 == 0, False, {}


gymnasium.register("Test/Moody-v0", Moody)


def command(path, how: str, *flags: str) -> list[str]:
    kwargs = json.dumps({"how": how})
    return ["ppo", "--env", "Test/Moody-v0", "--env-kwargs", kwargs, "--run-dir", str(path), *SMALL, *flags]


def restarts(path) -> list[float]:
    """All values of the tag, in order."""
    events = EventAccumulator(str(path))
    events.Reload()
    return [event.value for event in events.Scalars("rollout/env_restarts")]


def test_a_failure_stops_the_run_and_a_resumed_one_may_restart(tmp_path, capsys):
    path = tmp_path / "run"
    assert train.main(command(path, "raise")) == 2
    error = capsys.readouterr().err
    assert f"--resume {path}" in error and "Traceback" not in error
    log = path / "env_errors.log"
    assert "Test/Moody-v0 (number " in error and f"RuntimeError: the motor is on fire; see {log}" in error
    text = log.read_text()
    assert text.count("environment Test/Moody-v0 (number ") == 1
    assert "Traceback (most recent call last)" in text and 'raise RuntimeError("the motor is on fire")' in text

    assert train.main(["--resume", str(path), "--quiet", "--on-env-error", "restart"]) == 0
    result = json.loads((path / "result.json").read_text())
    assert result["total_steps"] >= 2048 and np.isfinite(result["return_mean"])
    counts = restarts(path)
    failures = log.read_text().count("environment Test/Moody-v0 (number ")
    assert counts == sorted(counts) and 1 <= counts[-1] <= failures - 1

    # The count goes on where a run is extended.
    assert train.main(["--resume", str(path), "--quiet", "--total-steps", "4096"]) == 0
    assert restarts(path)[len(counts)] >= counts[-1] and restarts(path) == sorted(restarts(path))

    capsys.readouterr()
    assert evaluate.main([str(path), "--episodes", "200"]) == 0  # the run replaces what fails, and so does its score
    assert "episodes are left out: their environment failed" in capsys.readouterr().out
    assert log.read_text().count("environment Test/Moody-v0 (number ") > failures


@pytest.mark.parametrize("flags", [(), ("--backend", "async")], ids=str)
@pytest.mark.parametrize("how", ["misspelt", "longer"])
def test_what_is_sure_to_happen_again_is_not_resumed(tmp_path, capsys, how, flags):
    assert train.main(command(tmp_path / "run", how, *flags)) == 2
    error = capsys.readouterr().err
    assert "it would happen again until the cause is mended" in error and "--resume" not in error
    expected = {
        "misspelt": "has no attribute 'no_such_map'",
        "longer": "observation has shape (3,), its space says (2,)",
    }
    assert expected[how] in error


def test_nor_is_a_run_that_failed_before_it_learned(tmp_path, capsys):
    path = tmp_path / "run"
    assert train.main([*command(path, "raise"), "--num-steps", "256"]) == 2
    error = capsys.readouterr().err
    assert "saved at" not in error and "--resume" not in error
    assert {file.name for file in path.iterdir()} <= {"env_errors.log", ".lock", ".pid"}
    again = [*command(path, "raise"), "--on-env-error", "restart", "--total-steps", "256"]
    assert train.main(again) == 0  # the same folder


@pytest.mark.parametrize("flags", [("--backend", "async"), ("--backend", "async", "--encoder", "gru")])
def test_dying_workers_are_replaced(tmp_path, capsys, flags):
    path = tmp_path / "run"
    assert train.main(command(path, "die", "--on-env-error", "restart", *flags)) == 0
    assert "its worker process died (exit code -9)" in capsys.readouterr().err
    assert restarts(path)[-1] >= 1


def test_failure_before_the_run_exists(tmp_path, capsys):
    path = tmp_path / "run"
    assert train.main(command(path, "reset")) == 2
    assert "failed at reset: KeyError: 'no such map'; see " in capsys.readouterr().err
    assert [file.name for file in path.iterdir()] == ["env_errors.log"]
    # What it left there does not stand in the way of the next try.
    assert train.main(command(path, "nan", "--on-env-error", "restart")) == 0
    assert restarts(path)[-1] >= 1


def test_a_hopeless_environment_is_not_replaced_for_ever(tmp_path, capsys):
    path = tmp_path / "run"
    assert train.main(command(path, "reset", "--on-env-error", "restart")) == 2
    assert "10 times in a row without a completed step" in capsys.readouterr().err


def test_restart_without_a_failure_changes_nothing(tmp_path):
    weights = []
    for mode in ("stop", "restart"):
        path = tmp_path / mode
        arguments = ["ppo", "--run-dir", str(path), *SMALL, "--backend", "sync", "--on-env-error", mode]
        assert train.main(arguments) == 0
        weights.append(open_checkpoint(path, "last")["agent"]["model"])
        assert (mode == "stop") or set(restarts(path)) == {0.0}
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not (path / "env_errors.log").exists()


def test_an_evaluation_that_fails_stops_the_run_where_failures_do(tmp_path, capsys):
    class Breaks(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)
        made = 0

        def __init__(self):
            Breaks.made += 1
            self.number = Breaks.made

        def reset(self, *, seed=None, options=None):
            self.t = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.t += 1
            if self.number > 2 and self.t == 3:
                raise OSError("unplugged " + 900 * "x")
            return np.zeros(1, np.float32), 1.0, self.t == 5, False, {}

    if "Fails/InEvaluation-v0" not in gymnasium.registry:
        gymnasium.register("Fails/InEvaluation-v0", entry_point=Breaks)
    command = "ppo --env Fails/InEvaluation-v0 --backend sync --num-envs 2 --num-steps 32 --total-steps 640 --quiet"
    assert train.main([*command.split(), "--eval-every", "64", "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "of the evaluation) failed at step 3: OSError: unplugged" in error and "--resume" in error
    assert max(map(len, error.splitlines())) < 700
    assert open_checkpoint(tmp_path / "run", "last")["agent"]["steps"] == 64
