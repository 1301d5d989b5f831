"""Training processes killed outright at random moments, and in the middle of a save, against runs left alone.

`python -m benchmarks.torture` is the long form, on every kind of agent, network and environment.
"""

import random
import shutil

import pytest
import torch
from tensorboard.compat.proto.summary_pb2 import Summary

from agent_gym.commands.train import parse
from agent_gym.storage import tensor_file
from agent_gym.storage.events import EventFile
from benchmarks import same_bits
from benchmarks.contents import contents, differing, scalars
from benchmarks.killing import left_alone
from benchmarks.torture import flags, torture

KINDS = (
    "PPO, native",
    "PPO, MuJoCo, sync",
    "PPO, GRU, sync",
    "PQN, native",
    "DQN, prioritised, native",
    "SAC, sync",
    "iris",
)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_runs_end_bit_for_bit_like_one_left_alone(kind, tmp_path):
    outcome = torture(kind, tmp_path, kills=2, rng=random.Random(kind))
    assert outcome.kills.count > 0 and outcome.values > 5000
    assert outcome.differing == []


def test_every_kind_that_the_long_form_trains_is_one_that_can_be_trained():
    for kind, (name, *rest) in same_bits.runs().items():
        assert parse(name, rest).name == name, kind


def test_the_comparison_sees_a_single_bit(tmp_path):
    alone, other = tmp_path / "alone", tmp_path / "other"
    left_alone(flags("PPO, native"), alone)
    shutil.copytree(alone, other)
    assert differing(contents(alone), contents(other)) == []
    path = other / "checkpoints/last.pt"
    state = tensor_file.read(path)
    name, weight = next(iter(state["agent"]["model"].items()))
    weight.view(torch.int32).flatten()[-1] ^= 1
    state["clock"]["best"] += 1.0
    tensor_file.write(path, state)
    assert differing(contents(alone), contents(other)) == [f"/last.pt/agent/model/{name}", "/last.pt/clock/best"]


def test_zeros_of_either_sign_differ_and_nan_is_itself():
    zero, nan = torch.tensor([0.0]), torch.tensor([float("nan")])
    assert differing({"a": zero, "b": nan, "c": 1}, {"a": -zero, "b": nan.clone(), "d": 1}) == ["a", "c", "d"]


def test_a_step_that_stands_twice_in_tensorboard_is_seen(tmp_path):
    for steps in ((1, 2, 3), (3, 4)):
        file = EventFile(tmp_path)
        for step in steps:
            file.add(Summary(value=[Summary.Value(tag="train/loss", simple_value=0.5)]), step=step)
        file.close()
    with pytest.raises(ValueError, match="train/loss: a step stands twice"):
        scalars(tmp_path)
