"""`python train.py` as a shell starts it, stopped by signals and killed outright. See also test_torture.py."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.killing import contents, differing

ROOT = Path(__file__).parents[2]
FLAGS = ["ppo", "--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32", "--num-epochs", "2", "--seed", "7"]
FLAGS += ["--hidden-sizes", "16", "--total-steps", "6144", "--checkpoint-every", "1024", "--eval-every", "6144"]
FLAGS += ["--eval-episodes", "2"]


def command(flags: list[str]) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *flags, "--quiet"]


def environment() -> dict:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(flags: list[str], cwd: Path) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(flags), cwd=cwd, env=environment(), **pipes)


def run(flags: list[str], cwd: Path) -> None:
    subprocess.run(command(flags), cwd=cwd, env=environment(), check=True, stdout=subprocess.DEVNULL)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)


def steps(run_dir: Path) -> int:
    return torch.load(run_dir / "checkpoints/last.pt", weights_only=True)["agent"]["steps"]


def test_a_killed_run_ends_bit_for_bit_like_one_left_alone(tmp_path):
    run([*FLAGS, "--run-dir", "alone"], tmp_path)
    process = start([*FLAGS, "--run-dir", "killed"], tmp_path)
    wait_for(tmp_path / "killed/checkpoints/last.pt", process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/result.json").exists()
    run(["--resume", "killed"], tmp_path)
    assert differing(contents(tmp_path / "alone"), contents(tmp_path / "killed")) == []


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_the_command_that_goes_on(number, code, tmp_path):
    process = start([*FLAGS, "--total-steps", "10000000", "--run-dir", "run"], tmp_path)
    wait_for(tmp_path / "run/checkpoints/last.pt", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code
    assert "train.py --resume run" in output and "Traceback" not in output
    stopped = steps(tmp_path / "run")
    run(["--resume", "run", "--total-steps", str(stopped + 1024)], tmp_path)
    assert steps(tmp_path / "run") >= stopped + 1024 > 1024
