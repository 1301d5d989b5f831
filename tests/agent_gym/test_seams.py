"""Encoders, agents and tasks of a user's own, by the code that docs/ prints."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from agent_gym import PPO, UserError, load

DOCS = Path(__file__).parent.parent.parent / "docs"
SMALL = ["--quiet", "--num-threads", "1", "--eval-episodes", "4", "--device", "cpu"]


def code(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mynets.py").write_text("\n".join(code("new_encoder.md")))
    (tmp_path / "reinforce.py").write_text(code("new_algorithm.md")[0])
    yield
    for name in ("mynets", "reinforce"):
        sys.modules.pop(name, None)


def test_reinforce_is_short_learns_and_resumes_bit_for_bit(tmp_path):
    assert len([line for line in code("new_algorithm.md")[0].splitlines() if line.strip()]) < 80
    flags = ["reinforce:Reinforce", "--num-envs", "16", "--seed", "0", "--learning-rate", "0.01", *SMALL]
    assert train.main([*flags, "--total-steps", "32000", "--run-dir", "whole"]) == 0
    assert load("whole").evaluate(10)["return_mean"] > 80.0  # 22 at random
    assert train.main([*flags, "--total-steps", "4096", "--run-dir", "a", "--schedule", "constant"]) == 0
    assert train.main([*flags, "--total-steps", "8192", "--run-dir", "b", "--schedule", "constant"]) == 0
    assert train.main(["--resume", "a", "--total-steps", "8192", "--quiet"]) == 0
    a, b = (torch.load(f"{run}/checkpoints/last.pt", weights_only=True)["agent"]["model"] for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "flags", [["ppo"], ["dqn", "--learning-starts", "100", "--utd", "0.1"], ["a2c"], ["pqn"]], ids=lambda f: f[0]
)
def test_a_module_on_features(flags):
    run = [*flags, "--encoder", "mynets:Residual", "--total-steps", "600", "--run-dir", "x", *SMALL]
    assert train.main(run) == 0
    assert load("x").predict(np.zeros(4, np.float32))[0] in (0, 1)
    assert train.main(["--resume", "x", "--total-steps", "2048", "--quiet"]) == 0


def test_the_whole_contract_with_a_memory():
    flags = ["ppo", "--env", "AgentGym/CartPoleNoVel-v1", "--encoder", "mynets:Average", "--no-normalize-obs"]
    assert train.main([*flags, "--total-steps", "1024", "--run-dir", "x", *SMALL]) == 0
    agent, obs = load("x"), np.array([1.0, 2.0], np.float32)
    _, state = agent.predict(obs)
    np.testing.assert_allclose(state[0][:2], [0.1, 0.2], rtol=1e-5)


def test_tasks_take_it_too():
    assert train.main(["iris", "--encoder", "mynets:Residual", "--epochs", "2", "--run-dir", "x", "--quiet"]) == 0


def test_python_gives_the_class_itself(tmp_path):
    from mynets import Residual

    agent = PPO("CartPole-v1", encoder=Residual, quiet=True, eval_episodes=2, num_threads=1)
    agent.learn(600, run_dir=tmp_path / "x")
    assert type(agent._saved.policy.network.encoder.module) is Residual


@pytest.mark.parametrize(
    "flags, words",
    [
        (["ppo", "--encoder", "mynets:Residul"], "the module has no 'Residul'; did you mean Residual"),
        (["ppo", "--encoder", "nowhere:Net"], "nowhere:Net cannot be imported"),
        (["ppo", "--encoder", "mynets:torch"], "expected a class of torch.nn.Module"),
        (["ppo", "--encoder", "mlpp"], "did you mean mlp"),
        (["nowhere:Agent"], "nowhere:Agent cannot be imported"),
        (["mynets:Residual"], "neither an agent nor a task"),
        (["pppo"], "did you mean ppo"),
    ],
)
def test_bad_names_are_one_line(flags, words, capsys):
    assert train.main([*flags, "--run-dir", "x", *(SMALL if ":" not in flags[0] else [])]) == 2
    assert words in capsys.readouterr().err
    assert not Path("x").exists()


def test_a_strangers_module_that_lies_with_the_run_is_not_imported(tmp_path):
    flags = ["ppo", "--encoder", "mynets:Residual", "--total-steps", "256", "--run-dir", "x", *SMALL]
    assert train.main(flags) == 0
    (tmp_path / "mynets.py").rename(tmp_path / "x" / "mynets.py")
    sys.modules.pop("mynets")
    sys.path.insert(0, str(tmp_path / "x"))
    try:
        with pytest.raises(UserError, match="lies together with the run"):
            load(tmp_path / "x")
    finally:
        sys.path.remove(str(tmp_path / "x"))
    assert "mynets" not in sys.modules
