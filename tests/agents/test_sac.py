"""SAC against Stable-Baselines3's own training step, its discrete form by hand, and that both learn."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_side import random_batch, same_round, take_over_actor_and_critics
from stable_baselines3 import SAC as SB3SAC
from tiny_envs import Aim, Cue, miss, score, train

from agent_gym.agents.sac import SAC
from agent_gym.agents.settings.sac import SACConfig
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError

SMALL = {"buffer_size": 100, "batch_size": 32}


@pytest.mark.parametrize(("alpha", "initial_alpha"), [(0.0, 1.0), (0.0, 0.2), (0.3, 1.0)])
def test_losses_and_updates_are_those_of_stable_baselines3(monkeypatch, alpha, initial_alpha):
    theirs = SB3SAC(
        "MlpPolicy",
        "Pendulum-v1",
        learning_rate=0.02,
        buffer_size=10,
        ent_coef=alpha or f"auto_{initial_alpha}",
        policy_kwargs={"net_arch": [32, 32], "optimizer_class": torch.optim.SGD},
        device="cpu",
        seed=0,
    )
    if not alpha:
        theirs.ent_coef_optimizer = torch.optim.SGD([theirs.log_ent_coef], lr=0.02)
    config = SACConfig(
        **SMALL,
        env="Pendulum-v1",
        hidden_sizes=(32, 32),
        optimizer="sgd",
        learning_rate=0.02,
        alpha=alpha,
        initial_alpha=initial_alpha,
    )
    ours = SAC(config, make_env("Pendulum-v1", 1))
    take_over_actor_and_critics(theirs, ours)

    for step in range(5):
        logged, stats = same_round(monkeypatch, theirs, ours, random_batch(64, step, 3))
        if not alpha:
            temperature_loss = stats["loss"].item() - stats["policy_loss"].item()
            assert temperature_loss == pytest.approx(logged["train/ent_coef_loss"], abs=1e-5)
            assert ours.log_alpha.item() == pytest.approx(theirs.log_ent_coef.item(), abs=1e-6)
    if alpha:
        assert ours.log_alpha.exp().item() == pytest.approx(alpha)
    else:
        assert abs(ours.log_alpha.exp().item() - initial_alpha) > 1e-4


# Discrete


def constant_agent(**settings) -> SAC:
    """Two critics that say (1, 2) and (3, 0), targets that say twice that, a policy of probabilities 1/4 and 3/4."""
    agent = SAC(SACConfig(**SMALL, env="CartPole-v1", **settings), make_env("CartPole-v1", 1))
    for critic, scale in ((agent.critic, 1.0), (agent.target.module, 2.0)):
        critic.heads.out.weight.data.zero_()
        critic.heads.out.bias.data.copy_(scale * torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]]]))
    agent.actor.head.linear.weight.data.zero_()
    agent.actor.head.linear.bias.data.copy_(torch.tensor([0.25, 0.75]).log())
    return agent


def test_discrete_losses_by_hand():
    agent = constant_agent(alpha=0.5)
    batch = {"obs": torch.randn(1, 2, 4), "next_obs": torch.randn(1, 2, 4), "action": torch.tensor([[0, 1]])}
    batch |= {"reward": torch.tensor([[1.0, 1.0]]), "discount": torch.tensor([[0.9, 0.0]])}
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    # The smaller value of each action is 1 and 0; of the targets' 2 and 0.
    target = [1.0 + 0.9 * (0.25 * 2.0 + 0.5 * entropy), 1.0]
    loss, stats = agent.critic_loss(batch)
    first, second = (1.0 - target[0], 3.0 - target[0]), (2.0 - target[1], 0.0 - target[1])
    torch.testing.assert_close(stats["td_error"][:, 0], torch.tensor([first, second]).t().contiguous())
    squares = sum(e * e for e in (*first, *second))
    assert loss.item() == pytest.approx(0.5 * squares / 2)
    assert stats["q_mean"].item() == pytest.approx((1 + 3 + 2 + 0) / 4)
    loss, stats = agent.actor_loss(batch)
    assert stats["policy_loss"].item() == pytest.approx(-(0.25 * 1.0 + 0.5 * entropy))
    assert stats["entropy"].item() == pytest.approx(entropy)


def test_discrete_gradients_by_hand():
    agent = constant_agent(target_entropy=0.4)
    agent.log_alpha.data.fill_(math.log(0.5))
    batch = {"obs": torch.randn(1, 3, 4), "next_obs": torch.randn(1, 3, 4), "action": torch.zeros(1, 3).long()}
    batch |= {"reward": torch.ones(1, 3), "discount": torch.ones(1, 3)}
    loss, _ = agent.actor_loss(batch)
    bias, log_alpha = torch.autograd.grad(loss, [agent.actor.head.linear.bias, agent.log_alpha])
    # d/dz_i of Σ p (α log p - q) is p_i (f_i - Σ p f), f = α log p - q.
    p, q = np.array([0.25, 0.75]), np.array([1.0, 0.0])
    f = 0.5 * np.log(p) - q
    np.testing.assert_allclose(bias, p * (f - (p * f).sum()), atol=1e-6)
    # The temperature falls where the entropy is above its aim.
    assert log_alpha.item() == pytest.approx(-(p * np.log(p)).sum() - 0.4, abs=1e-6)


def test_target_entropies():
    assert SAC(SACConfig(**SMALL, env="Pendulum-v1"), make_env("Pendulum-v1", 1)).target_entropy == -1.0
    discrete = SAC(SACConfig(**SMALL, env="CartPole-v1"), make_env("CartPole-v1", 1)).target_entropy
    assert 0.0 < discrete < math.log(2)
    assert constant_agent(target_entropy=0.3).target_entropy == 0.3


def test_targets_move_by_tau_after_every_update():
    agent = SAC(SACConfig(**SMALL, env="Pendulum-v1", tau=0.25), make_env("Pendulum-v1", 1))
    before = agent.target.vector.clone()
    agent.learn(random_batch(16, 0, 3))
    expected = 0.75 * before + 0.25 * agent.learners["critic"].parameters.detach()
    torch.testing.assert_close(agent.target.vector, expected)


def test_multi_discrete_actions_are_refused():
    class Odd(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1.0, 1.0, (2,)), spaces.MultiDiscrete([2, 3])

    with pytest.raises(UserError, match="sac cannot act in MultiDiscrete"):
        SAC(SACConfig(**SMALL), SyncEnv([Odd()], "Odd-v0"))


@torch.no_grad()
def test_the_memories_of_actor_and_critics_are_those_of_the_whole_episode():
    flags = {"env": "Pendulum-v1", "encoder": "gru", "recurrent_size": 5, "learning_starts": 100, "buffer_size": 500}
    agent = SAC(SACConfig(**flags, num_envs=2, hidden_sizes=(8,), seed=2), make_env("Pendulum-v1", 2))
    agent.begin()
    obs = []
    for _ in range(12):
        obs.append(agent.obs)
        agent.collect()
        agent.update()
    steps = torch.stack(obs), torch.zeros(2, 5), torch.zeros(12, 2, dtype=torch.bool)
    mine, critics = (encoder(*steps)[1] for encoder in (agent.actor.encoder, agent.critic.encoder))
    torch.testing.assert_close(agent.state, torch.cat((mine, critics), dim=1))
    # A spectator of a game that is only played sees values with memory too.
    state, reset = agent.policy.initial_state(2), torch.ones(2, dtype=torch.bool)
    for x in obs:
        value = agent.policy.inspect(x, state, reset)["value"]
        _, state, _ = agent.policy.act(x, state, reset, explore=False)
        reset = torch.zeros(2, dtype=torch.bool)
    policy = agent.actor(*steps)[0]
    expected = agent.critic(agent.critic.encoder(*steps)[0], policy.mode()).amin(0)[-1]
    torch.testing.assert_close(value, expected)


# Learning


def test_it_learns_to_aim():
    config = SACConfig(
        total_steps=1200,
        num_envs=4,
        learning_starts=200,
        hidden_sizes=(32, 32),
        batch_size=64,
        buffer_size=2000,
        learning_rate=3e-3,
        utd=0.5,
        seed=1,
    )
    torch.manual_seed(0)
    agent = SAC(config, SyncEnv([Aim() for _ in range(4)]))
    train(agent, 1200)
    assert miss(agent) < 0.6


@pytest.mark.parametrize("space", [spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,))], ids=["discrete", "continuous"])
@pytest.mark.parametrize("encoder, low, high", [("gru", 0.9, 1.0), ("mlp", 0.2, 0.8)])
def test_memory_answers_what_an_mlp_must_guess(space, encoder, low, high):
    config = SACConfig(
        total_steps=1600,
        num_envs=8,
        learning_starts=400,
        encoder=encoder,
        hidden_sizes=(16,),
        recurrent_size=16,
        batch_size=32,
        sequence_length=8,
        burn_in=2,
        learning_rate=5e-3,
        alpha=0.02,
        utd=0.15,
        tau=0.1,
        seed=1,
    )
    torch.manual_seed(0)
    agent = SAC(config, SyncEnv([Cue(space) for _ in range(8)]))
    train(agent, 1600)
    assert low <= score(agent, lambda: Cue(space), 50) <= high
