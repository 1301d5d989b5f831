"""Losses of offline agents by numbers derived by hand, data sets as replay, and what learning from them gives."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.buffers.n_step import BARE, START, TERMINATED, TRUNCATED
from agent_gym.agents.offline.experience import Episode, Experience, replay_of
from agent_gym.agents.offline.iql import expectile_loss
from agent_gym.agents.sac import overestimate
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.nets.heads import DeterministicHead, GaussianHead, SquashedGaussianHead

SMALL = {"hidden_sizes": (8,), "batch_size": 4, "num_envs": 1, "normalize_obs": False, "normalize_returns": "no"}


def make_agent(name: str, env_id: str, **settings):
    torch.manual_seed(0)
    config = config_class(name)(env=env_id, **SMALL | {"data": "minari:x-v0"} | settings)
    return agent_class(name)(config, make_env(env_id, config.num_envs))


def episode(first: int, steps: int, terminated: bool, reward: float = 1.0) -> Episode:
    """Observations that count on, and the step's number as the action's sign."""
    obs = torch.arange(first, first + steps + 1, dtype=torch.float32).unsqueeze(1).repeat(1, 4)
    return Episode(obs, torch.arange(steps) % 2, torch.full((steps,), reward), terminated)


def test_a_data_set_becomes_the_streams_of_a_replay_buffer():
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    data = Experience("x", [episode(0, 3, True), episode(10, 2, False), episode(20, 1, True)], "0")
    replay = replay_of(data, space, lambda obs, action: (obs, action), torch.device("cpu"), n_step=2, gamma=0.5)
    flags = replay.fields["flags"][:9].tolist()
    assert flags == [START, 0, TERMINATED, BARE, START, TRUNCATED, BARE, START | TERMINATED, BARE]
    batch = replay.transitions(torch.arange(6))
    assert batch["obs"][0, :, 0].tolist() == [0, 1, 2, 10, 11, 20]
    assert batch["action"][0].tolist() == [0, 1, 0, 0, 1, 0]
    # Two steps of reward 1 at discount 1/2: 1.5, or 1 where the episode ends before; 0 follows a real end alone.
    assert batch["reward"][0].tolist() == [1.5, 1.5, 1.0, 1.5, 1.0, 1.0]
    assert batch["discount"][0].tolist() == [0.25, 0.0, 0.0, 0.25, 0.5, 0.0]
    assert batch["next_obs"][0, :, 0].tolist() == [2, 3, 3, 12, 12, 21]
    drawn, _ = replay.draw(4000, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(range(6)) and len(replay) == 6
    short = Experience("y", [episode(0, 1, True)] * 500, "0")  # images have little room for ends
    images = replay_of(
        short._replace(episodes=[e._replace(obs=torch.zeros(2, 8, 8, 3, dtype=torch.uint8)) for e in short.episodes]),
        spaces.Box(0, 255, (8, 8, 3), np.uint8),
        lambda obs, action: (obs, action),
        torch.device("cpu"),
    )
    assert len(images) == 500 and images.transitions(torch.arange(500))["discount"].sum() == 0


@pytest.mark.parametrize("head", [GaussianHead, SquashedGaussianHead, DeterministicHead])
def test_actions_of_a_set_come_back_from_the_environments_units(head):
    bounds = np.array([-2, 0, -np.inf, 1, -np.inf], np.float32), np.array([4, 0.5, np.inf, np.inf, 3], np.float32)
    one = head(spaces.Box(*bounds), 6)
    action = torch.tensor([[1.0, 0.25, 0.3, 2.5, 1.5], [-2.0, 0.5, -0.7, 1.01, 2.9]])
    torch.testing.assert_close(one.to_env(one.from_env(action)), action, atol=1e-4, rtol=1e-4)
    assert one.from_env(action)[:, :2].tolist() == [[0.0, 0.0], [-1.0, 1.0]]


def batch_of(discrete: bool, size: int) -> dict:
    g = torch.Generator().manual_seed(1)
    obs, next_obs = torch.randn(2, 1, 4, size, generator=g)
    action = torch.tensor([[0, 1, 1, 0]]) if discrete else 2 * torch.rand(1, 4, 1, generator=g) - 1
    return {
        "obs": obs,
        "next_obs": next_obs,
        "action": action,
        "reward": torch.tensor([[1.0, -2.0, 0.5, 3.0]]),
        "discount": torch.tensor([[0.9, 0.0, 0.9, 0.9]]),
    }


def set_output(network, values: list[float]) -> None:
    """The last layer gives these numbers, whatever comes in."""
    for parameter in network.parameters():
        parameter.data.zero_()
    bias = getattr(network, "bias", None)
    bias.data.copy_(torch.tensor(values).view_as(bias))


def test_behaviour_cloning_is_the_mean_of_minus_log_likelihood():
    agent = make_agent("bc", "CartPole-v1")
    set_output(agent.network.head.linear, [0.0, math.log(3.0)])  # probabilities 1/4 and 3/4
    loss, stats = agent.loss(batch_of(True, 4))
    assert loss.item() == pytest.approx(-(2 * math.log(0.25) + 2 * math.log(0.75)) / 4)
    assert stats["accuracy"].item() == 0.5
    agent, batch = make_agent("bc", "Pendulum-v1", head="deterministic"), batch_of(False, 3)
    set_output(agent.network.head.linear, [math.atanh(0.5)])
    expected = np.mean([(0.5 - a) ** 2 for a in batch["action"].flatten().tolist()])
    assert agent.loss(batch)[0].item() == pytest.approx(expected, rel=1e-5)
    agent = make_agent("bc", "Pendulum-v1")
    set_output(agent.network.head.linear, [0.25])
    agent.network.head.log_std.data.fill_(math.log(0.5))
    z = [(a - 0.25) / 0.5 for a in batch["action"].flatten().tolist()]
    expected = np.mean([0.5 * x * x + math.log(0.5) + 0.5 * math.log(2 * math.pi) for x in z])
    assert agent.loss(batch)[0].item() == pytest.approx(expected, rel=1e-5)


def test_iql_by_hand():
    assert expectile_loss(torch.tensor([2.0, -2.0, 0.0]), 0.7).tolist() == pytest.approx([0.7 * 4, 0.3 * 4, 0.0])
    agent, batch = make_agent("iql", "CartPole-v1", temperature=0.5, largest_weight=2.0), batch_of(True, 4)
    for network in (agent.critic, agent.target.module):  # Q1 = (1, 3), Q2 = (2, 2): the smaller are 1 and 2
        set_output(network.heads.out, [[[1.0, 3.0]], [[2.0, 2.0]]])
    set_output(agent.value.head.linear, [1.2])
    set_output(agent.actor.head.linear, [0.0, math.log(3.0)])
    # Q - V: -0.2 for action 0, 0.8 for action 1
    expected = (2 * 0.3 * 0.2**2 + 2 * 0.7 * 0.8**2) / 4
    assert agent.value_loss(batch)[0].item() == pytest.approx(expected, rel=1e-5)
    targets = [1.0 + 0.9 * 1.2, -2.0, 0.5 + 0.9 * 1.2, 3.0 + 0.9 * 1.2]
    first = np.mean([(q - y) ** 2 for q, y in zip([1, 3, 3, 1], targets, strict=True)])
    second = np.mean([(2 - y) ** 2 for y in targets])
    assert agent.critic_loss(batch)[0].item() == pytest.approx(first + second, rel=1e-5)
    weights = math.exp(0.5 * -0.2), math.exp(0.5 * 0.8)
    expected = -(2 * weights[0] * math.log(0.25) + 2 * weights[1] * math.log(0.75)) / 4
    assert agent.actor_loss(batch)[0].item() == pytest.approx(expected, rel=1e-5)
    set_output(agent.value.head.linear, [-9.0])  # an advantage of ten and more: its weight is limited
    assert agent.actor_loss(batch)[1]["weight"].item() == 2.0


def test_cql_of_discrete_actions_by_hand():
    """Of SAC and of DQN: the Bellman error, and log Σ exp Q less the value of the set's action."""
    for name, flags in (("cql", {"alpha": 0.2}), ("dqn", {"dueling": False, "double": True, "td_loss": "mse"})):
        plain = make_agent(name, "CartPole-v1", conservative=0.0, **flags)
        agent, batch = make_agent(name, "CartPole-v1", conservative=4.0, **flags), batch_of(True, 4)
        q = [1.0, 3.0]
        out = [[q], [q]] if name == "cql" else q
        for one in (plain, agent):
            set_output(one.critic.heads.out if name == "cql" else one.network.head, out)
        loss = agent.critic_loss if name == "cql" else agent.loss
        base = (plain.critic_loss if name == "cql" else plain.loss)(batch)[0].item()
        excess = math.log(math.exp(1) + math.exp(3)) - (2 * 1 + 2 * 3) / 4
        critics = 2 if name == "cql" else 1
        assert loss(batch)[0].item() == pytest.approx(base + 4.0 * critics * excess, rel=1e-5)
        assert loss(batch)[1]["q_excess"].item() == pytest.approx(excess, rel=1e-5)


def test_cql_estimates_the_integral_over_continuous_actions():
    """Q linear in the action, so that log ∫ exp Q da over [-1, 1] is known: log((e^k - e^-k) / k)."""
    agent, k = make_agent("cql", "Pendulum-v1", hidden_sizes=(), conservative_actions=4000), 1.5
    set_output(agent.critic.heads.out, [[[0.0]], [[1.0]]])
    agent.critic.heads.out.weight.data[:, -1] = k
    batch = batch_of(False, 3)
    batch |= agent.others(batch)
    features = agent.critic.encoder(batch["obs"], torch.zeros(4, 0), torch.zeros(1, 4, dtype=torch.bool))[0]
    q = agent.critic.of_action(features, batch["action"])
    expected = math.log((math.exp(k) - math.exp(-k)) / k) - k * batch["action"][0, :, 0]
    for found in overestimate(q, agent.critic, features, batch)[:, 0]:
        torch.testing.assert_close(found, expected, atol=0.03, rtol=0)
    # By hand with two actions: even 0.5 of density 1/2, the policy's 0.2 of density 0.8.
    batch |= {
        "drawn": torch.tensor([0.5, 0.2]).view(2, 1, 1, 1).expand(2, 1, 4, 1),
        "density": torch.tensor([0.5, 0.8]).log().view(2, 1, 1).expand(2, 1, 4),
    }
    by_hand = math.log((math.exp(k * 0.5) / 0.5 + math.exp(k * 0.2) / 0.8) / 2)
    found = overestimate(q, agent.critic, features, batch)[0, 0]
    torch.testing.assert_close(found, by_hand - k * batch["action"][0, :, 0])


def test_td3bc_by_hand():
    agent, batch = make_agent("td3bc", "Pendulum-v1"), batch_of(False, 3)
    set_output(agent.actor.head.linear, [math.atanh(0.5)])
    set_output(agent.critic.heads.out, [[[-4.0]], [[7.0]]])
    distance = np.mean([(0.5 - a) ** 2 for a in batch["action"].flatten().tolist()])
    loss, stats = agent.actor_loss(batch)  # λ = 2.5 / 4, so -λ E[Q] = 2.5
    assert loss.item() == pytest.approx(2.5 + distance, rel=1e-5)
    assert stats["bc_distance"].item() == pytest.approx(distance, rel=1e-5)


def test_demonstrations_are_their_share_of_every_batch():
    agent = make_agent(
        "sac",
        "Pendulum-v1",
        data="",
        demonstrations="minari:x-v0",
        demonstration_share=0.25,
        batch_size=8,
        total_steps=200,
        learning_starts=20,
        buffer_size=100,
    )
    shown = Episode(torch.full((51, 3), 7.0), torch.zeros(50, 1), torch.zeros(50), False)
    agent.take("demonstrations", Experience("x", [shown], "0"))
    agent.begin()
    for _ in range(30):
        assert agent.collect() is not None
        agent.collected = 0
    drawn = agent.batches.draw(agent.replay, agent.sets["demonstrations"], 12, 1.0)
    for _, batch in drawn:
        assert (batch["obs"][0, :, 0] == 7.0).tolist() == [False] * 6 + [True] * 2


def test_agents_say_what_they_lack():
    for name, word in (
        ("bc", "--data"),
        ("iql", "--data"),
        ("cql", "--data"),
        ("td3bc", "--data"),
        ("dagger", "--teacher"),
    ):
        with pytest.raises(UserError, match=f"{name} learns from {word}: add"):
            make_agent(name, "Pendulum-v1", data="")
    with pytest.raises(UserError, match="give one of them"):
        config_class("sac")(data="a", demonstrations="b")
