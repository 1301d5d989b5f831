"""The scripts of examples/ run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SAY = {
    "own_environment.py": "goes right; return",
    "sb3_quick_start.py": "trained",
    "callback.py": "good enough at step",
    "keras_style.py": "validation accuracy 0.9",
    "scikit_learn.py": "accuracy 0.9",
    "memory.py": "stood for",
}


def test_all_examples_are_run():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(SAY)


@pytest.mark.parametrize("name", SAY)
def test_an_example_runs(name, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / name)]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert SAY[name] in result.stdout
