"""The code of docs/new_environment.md, run as a reader would run it."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from agent_gym.envs.make import make_env, make_single
from benchmarks.learning.baselines import random_policy, returns

GUIDE = (Path(__file__).parents[2] / "docs" / "new_environment.md").read_text()


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """hover.py where Python finds it; returns the guide's two blocks."""
    folder = tmp_path_factory.mktemp("guide")
    environment, check = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.S)
    (folder / "hover.py").write_text(environment)
    sys.path.insert(0, str(folder))
    yield environment, check
    sys.path.remove(str(folder))


def test_it_takes_less_than_60_lines(code):
    assert len(code[0].splitlines()) < 60


@pytest.mark.filterwarnings("ignore:.*Box observation space")
def test_the_check_passes(code):
    exec(compile(code[1], "guide", "exec"), {})


def test_it_renders(code):
    env = make_single("hover:Hover-v0", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (480, 240, 3)


def test_an_agent_learns_it(code, tmp_path):
    env = make_env("hover:Hover-v0", 50)
    assert env.backend == "native"
    random = returns(env, random_policy(env.action_space), 50)
    flags = "--total-steps 40000 --num-envs 64 --num-steps 32 --eval-episodes 20 --eval-every 40000 --quiet"
    assert train.main(["ppo", "--env", "hover:Hover-v0", "--run-dir", str(tmp_path / "run"), *flags.split()]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["return_mean"] > np.mean(random) + 3 * np.std(random)
