"""Heads: distributions by action space, and the way back to the environment's actions."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Bernoulli, Categorical, DiagGaussian, MultiCategorical
from agent_gym.nets.heads import (
    DeterministicHead,
    GaussianHead,
    LinearHead,
    SquashedGaussianHead,
    StateDependentHead,
    ValueHead,
    make_policy_head,
)

SPACES = [
    (spaces.Discrete(3, start=2), Categorical),
    (spaces.MultiDiscrete([2, 5, 3]), MultiCategorical),
    (spaces.MultiDiscrete([[2, 3], [4, 2]]), MultiCategorical),
    (spaces.MultiBinary(4), Bernoulli),
    (spaces.MultiBinary((2, 3)), Bernoulli),
    (spaces.Box(-2.0, 3.0, (2,)), DiagGaussian),
    (spaces.Box(-1.0, 1.0, (2, 3)), DiagGaussian),
]


@pytest.mark.parametrize("space, kind", SPACES, ids=str)
def test_sampled_actions_are_in_the_space(space, kind):
    head = make_policy_head(space, 8)
    distribution = head(torch.randn(2, 30, 8))
    assert isinstance(distribution, kind)
    action = distribution.sample(torch.Generator().manual_seed(0))
    assert distribution.log_prob(action).shape == distribution.entropy().shape == (2, 30)
    start = getattr(space, "start", 0)
    for sample in head.to_env(action[0]):
        assert space.contains(np.asarray(sample.numpy() + start, dtype=space.dtype)[()])


def test_box_actions_are_clipped_to_one_and_rescaled_by_dimension():
    space = spaces.Box(np.array([-2.0, 0.0, -np.inf, 0.0]), np.array([4.0, 10.0, np.inf, np.inf]), dtype=np.float64)
    head = make_policy_head(space, 8)
    action = torch.tensor([[-3.0, 0.0, -7.0, -100.0], [0.5, 1.0, 7.0, 0.0]])
    expected = torch.tensor([[-2.0, 5.0, -7.0, 0.0], [2.5, 10.0, 7.0, 1.0]])
    torch.testing.assert_close(head.to_env(action), expected)


def test_first_policy_is_nearly_uniform_and_value_has_unit_gain():
    torch.manual_seed(0)
    logits = make_policy_head(spaces.Discrete(4), 64)(torch.randn(1, 100, 64)).logits
    assert logits.abs().max() < 0.1
    value = ValueHead(64)
    torch.testing.assert_close(value.linear.weight.norm(), torch.tensor(1.0))
    assert value(torch.randn(3, 5, 64)).shape == (3, 5)
    assert LinearHead(64, 7)(torch.randn(3, 5, 64)).shape == (3, 5, 7)


def test_log_std_init_sets_the_deviation():
    head = make_policy_head(spaces.Box(-1, 1, (2,)), 8, log_std_init=-1.5)
    torch.testing.assert_close(
        head(torch.randn(1, 1, 8)).log_std.exp(), torch.full((2,), np.exp(-1.5), dtype=torch.float32)
    )


def test_squashed_head_reaches_the_bounds_and_no_further():
    head = SquashedGaussianHead(spaces.Box(-2.0, 2.0, (1,)), 4)
    action, log_prob = head(1e3 * torch.randn(1, 500, 4)).rsample_with_log_prob()
    assert torch.isfinite(log_prob).all()
    played = head.to_env(action[0])
    assert played.min() >= -2.0 and played.max() <= 2.0 and played.abs().max() > 1.99


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(3),
        spaces.Dict(a=spaces.Discrete(2)),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.Box(0, 9, (2,), np.int64),
    ],
    ids=str,
)
def test_unsupported_action_spaces_are_named(space):
    with pytest.raises(UserError, match="action space .* not supported") as error:
        make_policy_head(space, 8)
    assert str(space) in str(error.value) and "\n" not in str(error.value)


FLOAT_MAX = np.finfo(np.float32).max
MIXED = spaces.Box(
    np.array([-2.0, 10.0, -np.inf, -np.inf, -FLOAT_MAX, -1e10, 0.0, -1e30], np.float32),
    np.array([4.0, np.inf, -10.0, np.inf, FLOAT_MAX, 1e10, FLOAT_MAX, 5.0], np.float32),
)
HEADS = [GaussianHead, StateDependentHead, SquashedGaussianHead, DeterministicHead]


@pytest.mark.parametrize("make", HEADS)
def test_bounds_of_every_kind_in_one_box(make):
    head = make(MIXED, 4)
    middle = head.to_env(torch.zeros(1, 8))[0]
    torch.testing.assert_close(middle, torch.tensor([1.0, 11.0, -11.0, 0.0, 0.0, 0.0, 1.0, 4.0]))
    ends = head.to_env(torch.tensor([[-1.0] * 8, [1.0] * 8]))
    torch.testing.assert_close(ends[:, 5], torch.tensor([-1e10, 1e10]))
    wild = torch.cat((ends, head.to_env(1e4 * torch.randn(500, 8, generator=torch.Generator().manual_seed(0)))))
    assert torch.isfinite(wild).all()
    assert all(MIXED.contains(row.numpy()) for row in wild)
    steps = head.to_env(torch.linspace(-0.9, 0.9, 50)[:, None].expand(50, 8)).double()
    change = steps[1:] - steps[:-1]
    rises = torch.tensor([1, 1, -1, 1, 1, 1, 1, -1])
    assert (change * rises > 0).all()  # nowhere flat: every dimension can be learned


@pytest.mark.parametrize("make", HEADS)
def test_slope_is_the_derivative_of_the_way_to_the_environment(make):
    head = make(MIXED, 4).double()
    action = torch.rand(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    action.requires_grad_()
    (derivative,) = torch.autograd.grad(head.to_env(action).sum(), action)
    torch.testing.assert_close(head.slope(action.detach()), derivative.abs())


def test_a_half_bounded_gaussian_has_no_upper_limit():
    head = GaussianHead(spaces.Box(10.0, np.inf, (1,)), 4)
    torch.testing.assert_close(head.to_env(torch.tensor([[500.0]])), torch.tensor([[510.5413]]))
