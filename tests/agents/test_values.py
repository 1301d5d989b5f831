"""Forms of action values and noisy weights, by hand and against the plain form."""

import math

import pytest
import torch
from gymnasium import spaces
from sb3_side import random_batch

from agent_gym.agents.dqn import DQN
from agent_gym.agents.off_policy.q_policy import QPolicy
from agent_gym.agents.settings.dqn import DQNConfig
from agent_gym.agents.settings.pqn import PQNConfig
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import check_effects
from agent_gym.nets.layers.noisy import NoisyLinear
from agent_gym.nets.losses import quantile_huber
from agent_gym.nets.values.atoms import Atoms
from agent_gym.nets.values.implicit import ImplicitQuantiles

SMALL = {"buffer_size": 100, "hidden_sizes": (16,), "batch_size": 8}


def make(env_id: str = "CartPole-v1", **settings) -> DQN:
    return DQN(DQNConfig(**SMALL | settings), make_env(env_id, 1))


def test_chances_are_projected_as_the_paper_says():
    atoms = Atoms(5, -2.0, 2.0)  # -2 -1 0 1 2
    probs = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4])
    # 0.5 + 0.75 z: -1, -0.25, 0.5, 1.25, 2.
    expected = [0.0, 0.1 + 0.2 * 0.25, 0.2 * 0.75 + 0.3 * 0.5, 0.3 * 0.5, 0.4]
    projected = atoms.projected(probs, torch.tensor(0.5), torch.tensor(0.75))
    assert projected.tolist() == pytest.approx(expected, abs=1e-6)
    # An end leaves the reward alone; what lies outside counts as the nearest value.
    assert atoms.projected(probs, torch.tensor(1.5), torch.tensor(0.0)).tolist() == pytest.approx([0, 0, 0, 0.5, 0.5])
    assert atoms.projected(probs, torch.tensor(9.0), torch.tensor(1.0)).tolist() == pytest.approx([0, 0, 0, 0, 1])


def test_the_loss_of_chances_by_hand():
    atoms = Atoms(3, 0.0, 2.0)
    chosen = torch.tensor([[0.0, math.log(2.0), 0.0]], requires_grad=True)  # 1/4, 1/2, 1/4
    following = torch.tensor([[0.0, 0.0, -1e9]])  # 1/2 each for 0 and 1
    loss, q, target = atoms.loss(chosen, following, torch.tensor([0.5]), torch.tensor([1.0]))
    # Moved to 0.5 and 1.5: 1/4, 1/2, 1/4.
    assert loss.item() == pytest.approx(0.5 * math.log(4) + 0.5 * math.log(2))
    assert q.item() == pytest.approx(1.0) and target.item() == pytest.approx(1.0)
    (gradient,) = torch.autograd.grad(loss.sum(), chosen)
    assert gradient.abs().max() < 1e-6  # they are the same
    assert atoms.mean(following).item() == pytest.approx(0.5)


def test_quantiles_at_any_level_by_hand():
    form = ImplicitQuantiles(2, in_dim=3)
    level, features = torch.rand(1, 4, 5), torch.randn(1, 4, 3)
    waves = torch.stack([torch.cos(math.pi * i * level) for i in range(64)], dim=-1)
    embedded = torch.relu(waves @ form.embedding.weight.t() + form.embedding.bias)
    expected = torch.stack([features * embedded[:, :, i] for i in range(5)], dim=2)
    torch.testing.assert_close(form.lifted(features, level), expected, atol=1e-5, rtol=1e-5)
    even = form.lifted(features, torch.tensor([0.25, 0.75]).expand(1, 4, 2))
    torch.testing.assert_close(form.lifted(features, None), even)
    # Errors 1 and -3 of estimates at levels 0.1 and 0.6.
    loss = quantile_huber(torch.tensor([0.0, 4.0]), torch.tensor([1.0]), torch.tensor([0.1, 0.6]))
    assert loss.item() == pytest.approx(0.1 * 0.5 + 0.4 * 2.5)


def test_implicit_values_are_those_of_their_levels():
    agent = make(quantiles=3, implicit=True)
    network, features = agent.network, torch.randn(2, 4, 16)
    level = torch.rand(2, 4, 7)
    values = network.values(features, level=level)
    assert values.shape == (2, 4, 2, 7) and network.values(features).shape == (2, 4, 2, 3)
    torch.testing.assert_close(values[..., 5:6], network.values(features, level=level[..., 5:6]))
    torch.testing.assert_close(network.mean(features), network.values(features).mean(-1))


def test_noise_on_weights_by_hand():
    torch.manual_seed(0)
    layer, x = NoisyLinear(3, 2), torch.randn(5, 3)
    noise = torch.tensor([4.0, -9.0, 1.0, 16.0, -0.25])
    a, b = torch.tensor([2.0, -3.0, 1.0]), torch.tensor([4.0, -0.5])
    weight = layer.weight + layer.weight_std * torch.outer(b, a)
    torch.testing.assert_close(layer(x, noise), x @ weight.t() + layer.bias + layer.bias_std * b)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.weight_std.unique().item() == pytest.approx(0.5 / math.sqrt(3))


def test_noisy_agents_explore_by_noise_alone():
    agent = make(noisy=True, quantiles=3)
    assert agent.epsilon == 0.0
    obs, none, start = torch.randn(200, 4), torch.zeros(200, 0), torch.ones(200, dtype=torch.bool)
    still = agent.policy.act(obs, none, start)[0]
    assert torch.equal(still, agent.policy.act(obs, none, start)[0])
    drawn = [agent.policy.act(obs, none, start, explore=True, generator=agent.generator)[0] for _ in range(8)]
    assert any(not torch.equal(action, still) for action in drawn)
    # Each pass of an update has noise of its own, and the deviations learn.
    assert agent.drawn(random_batch(8, 0, 4, 2))["noise"].shape == (3, 16 + 9)
    before = agent.network.head.weight_std.clone()
    agent.learn(random_batch(8, 0, 4, 2))
    assert not torch.equal(before, agent.network.head.weight_std)


FORMS = {
    "c51": {"atoms": 11, "value_range": (0.0, 5.0)},
    "iqn": {"quantiles": 4, "implicit": True},
    "noisy": {"noisy": True, "td_loss": "mse"},
    "rainbow": {"noisy": True, "atoms": 11, "value_range": (0.0, 5.0), "prioritized": True, "n_step": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_values_of_a_bandit_are_learned(form):
    agent = make(**FORMS[form] | {"double": True, "learning_rate": 0.02, "prioritized": False})
    gen = torch.Generator().manual_seed(0)
    for _ in range(150):
        action = torch.randint(2, (1, 32), generator=gen)
        obs = torch.zeros(1, 32, 4)
        batch = {"obs": obs, "next_obs": obs, "action": action, "discount": torch.zeros(1, 32)}
        # One action brings 1 or 3, the other 1.
        luck = torch.rand(1, 32, generator=gen) < 0.5
        agent.learn(batch | {"reward": torch.where((action == 1) & luck, 3.0, 1.0)})
    q = agent.network.mean(agent.network.encoder(obs[:, :1], torch.zeros(1, 0), torch.zeros(1, 1))[0])
    assert q.flatten().tolist() == pytest.approx([1.0, 2.0], abs=0.35)


def test_what_does_not_go_together_is_told():
    with pytest.raises(UserError, match="--quantiles 5 and --atoms 11 are two forms"):
        DQNConfig(quantiles=5, atoms=11)
    with pytest.raises(UserError, match="--atoms 1 leaves no choice"):
        DQNConfig(atoms=1)
    with pytest.raises(UserError, match="--value-range 3 3: expected the smaller number first"):
        DQNConfig(atoms=5, value_range=(3.0, 3.0))
    with pytest.raises(UserError, match="--noisy is for exploring, and --conservative"):
        DQNConfig(noisy=True, conservative=1.0)
    with pytest.raises(UserError, match="--implicit has no effect with --quantiles 0"):
        check_effects(DQNConfig(implicit=True), {"implicit"})
    with pytest.raises(UserError, match="--exploration-final has no effect with --noisy True"):
        check_effects(DQNConfig(noisy=True, exploration_final=0.1), {"exploration_final"})
    check_effects(PQNConfig(exploration_final=0.1), {"exploration_final"})
    with pytest.raises(UserError, match="--atoms is for Discrete actions, not for MultiDiscrete"):
        QPolicy(spaces.Box(-1.0, 1.0, (2,)), spaces.MultiDiscrete([2, 3]), DQNConfig(atoms=5))


def test_masks_and_memory_go_with_noise_and_chances():
    """AgentGym/FollowSuit ends an episode by a forbidden action, and by nothing else before its 32 steps."""
    settings = {"num_envs": 4, "train_every": 4, "learning_starts": 100, "buffer_size": 1000, "sequence_length": 4}
    settings |= {"encoder": "lstm", "burn_in": 2, "noisy": True, "atoms": 5, "hidden_sizes": (8,), "recurrent_size": 8}
    agent = DQN(DQNConfig(**settings), make_env("AgentGym/FollowSuit-v0", 4))
    agent.begin()
    while agent.steps < 400:
        agent.collect()
        agent.update()
    assert agent.window.shape[1] and (agent.window[1] == 32).all()
