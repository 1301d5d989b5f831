"""Gradients written out against autograd's."""

import pytest
import torch
from torch import nn

from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.learner.dense import SLOPES, DenseGradients
from agent_gym.nets.learner.learner import Learner
from agent_gym.nets.losses import LOSSES
from agent_gym.nets.settings import OptimizerSettings


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        ("mse", 3, torch.randn(20, 3)),
        ("binary_crossentropy", 1, torch.rand(20, 1).round()),
        ("sparse_categorical_crossentropy", 4, torch.arange(20) % 4),
    ],
)
@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_loss_and_gradients_are_autograds(activation, loss, outputs, target, hidden):
    torch.manual_seed(0)
    sizes = [5, *[7] * hidden, outputs]
    linear = [nn.Linear(a, b, dtype=torch.float64) for a, b in zip(sizes, sizes[1:], strict=False)]
    layers = [*((layer, activation) for layer in linear[:-1]), (linear[-1], "")]
    x = 3.0 * torch.randn(20, 5, dtype=torch.float64)
    target = target.double() if target.is_floating_point() else target
    result = x
    for layer, name in layers:
        result = get_activation(name)(layer(result)) if name else layer(result)
    expected = LOSSES[loss](result, target)
    parameters = [p for layer in linear for p in layer.parameters()]
    gradients = torch.autograd.grad(expected, parameters)
    learner = Learner(lambda x, y: None, parameters, OptimizerSettings(optimizer="sgd", learning_rate=1.0))
    before = [p.detach().clone() for p in parameters]
    learner.graph = DenseGradients(layers, loss, lambda outputs, y: {"mean": outputs.mean()})
    stats = learner.update(x, target)
    assert torch.allclose(stats["loss"], expected.detach()) and torch.allclose(stats["mean"], result.mean())
    for parameter, was, gradient in zip(parameters, before, gradients, strict=True):
        assert torch.allclose(was - parameter, gradient, atol=1e-12)


def test_what_is_not_written_out():
    layer = nn.Linear(2, 1)
    assert DenseGradients.fits([(layer, "relu"), (nn.Linear(1, 1), "")], "mse")
    assert not DenseGradients.fits(None, "mse")
    assert not DenseGradients.fits([(layer, "")], "mae")
    assert not DenseGradients.fits([(layer, "gelu"), (nn.Linear(1, 1), "")], "mse")
    layer.requires_grad_(False)
    assert not DenseGradients.fits([(layer, "")], "mse")
