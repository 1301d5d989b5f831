"""Runs that are stopped by a signal in every part of their work, against one left alone: nothing is lost, not a bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import train
from agent_gym.composing.scores import scoring
from agent_gym.storage import tensor_file
from benchmarks.contents import contents, differing

ROOT = Path(__file__).parents[2]
PPO = "ppo --num-envs 2 --num-steps 32 --num-epochs 2 --hidden-sizes 16 --total-steps 768 --backend sync"
DQN = "dqn --num-envs 1 --hidden-sizes 16 --total-steps 400 --learning-starts 100 --batch-size 8 --train-every 40"
DQN += " --backend sync"
OFTEN = "--eval-every 128 --periodic-eval-episodes 2 --eval-episodes 2 --checkpoint-every 128 --seed 3 --quiet"


class Bell(gymnasium.Env):
    """A walk of 30 steps; rings at one step of the process if it is told to."""

    observation_space, action_space = Box(-50, 50, (2,), np.float32), Discrete(2)
    ring_at, count = 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t = 0.0, 0
        return self._obs(), {}

    def step(self, action):
        Bell.count += 1
        if Bell.count == Bell.ring_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.place += 2.0 * float(action) - 1.0 + self.np_random.normal()
        self.t += 1
        return self._obs(), -abs(self.place), False, self.t == 30, {}

    def _obs(self):
        return np.array([self.place, self.t], np.float32)


gymnasium.register("Interruptions/Bell-v0", entry_point=Bell)


def flags(which: str, run) -> list[str]:
    return [*which.split(), "--env", "Interruptions/Bell-v0", *OFTEN.split(), "--run-dir", str(run)]


def differing_in_bits(alone: dict, run) -> list[str]:
    """Names of what differs; how the replay buffer is cut into files does, for there was one checkpoint more."""
    return [name for name in differing(alone, contents(run)) if not name.startswith("/replay")]


def bell(at: int) -> None:
    Bell.ring_at, Bell.count = at, 0


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a run left alone leaves, by its flags."""
    folder, found = tmp_path_factory.mktemp("alone"), {}
    bell(0)
    for which in (PPO, DQN):
        run = folder / which[:3]
        assert train.main(flags(which, run)) == 0
        found[which] = contents(run)
    return found


@pytest.mark.parametrize("number", [1, 3, 6, 7])  # six in training, the last of them at its end; then the final one
def test_a_signal_within_an_evaluation(number, alone, tmp_path, monkeypatch, capsys):
    real, calls = scoring.play, []

    def play(*args, **options):
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    bell(0)
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "play", play)
        assert train.main(flags(PPO, tmp_path / "run")) == 143
    printed = capsys.readouterr()
    assert "--resume" in printed.out and "Traceback" not in printed.err
    assert not (tmp_path / "run/result.json").exists()
    saved = tensor_file.read(tmp_path / "run/checkpoints/last.pt")
    assert saved["agent"]["steps"] == min(128 * number, 768)  # saved first, evaluated then
    assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert differing(alone[PPO], contents(tmp_path / "run")) == []


@pytest.mark.parametrize("which, at", [(PPO, 150), (PPO, 601), (DQN, 90), (DQN, 330)])
def test_a_signal_within_a_rollout_stops_at_once_and_loses_nothing(which, at, alone, tmp_path, capsys):
    bell(at)
    assert train.main(flags(which, tmp_path / "run")) == 143
    assert Bell.count <= at + 2  # one step of the vector at worst
    bell(0)
    assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert differing_in_bits(alone[which], tmp_path / "run") == []


@pytest.mark.parametrize("which, updates", [(PPO, 0), (PPO, 3), (DQN, 5)])
def test_a_signal_within_an_update(which, updates, alone, tmp_path, monkeypatch):
    """A long update is given up, or its updates that are done are kept, and either ends in the same weights."""
    from agent_gym.agents import on_policy
    from agent_gym.nets.learner.learner import Learner

    if updates:  # of the first nobody knows how long it takes
        monkeypatch.setattr(on_policy, "LONG_UPDATE", -1.0)
    real, calls = Learner.update, []

    def update(self, *batch):
        calls.append(None)
        if len(calls) == 8 * updates + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *batch)

    bell(0)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", update)
        assert train.main(flags(which, tmp_path / "run")) == 143
    if which == PPO:  # before the next minibatch
        assert len(calls) == 8 * updates + 1
    assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert differing_in_bits(alone[which], tmp_path / "run") == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process listens to")
def test_a_signal_while_libraries_are_imported(tmp_path):
    """From the moment on that the program listens: no traceback, and the exit code of a signal."""
    command = [sys.executable, str(ROOT / "train.py"), "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path)
    while process.poll() is None and not listens(process.pid, signal.SIGTERM):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130 and "Traceback" not in error


def listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal; of SIGTERM Python has none of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)
