"""What a command imports: nothing that it does not use, since each package costs time before the first step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import sys
import agent_gym.{module} as command
assert command.main(sys.argv[2:]) == 0
print("imported", *(set(sys.argv[1].split(",")) & sys.modules.keys()))
"""
WATCHING = ["PIL", "imageio", "werkzeug", "pygame"]
TABLES = ["sklearn", "pandas", "matplotlib"]
OTHERS = ["stable_baselines3", "torch._dynamo", "mlflow", "wandb", "transformers", "optuna"]


def imported(module: str, unwanted: list[str], *argv: str) -> str:
    command = [sys.executable, "-c", CODE.format(module=module), ",".join(unwanted), *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    flags = "ppo --total-steps 512 --num-envs 4 --num-steps 32 --num-epochs 1 --eval-episodes 1 --quiet --run-dir"
    assert imported("train", [*WATCHING, *TABLES, *OTHERS], *flags.split(), str(path)) == "imported"
    return path


def test_training_and_scoring_import_nothing_that_draws_or_reads_tables(run):
    assert imported("evaluate", [*WATCHING, *TABLES, *OTHERS, "tensorboard"], str(run), "--episodes", "1") == "imported"


def test_a_film_imports_no_web_server(run):
    film = str(run / "a.gif")
    assert imported("evaluate", ["werkzeug", *TABLES, *OTHERS], str(run), "--video", film) == "imported"
