"""Target networks against Stable-Baselines3's polyak update and against copies written out."""

from copy import deepcopy

import pytest
import torch
from stable_baselines3.common.utils import polyak_update
from torch import nn

from agent_gym.nets.learner.learner import Learner
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.nets.target import TargetNetwork


def make(frozen: bool = False) -> tuple[nn.Module, Learner, TargetNetwork]:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    source[0].requires_grad_(not frozen)
    learner = Learner(
        lambda x: (source(x).square().mean(), {}), source.parameters(), OptimizerSettings(learning_rate=0.1)
    )
    return source, learner, TargetNetwork(source, learner.parameters)


@pytest.mark.parametrize("tau", [0.005, 0.3, 1.0])
def test_it_follows_like_polyak_averaging(tau):
    source, learner, target = make()
    expected = deepcopy(target.module)
    for _ in range(4):
        learner.update(torch.randn(8, 3))
        target.follow(tau)
        polyak_update(source.parameters(), expected.parameters(), tau)
        for mine, theirs in zip(target.module.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-6)
    if tau == 1.0:
        for mine, parameter in zip(target.module.parameters(), source.parameters(), strict=True):
            assert torch.equal(mine, parameter)


def test_it_stays_behind_until_told_to_follow():
    source, learner, target = make()
    before = [p.clone() for p in target.module.parameters()]
    learner.update(torch.randn(8, 3))
    assert all(torch.equal(a, b) for a, b in zip(target.module.parameters(), before, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(source.parameters(), before, strict=True))


def test_it_takes_no_gradient_and_leaves_the_source_its_own():
    source, _, target = make()
    assert not any(p.requires_grad for p in target.module.parameters())
    assert all(p.requires_grad and p.grad is not None for p in source.parameters())
    storages = {p.data_ptr() for p in source.parameters()}
    assert not storages & {p.data_ptr() for p in target.module.parameters()}


def test_frozen_parameters_are_those_of_the_source_whenever_they_are_loaded():
    source, learner, target = make(frozen=True)
    saved = {name: torch.randn_like(value) for name, value in source.state_dict().items()}
    source.load_state_dict(saved)  # as when a run resumes
    target.follow(1.0)
    x = torch.randn(4, 3)
    assert torch.equal(target.module(x), source(x))
    learner.update(x)
    target.follow(0.5)
    assert torch.equal(target.module[0].weight, saved["0.weight"])
