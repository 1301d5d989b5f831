"""Distributions against torch.distributions and against the frequencies of their samples."""

import pytest
import torch
from torch import Tensor
from torch import distributions as reference

from agent_gym.nets.distributions import Bernoulli, Categorical, DiagGaussian, MultiCategorical, SquashedGaussian


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(1), dtype=torch.float64)


def test_categorical_agrees_with_torch():
    logits = randn(3, 4, 6)
    ours, theirs = Categorical(logits), reference.Categorical(logits=logits)
    action = ours.sample(generator())
    assert action.shape == (3, 4) and action.dtype == torch.int64
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.probs, theirs.probs)
    assert torch.equal(ours.mode(), theirs.probs.argmax(-1))


def test_multi_categorical_is_independent_categoricals_without_their_padding():
    logits, sizes = randn(3, 4, 2, 5), (5, 3)
    logits[..., 1, 3:] = -1e9
    ours = MultiCategorical(logits, torch.arange(10))
    parts = [reference.Categorical(logits=logits[..., i, :size]) for i, size in enumerate(sizes)]
    action = ours.sample(generator())
    expected = sum(part.log_prob(action[..., i]) for i, part in enumerate(parts))
    torch.testing.assert_close(ours.log_prob(action), expected)
    torch.testing.assert_close(ours.entropy(), sum(part.entropy() for part in parts))
    many = MultiCategorical(logits[:1, :1].expand(2000, 1, 2, 5), torch.arange(10)).sample(generator())
    assert many[..., 1].max() == 2 and many[..., 0].max() == 4


def test_bernoulli_agrees_with_torch():
    logits = 3.0 * randn(3, 4, 6)
    ours, theirs = Bernoulli(logits), reference.Bernoulli(logits=logits)
    action = ours.sample(generator())
    assert action.shape == (3, 4, 6) and action.dtype == torch.int64
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action.double()).sum(-1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(-1))
    assert torch.equal(ours.mode(), (theirs.probs > 0.5).long())


@pytest.mark.parametrize("log_std_shape", [(6,), (3, 4, 6)])
def test_diag_gaussian_agrees_with_torch(log_std_shape):
    mean, log_std = randn(3, 4, 6), 0.5 * randn(*log_std_shape)
    ours = DiagGaussian(mean, log_std)
    theirs = reference.Independent(reference.Normal(mean, log_std.exp().expand_as(mean)), 1)
    action = ours.sample(generator())
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), mean)


def test_squashed_gaussian_agrees_with_torch_and_stays_finite():
    mean, log_std = randn(3, 4, 2), 0.3 * randn(3, 4, 2)
    ours = SquashedGaussian(mean, log_std)
    normal = reference.Normal(mean, log_std.exp())
    theirs = reference.Independent(reference.TransformedDistribution(normal, reference.TanhTransform(cache_size=1)), 1)
    action, log_prob = ours.rsample_with_log_prob(generator())
    assert torch.equal(action, ours.sample(generator()))
    torch.testing.assert_close(log_prob, theirs.log_prob(action))
    torch.testing.assert_close(ours.log_prob(action), log_prob)
    far = SquashedGaussian(torch.full((1, 1, 2), 50.0), torch.zeros(1, 1, 2))
    assert torch.isfinite(far.rsample_with_log_prob(generator())[1]).all()
    assert torch.isfinite(far.log_prob(torch.ones(1, 1, 2))).all()


def two_choices(logits: Tensor) -> MultiCategorical:
    return MultiCategorical(logits, torch.arange(8))


@pytest.mark.parametrize("kind", [Categorical, two_choices, Bernoulli, DiagGaussian, SquashedGaussian])
def test_gradients_equal_finite_differences(kind):
    shape = (2, 3, 2, 4) if kind is two_choices else (2, 3, 4)
    parameters = [randn(*shape).requires_grad_()]
    if kind in (DiagGaussian, SquashedGaussian):
        parameters.append((0.3 * randn(*shape)).requires_grad_())
    action = kind(*parameters).sample(generator())

    def values(*parameters: Tensor) -> tuple[Tensor, ...]:
        distribution = kind(*parameters)
        if kind is SquashedGaussian:
            return distribution.log_prob(action), *distribution.rsample_with_log_prob(generator())
        return distribution.log_prob(action), distribution.entropy()

    assert torch.autograd.gradcheck(values, parameters)


def test_samples_have_the_frequencies_of_the_distribution():
    n = 40_000
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    logits = probs.log().clamp(min=-1e9).expand(1, n, 5)
    drawn = Categorical(logits).sample(generator())
    torch.testing.assert_close(drawn.flatten().bincount(minlength=5) / n, probs, atol=0.01, rtol=0)
    bits = Bernoulli(probs[:4].logit().expand(1, n, 4)).sample(generator())
    torch.testing.assert_close(bits.float().mean((0, 1)), probs[:4], atol=0.01, rtol=0)
    normal = DiagGaussian(torch.tensor([1.0, -2.0]).expand(1, n, 2), torch.tensor([0.0, 0.7])).sample(generator())
    torch.testing.assert_close(normal.mean((0, 1)), torch.tensor([1.0, -2.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(normal.std((0, 1)), torch.tensor([0.0, 0.7]).exp(), atol=0.05, rtol=0)


def test_a_sample_repeats_with_the_generator_alone():
    for distribution in (
        Categorical(randn(1, 50, 4)),
        Bernoulli(randn(1, 50, 4)),
        DiagGaussian(randn(1, 50, 4), randn(4)),
    ):
        first = distribution.sample(generator(3))
        torch.manual_seed(11)
        assert torch.equal(first, distribution.sample(generator(3)))
        assert not torch.equal(first, distribution.sample(generator(4)))
