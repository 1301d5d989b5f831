"""What a command imports: nothing that it does not use, since each package costs time before the first step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import json
import sys
from importlib import import_module
for script, argv, unwanted in json.loads(sys.argv[1]):
    assert import_module(script).main(argv) == 0
    print("imported", *(set(unwanted) & sys.modules.keys()))
"""
WATCHING = ["PIL", "imageio", "werkzeug", "pygame"]
TABLES = ["sklearn", "pandas", "matplotlib"]
OTHERS = ["stable_baselines3", "sb3_contrib", "torch._dynamo", "mlflow", "wandb", "transformers", "optuna"]
SHORT = "--total-steps 300 --num-envs 2 --eval-episodes 1 --eval-every 300 --quiet --run-dir"
TRACED = "--total-steps 500 --eval-episodes 1 --eval-every never --quiet --run-dir"  # 400 updates
REPLAY = f"--learning-starts 100 --batch-size 8 --hidden-sizes 8 {SHORT}"
AGENTS = {
    "ppo": f"ppo --num-steps 32 {SHORT}",
    "memory": f"ppo --encoder lstm --num-steps 32 {SHORT}",
    "dqn": f"dqn {REPLAY}",
    "traced": f"dqn --learning-starts 100 --batch-size 8 --hidden-sizes 8 --train-every 1 --utd 1 {TRACED}",
    "sac": f"sac --env Pendulum-v1 {REPLAY}",
    "td3": f"td3 --env Pendulum-v1 {REPLAY}",
}


def imported(*commands: tuple[str, list[str], list[str]]) -> list[set[str]]:
    """What of the unwanted is there after each command, one after the other in a process of their own."""
    argv = [sys.executable, "-c", CODE, json.dumps(commands)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("imported")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with runs, and what of the unwanted was there after each."""
    folder = tmp_path_factory.mktemp("runs")
    agents = [
        ("train", [*flags.split(), str(folder / name)], [*WATCHING, *TABLES, *OTHERS]) for name, flags in AGENTS.items()
    ]
    task = ("train", ["iris", "--epochs", "2", "--quiet", "--run-dir", str(folder / "iris")], OTHERS)
    return folder, imported(*agents, task)


def test_training_imports_nothing_that_draws_or_reads_tables(trained):
    """torch._dynamo alone takes 1.5 to 2.5 seconds, more than a short run learns."""
    assert trained[1] == [set()] * (len(AGENTS) + 1)


def test_scoring_and_filming_import_nothing_else_either(trained):
    run = str(trained[0] / "ppo")
    score = ("evaluate", [run, "--episodes", "1"], [*WATCHING, *TABLES, *OTHERS, "tensorboard"])
    film = ("evaluate", [run, "--video", str(trained[0] / "a.gif")], ["werkzeug", *TABLES, *OTHERS])
    assert imported(score, film) == [set(), set()]
