"""The scripts of examples/ run, as they stand but for a few steps instead of many."""

import os
import runpy
import sys
from pathlib import Path

import pytest

import agent_gym
from benchmarks import killing

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


FEW = {"sb3_quick_start.py": 2000, "memory.py": 2000}  # steps, where the words do not depend on what was learned


def run(script: str, folder: str, steps: int | None) -> None:
    if steps is not None:
        learn = agent_gym.PPO.learn
        agent_gym.PPO.learn = lambda agent, _: learn(agent, steps)
    os.chdir(folder)
    killing.write_to("output.txt", "errors.txt")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")


@pytest.mark.parametrize("name", SAY)
def test_an_example_runs(name, tmp_path):
    process = killing.forked(run, str(ROOT / "examples" / name), str(tmp_path), FEW.get(name))
    process.join()
    assert process.exitcode == 0, (tmp_path / "errors.txt").read_text()[-2000:]
    assert SAY[name] in (tmp_path / "output.txt").read_text()
