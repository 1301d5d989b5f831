"""An encoder goes from a task to an agent and back: the same weights, kept where --freeze-encoder says so."""

import gymnasium
import numpy as np
import pytest
import torch

import train
from agent_gym.composing.restore import starting_weights
from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.transfer import load_encoder
from agent_gym.storage.encoder_file import read_encoder
from agent_gym.tasks.senses.digits import Digits
from agent_gym.tasks.senses.settings import DigitsConfig


class Pictures(gymnasium.Env):
    """Pictures of the digits' shape; nothing to win."""

    observation_space = gymnasium.spaces.Box(0, 255, (28, 28), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        return self._picture(), float(action), self.np_random.random() < 0.1, False, {}

    def _picture(self):
        return self.np_random.integers(0, 256, (28, 28), dtype=np.uint8)


gymnasium.register("Test/Pictures-v0", Pictures)
NETWORK = ["--conv-layers", "16", "3", "2", "1", "8", "3", "2", "1", "--cnn-hidden-sizes", "30", "20"]
PPO = ["ppo", "--env", "Test/Pictures-v0", "--total-steps", "256", "--num-envs", "4", "--num-steps", "32", "--quiet"]
PPO += ["--eval-episodes", "2", "--num-epochs", "1", *NETWORK]


def load(encoder, run):
    with starting_weights(str(run)):
        load_encoder(encoder, str(run))


def model(run) -> dict:
    return torch.load(run / "checkpoints" / "last.pt", weights_only=True)["agent"]["model"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Digits; an agent from them, frozen and not; digits from the agent."""
    folder = tmp_path_factory.mktemp("transfer")
    digits = ["digits", "--epochs", "1", "--quiet"]
    assert train.main([*digits, "--run-dir", str(folder / "digits")]) == 0
    taught = ["--encoder-from", str(folder / "digits")]
    assert train.main([*PPO, *taught, "--freeze-encoder", "--run-dir", str(folder / "frozen")]) == 0
    assert train.main([*PPO, *taught, "--run-dir", str(folder / "free")]) == 0
    back = ["--encoder-from", str(folder / "free"), "--freeze-encoder"]
    assert train.main([*digits, *back, "--run-dir", str(folder / "back")]) == 0
    return folder


def test_an_agent_starts_with_the_weights_of_a_task_and_keeps_them(runs):
    best = torch.load(runs / "digits" / "checkpoints" / "best.pt", weights_only=True)["agent"]["model"]
    names = [name for name, value in best.items() if name.startswith("encoder.") and torch.is_tensor(value)]
    assert len(names) == 8
    frozen, free = model(runs / "frozen"), model(runs / "free")
    assert all(torch.equal(best[name], frozen[f"network.{name}"]) for name in names)
    assert not all(torch.equal(best[name], free[f"network.{name}"]) for name in names)


def test_a_task_starts_with_the_weights_of_an_agent(runs):
    weights, back = read_encoder(str(runs / "free")), model(runs / "back")
    assert all(torch.equal(weights[name], back[f"encoder.{name}"]) for name in weights)


def test_a_frozen_run_goes_on_frozen_without_the_other(runs, tmp_path):
    before = model(runs / "back")
    (runs / "free").rename(tmp_path / "gone")
    try:
        assert train.main(["--resume", str(runs / "back"), "--epochs", "2", "--schedule-over", "whole", "--quiet"]) == 0
    finally:
        (tmp_path / "gone").rename(runs / "free")
    after = model(runs / "back")
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_both_shapes_are_named_where_they_differ(runs):
    encoder = Digits(DigitsConfig(cnn_hidden_sizes=(50, 20))).model.encoder
    with pytest.raises(UserError, match=r"inputs.mlp.0.weight is \(30, 392\) there and \(50, 392\) here"):
        load(encoder, runs / "digits")


def test_a_layer_that_only_one_side_has(runs):
    encoder = Digits(DigitsConfig(cnn_hidden_sizes=(30, 20, 20))).model.encoder
    with pytest.raises(UserError, match=r"inputs.mlp.2.weight is absent there and \(20, 20\) here"):
        load(encoder, runs / "digits")
