"""Statistics of single layers against autograd and counts by hand."""

import pytest
import torch
from torch import nn

from agent_gym.nets.encoders.mlp import MLP
from agent_gym.nets.layers.ensemble import EnsembleMLP
from agent_gym.nets.learner.layers import layer_gradients, still_units, unit_counts
from agent_gym.nets.learner.learner import Learner
from agent_gym.nets.settings import OptimizerSettings


def learner_of(model, capture=False):
    def loss(x):
        value = model(x).square().mean()
        return value, {"size": value.detach()}

    return Learner(loss, model.parameters(), OptimizerSettings(learning_rate=0.01, max_grad_norm=1e-3), capture=capture)


def test_norms_are_those_of_autograd_before_clipping():
    torch.manual_seed(0)
    model, x = MLP(3, (8, 4), "tanh"), torch.randn(16, 3)
    expected = torch.autograd.grad(model(x).square().mean(), list(model.parameters()))
    learner = learner_of(model)
    learner.watch_layers(model)
    stats = learner.update(x)
    for name, (weight, bias) in {"0": expected[:2], "1": expected[2:]}.items():
        norm = torch.cat((weight.flatten(), bias)).norm()
        assert stats[f"grad_norm/{name}"].item() == pytest.approx(norm.item(), rel=1e-5)


def test_dead_units_are_counted_by_hand():
    model = MLP(2, (4,), "relu")
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([-100.0, 0.0, 100.0, -100.0]))
    learner = learner_of(model)
    learner.watch_layers(model)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    assert learner.update(x)["dead_units/0"].item() == 0.5
    y = torch.tensor([[1.0, 0.0, -1.0], [1.0, 0.5, 0.3]])
    from agent_gym.nets.layers.activations import tanh

    assert still_units(y, tanh).item() == pytest.approx(1 / 3)  # saturated on both rows
    assert still_units(y.abs(), torch.sigmoid).item() == pytest.approx(1 / 3)


def test_convolutions_and_ensembles_have_names_and_channels():
    convs = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        convs[0].bias.copy_(torch.tensor([-50.0, 50.0, 50.0, 50.0]))
    learner = learner_of(convs)
    learner.watch_layers(convs)
    stats = learner.update(torch.randn(8, 1, 6, 6))
    assert stats["dead_units/0"].item() == 0.25 and "grad_norm/0" in stats
    for layer_norm, name in ((False, "hidden.0"), (True, "hidden.0.0")):
        twins = EnsembleMLP(2, 3, (8,), 1, "relu", layer_norm)
        learner = learner_of(twins)
        learner.watch_layers(twins)
        stats = learner.update(torch.randn(16, 3))
        assert {f"dead_units/{name}", f"grad_norm/{name}", "grad_norm/out"} <= set(stats)


def test_units_of_each_network_of_an_ensemble_count():
    twins = EnsembleMLP(2, 3, (4,), 1, "relu")
    with torch.no_grad():
        twins.hidden[0].bias[0].fill_(-100.0)  # the first network is dead, the second is not
        twins.hidden[0].bias[1].fill_(100.0)
    x = torch.randn(16, 3)
    assert unit_counts(twins, lambda: twins(x)) == ({"hidden.0": 0.5}, {"hidden.0": 0.5})
    assert set(layer_gradients(twins, lambda: twins(x))) == {"hidden.0", "out"}


def test_watching_changes_no_bit():
    x, after = torch.randn(16, 3), []
    for watched in (False, True):
        torch.manual_seed(0)
        model = MLP(3, (8, 4), "relu")
        learner = learner_of(model, capture=True)
        if watched:
            learner.watch_layers(model)
        for _ in range(520):  # beyond the updates after which a graph takes over
            learner.update(x)
        after.append(learner.parameters.detach().clone())
    assert torch.equal(*after)
