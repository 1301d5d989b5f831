"""The optimizer core against torch.optim on separate parameters, schedules, clipping, NaNs, and replayed graphs."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from agent_gym.nets.learner import graphs
from agent_gym.nets.learner.learner import Learner, NonFiniteError
from agent_gym.nets.learner.optimizers import OPTIMIZERS
from agent_gym.nets.settings import OptimizerSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def trace_at_once(monkeypatch):
    monkeypatch.setattr(graphs, "PATIENCE", 0)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def squared_error(model: nn.Module):
    def loss_fn(batch: dict, target: torch.Tensor):
        error = (model(batch["x"]) - target).square().mean()
        return error, {"error": error.detach()}

    return loss_fn


def data(count: int = 6):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield {"x": torch.randn(4, 3, generator=generator)}, torch.randn(4, 2, generator=generator)


REFERENCE = {
    "sgd": lambda p, lr, wd: torch.optim.SGD(p, lr, weight_decay=wd),
    "momentum": lambda p, lr, wd: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=wd),
    "rmsprop": lambda p, lr, wd: torch.optim.RMSprop(p, lr, weight_decay=wd),
    "adam": lambda p, lr, wd: torch.optim.Adam(p, lr, weight_decay=wd),
    "adamw": lambda p, lr, wd: torch.optim.AdamW(p, lr, weight_decay=wd),
}


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("name", REFERENCE)
def test_agrees_with_torch_optim(name, capture):
    ours, theirs = network(), network()
    config = OptimizerSettings(optimizer=name, learning_rate=0.05, max_grad_norm=0.3, weight_decay=0.01)
    learner = Learner(squared_error(ours), ours.parameters(), config, capture=capture)
    optimizer = REFERENCE[name](theirs.parameters(), 0.05, 0.01)
    for batch, target in data():
        stats = learner.update(batch, target)
        optimizer.zero_grad()
        loss, _ = squared_error(theirs)(batch, target)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(theirs.parameters(), 0.3)
        optimizer.step()
        torch.testing.assert_close(stats["loss"], loss.detach())
        torch.testing.assert_close(stats["grad_norm"], norm)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", REFERENCE)
def test_update_rules_are_torchs_bit_for_bit_and_resume_so(name):
    """One vector, no clipping; after half the steps the state moves to another optimizer."""
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 37)) for _ in range(2))
    config = OptimizerSettings(optimizer=name, learning_rate=0.05, weight_decay=0.01)
    fused = {"fused": True} if name.startswith("adam") else {}
    optimizer, reference = OPTIMIZERS[name](ours, config), REFERENCE[name]([theirs], 0.05, 0.01)
    reference.param_groups[0].update(fused)
    generator = torch.Generator().manual_seed(0)
    for step in range(8):
        ours.grad = torch.randn(37, generator=generator)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        reference.step()
        assert torch.equal(ours, theirs)
        if step == 4:
            stored, optimizer = copy.deepcopy(optimizer.state_dict()), OPTIMIZERS[name](ours, config)
            optimizer.load_state_dict(stored)


@pytest.mark.parametrize("spoil", [torch.ones(4), torch.full((3,), torch.nan), "x", None])
def test_an_optimizers_state_of_other_weights_is_refused(spoil):
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.ones(3)
    optimizer = OPTIMIZERS["adam"](weight, OptimizerSettings())
    optimizer.step()
    stored = optimizer.state_dict()
    stored["state"]["exp_avg"] = spoil
    with pytest.raises(TypeError):
        OPTIMIZERS["adam"](weight, OptimizerSettings()).load_state_dict(stored)
    with pytest.raises(TypeError):
        optimizer.load_state_dict({"learning_rate": float("nan"), "state": {}})


def test_a_replayed_graph_gives_the_same_bits_and_follows_what_is_written_in_place():
    losses = {}
    for capture in (False, True):
        model, scale = network(), torch.tensor(1.0)

        def loss_fn(batch, target, model=model, scale=scale):
            return scale * (model(batch["x"]) - target).abs().mean(), {}

        learner = Learner(loss_fn, model.parameters(), OptimizerSettings(learning_rate=0.1), capture=capture)
        losses[capture] = []
        for step, (batch, target) in enumerate(data(8)):
            scale.fill_(1.0 / (1 + step))
            losses[capture].append(learner.update(batch, target)["loss"].item())
    assert losses[True] == losses[False]


def test_a_loss_that_branches_on_data_is_not_replayed():
    model = network()

    def loss_fn(batch, target):
        output = model(batch["x"])
        return (output.mean() if batch["x"].sum() > 0 else output.square().mean()), {}

    batches = list(data(8))
    assert len({bool(b["x"].sum() > 0) for b, _ in batches[:2]}) == 2  # both branches within the trials
    learner = Learner(loss_fn, model.parameters(), OptimizerSettings(learning_rate=0.01), capture=True)
    for batch, target in batches:
        expected = loss_fn(batch, target)[0].item()
        assert learner.update(batch, target)["loss"].item() == expected


@pytest.mark.parametrize("capture", [False, True])
def test_frozen_and_unused_parameters_stay(capture):
    model, unused = network(), nn.Linear(2, 2)
    model[0].requires_grad_(False)
    before = [p.clone() for p in (*model[0].parameters(), *unused.parameters())]
    parameters = [*model.parameters(), *unused.parameters()]
    learner = Learner(squared_error(model), parameters, OptimizerSettings(learning_rate=0.1), capture=capture)
    first = model[2].weight.clone()
    for batch, target in data():
        learner.update(batch, target)
    for a, b in zip(before, (*model[0].parameters(), *unused.parameters()), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first, model[2].weight)


@pytest.mark.parametrize("schedule, halfway, end", [("constant", 1.0, 1.0), ("linear", 0.5, 0.0), ("cosine", 0.5, 0.0)])
def test_schedules(schedule, halfway, end):
    model = network()
    config = OptimizerSettings(learning_rate=0.2, schedule=schedule)
    learner = Learner(squared_error(model), model.parameters(), config)
    for fraction, expected in ((0.0, 1.0), (0.5, halfway), (1.0, end)):
        learner.set_progress(fraction)
        assert learner.learning_rate == pytest.approx(0.2 * expected)


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_batches_leave_the_parameters(value, capture):
    model = network()
    learner = Learner(squared_error(model), model.parameters(), OptimizerSettings(learning_rate=0.1), capture=capture)
    for batch, target in data(4):
        learner.update(batch, target)
    before = learner.parameters.detach().clone()
    batch, target = next(data(1))
    with pytest.raises(NonFiniteError, match="not finite"):
        learner.update(batch, torch.full_like(target, value))
    assert torch.equal(learner.parameters.detach(), before)


def test_state_goes_on_exactly():
    config = OptimizerSettings(learning_rate=0.05)
    first, second = network(0), network(1)
    one = Learner(squared_error(first), first.parameters(), config)
    for batch, target in data(3):
        one.update(batch, target)
    two = Learner(squared_error(second), second.parameters(), config)
    second.load_state_dict(first.state_dict())
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    for batch, target in data(3):
        one.update(batch, target)
        two.update(batch, target)
    assert torch.equal(one.parameters, two.parameters)
