"""TD3 against Stable-Baselines3's own training step, DDPG as a case of it, and that it learns."""

from dataclasses import fields

import pytest
import torch
from sb3_side import check_same, copy, critic_weights, disturb, our_critic_weights, random_batch, train_once
from stable_baselines3 import DDPG as SB3DDPG
from stable_baselines3 import TD3 as SB3TD3
from tiny_envs import Aim, miss, train

from agent_gym.agents.settings.td3 import DDPGConfig, TD3Config
from agent_gym.agents.td3 import TD3
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env

SMALL = {"buffer_size": 100, "batch_size": 32}


@pytest.mark.parametrize("name", ["td3", "ddpg"])
def test_losses_and_updates_are_those_of_stable_baselines3(monkeypatch, name):
    algorithm, config = {"td3": (SB3TD3, TD3Config), "ddpg": (SB3DDPG, DDPGConfig)}[name]
    theirs = algorithm(
        "MlpPolicy",
        "Pendulum-v1",
        learning_rate=0.02,
        buffer_size=10,
        policy_kwargs={"net_arch": [32, 32], "optimizer_class": torch.optim.SGD},
        device="cpu",
        seed=0,
    )
    flags = {"env": "Pendulum-v1", "hidden_sizes": (32, 32), "optimizer": "sgd", "learning_rate": 0.02}
    ours = TD3(config(**SMALL, **flags), make_env("Pendulum-v1", 1))
    assert ours.critic.heads.num == len(theirs.critic.q_networks) == (2 if name == "td3" else 1)
    disturb(theirs.critic_target)
    disturb(theirs.actor_target)

    def actors() -> list[tuple[list, list]]:
        pairs = ((ours.actor, theirs.actor), (ours.target_actor.module, theirs.actor_target))
        return [(list(mine.parameters()), list(other.parameters())) for mine, other in pairs]

    def critics() -> list[tuple[list, list]]:
        pairs = ((ours.critic, theirs.critic), (ours.target_critic.module, theirs.critic_target))
        return [(our_critic_weights(mine), critic_weights(other)) for mine, other in pairs]

    for mine, other in (*actors(), *critics()):
        copy(other, mine)
    for step in range(6):
        batch = random_batch(64, step, 3)
        mine = torch.Generator().manual_seed(0)
        mine.set_state(ours.generator.get_state())
        noise = torch.randn(64, 1, generator=mine)
        monkeypatch.setattr(torch.Tensor, "normal_", lambda x, mean, std, noise=noise: x.copy_(mean + std * noise))
        logged = train_once(theirs, batch)
        monkeypatch.undo()
        ours.updates += 1  # as OffPolicy.update counts
        stats = ours.learn(batch)
        assert stats["q_loss"].item() == pytest.approx(logged["train/critic_loss"], abs=1e-5, rel=1e-5)
        delayed = name == "td3" and step % 2 == 0
        assert ("policy_loss" in stats) == ("train/actor_loss" in logged) == (not delayed)
        if not delayed:
            assert stats["policy_loss"].item() == pytest.approx(logged["train/actor_loss"], abs=1e-5, rel=1e-5)
        for mine, other in (*actors(), *critics()):
            check_same(mine, other)


def test_ddpg_is_td3_without_its_three_additions():
    changed = {"critics": 1, "policy_delay": 1, "target_noise": 0.0}
    given = DDPGConfig()
    assert TD3Config(**changed) == TD3Config(**{field.name: getattr(given, field.name) for field in fields(given)})
    # Without noise the target is that of the target actor's own action.
    agent = TD3(DDPGConfig(**SMALL, env="Pendulum-v1"), make_env("Pendulum-v1", 1))
    batch = random_batch(8, 0, 3)
    error = agent.critic_loss(batch | {"noise": torch.zeros(1, 8, 1)})[1]["td_error"]
    actor, critic = agent.target_actor.module, agent.target_critic.module
    flags = torch.zeros(8, 0), torch.zeros(1, 8, dtype=torch.bool)
    action, _ = actor(batch["next_obs"], *flags)
    value = critic(critic.encoder(batch["next_obs"], *flags)[0], action)[0]
    q = agent.critic(batch["obs"], batch["action"])[0]
    torch.testing.assert_close(error[0], q - (batch["reward"] + batch["discount"] * value), atol=1e-6, rtol=1e-5)


def test_exploration_is_the_policys_action_and_noise_within_the_bounds():
    agent = TD3(TD3Config(**SMALL, env="Pendulum-v1", exploration_noise=0.25), make_env("Pendulum-v1", 1))
    obs, state, reset = (
        torch.randn(1, 3).expand(20_000, 3),
        torch.zeros(20_000, 0),
        torch.ones(20_000, dtype=torch.bool),
    )
    calm, _, _ = agent.policy.act(obs, state, reset, explore=False)
    action, _, extras = agent.policy.act(obs, state, reset, explore=True)
    noise = (action - calm) / 2.0  # Pendulum's torque goes from -2 to 2
    assert noise.mean().abs() < 0.01 and noise.std().item() == pytest.approx(0.25, rel=0.03)
    torch.testing.assert_close(2.0 * extras["action"], action)
    agent.actor.head.linear.bias.data.fill_(5.0)
    assert agent.policy.act(obs, state, reset, explore=True)[0].max() == 2.0


@pytest.mark.parametrize("config", [TD3Config, DDPGConfig])
def test_it_learns_to_aim(config):
    torch.manual_seed(0)
    flags = {
        "total_steps": 1200,
        "num_envs": 4,
        "learning_starts": 200,
        "hidden_sizes": (32, 32),
        "batch_size": 64,
        "buffer_size": 2000,
        "learning_rate": 3e-3,
        "utd": 0.5,
        "seed": 1,
    }
    agent = TD3(config(**flags), SyncEnv([Aim() for _ in range(4)]))
    train(agent, 1200)
    assert miss(agent) < 0.6
