"""`python train.py` as a shell starts it, stopped by signals. For what is killed outright, see test_torture.py."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train

ROOT = Path(__file__).parents[2]
FLAGS = ["ppo", "--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32", "--num-epochs", "2", "--seed", "7"]
FLAGS += ["--hidden-sizes", "16", "--total-steps", "10000000", "--checkpoint-every", "1024", "--eval-every", "6144"]
FLAGS += ["--eval-episodes", "2", "--run-dir", "run", "--quiet"]


def steps(run_dir: Path) -> int:
    return torch.load(run_dir / "checkpoints/last.pt", weights_only=True)["agent"]["steps"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_the_command_that_goes_on(number, code, tmp_path, monkeypatch):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *FLAGS],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (tmp_path / "run/checkpoints/last.pt").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == code
    assert "train.py --resume run" in output and "Traceback" not in output
    stopped = steps(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert train.main(["--resume", "run", "--total-steps", str(stopped + 1024), "--quiet"]) == 0
    assert steps(tmp_path / "run") >= stopped + 1024 > 1024
