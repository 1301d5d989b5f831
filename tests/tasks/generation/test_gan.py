"""The two losses against the paper's, and a small run on the ring."""

import numpy as np
import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.tasks.generation.gan import Gan
from agent_gym.tasks.generation.settings import GanConfig


def test_the_losses_are_the_paper_s():
    torch.manual_seed(0)
    gan = Gan(GanConfig(width=16, depth=2, penalty=0.0))
    tell, make = gan.model["discriminator"], gan.model["generator"]
    classes = torch.zeros(32, dtype=torch.int64)
    real, made, blur = torch.randn(3, 32, 2)
    d_real, d_made = (tell(x, classes).sigmoid() for x in (real, made))
    expected = -(d_real.log() + (1.0 - d_made).log()).mean()
    zeros = torch.zeros_like(real)
    assert torch.allclose(gan.discriminator_loss(real, made, classes, zeros, zeros)[0], expected, atol=1e-6)
    latent = torch.randn(32, gan.config.latent_size)
    expected = -tell(make(latent, classes) + blur, classes).sigmoid().log().mean()
    assert torch.allclose(gan.generator_loss(latent, classes, blur)[0], expected, atol=1e-6)


def test_the_penalty_is_the_squared_slope():
    torch.manual_seed(0)
    config = GanConfig(width=16, depth=1, penalty=2.0, noise=1e-3)
    gan = Gan(config)
    classes = torch.zeros(4000, dtype=torch.int64)
    x = torch.randn(4000, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(gan.model["discriminator"](x, classes).sum(), x)
    nudges = config.noise * torch.randn(2, 4000, 2)
    with torch.no_grad():
        whole, _ = gan.discriminator_loss(x, x, classes, *nudges)
        says = gan.model["discriminator"](x, classes)
        plain = torch.nn.functional.softplus(-says).mean() + torch.nn.functional.softplus(says).mean()
    expected = 0.5 * config.penalty * 2.0 * slope.square().sum(-1).mean()
    assert (whole - plain).item() == pytest.approx(expected.item(), rel=0.1)


def test_each_network_learns_from_its_own_loss():
    torch.manual_seed(0)
    gan = Gan(GanConfig(width=16, depth=1, total_steps=3))
    before = {name: learner.parameters.detach().clone() for name, learner in gan.learners.items()}
    stats = gan.update()
    assert {"discriminator_loss", "generator_loss", "loss"} <= set(stats)
    for name, learner in gan.learners.items():
        assert not torch.equal(before[name], learner.parameters.detach())
    made = gan.make(torch.zeros(5, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert made.shape == (5, 2) and np.isfinite(made.numpy()).all()


def test_bad_settings_are_refused():
    for flags in ({"penalty": -1.0}, {"noise": 0.0}, {"latent_size": 0}):
        with pytest.raises(UserError, match="expected"):
            GanConfig(**flags)
