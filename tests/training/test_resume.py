"""Real training processes, stopped by signals and killed outright, that go on where they were."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FLAGS = {
    "native": ["--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32"],
    "memory": ["--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32", "--encoder", "gru"],
    "unsaved": ["--env", "Pendulum-v1", "--num-envs", "4", "--num-steps", "64", "--backend", "sync"],
}
COMMON = ["--total-steps", "6144", "--checkpoint-every", "1024", "--eval-every", "6144", "--eval-episodes", "2"]
COMMON += ["--num-epochs", "2", "--hidden-sizes", "16"]


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


def leaves(tree: object, name: str = "") -> dict[str, object]:
    """Every tensor and number of a checkpoint by its path."""
    if isinstance(tree, dict):
        return {k: v for key, child in tree.items() for k, v in leaves(child, f"{name}.{key}").items()}
    if isinstance(tree, list | tuple):
        return {k: v for i, child in enumerate(tree) for k, v in leaves(child, f"{name}.{i}").items()}
    return {name: tree}


def same(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def final_state(run_dir: Path) -> dict[str, object]:
    return leaves(torch.load(run_dir / "checkpoints/last.pt", weights_only=True)["agent"])


@pytest.mark.parametrize("kind", FLAGS)
def test_a_killed_run_ends_bit_for_bit_like_one_left_alone(kind, tmp_path):
    flags = ["ppo", *FLAGS[kind], *COMMON, "--seed", "7"]
    run([*flags, "--run-dir", "alone"], tmp_path)
    process = start([*flags, "--run-dir", "killed"], tmp_path)
    wait_for(tmp_path / "killed/checkpoints/last.pt", process)
    time.sleep(0.15)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/result.json").exists()
    run(["--resume", "killed"], tmp_path)

    alone, killed = final_state(tmp_path / "alone"), final_state(tmp_path / "killed")
    assert [name for name in alone if not same(alone[name], killed[name])] == []
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("alone", "killed")]
    assert results[0]["return_mean"] == results[1]["return_mean"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_the_command_that_goes_on(number, code, tmp_path):
    flags = ["ppo", *FLAGS["native"], *COMMON, "--total-steps", "10000000", "--run-dir", "run"]
    process = start(flags, tmp_path)
    wait_for(tmp_path / "run/checkpoints/last.pt", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "python train.py --resume run" in output and "Traceback" not in output
    state = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)["agent"]
    assert state["steps"] > 0
    more = ["--resume", "run", "--total-steps", str(state["steps"] + 1024)]
    run(more, tmp_path)
    assert final_state(tmp_path / "run")[".steps"] >= state["steps"] + 1024
