"""DQN and QR-DQN against Stable-Baselines3's own training step, small cases by hand, and that they learn."""

import math
from dataclasses import fields

import pytest
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN as ContribQRDQN
from sb3_side import check_same, copy, disturb, random_batch, train_once
from stable_baselines3 import DQN as SB3DQN
from tiny_envs import Chain, Cue, score, train
from torch import Tensor, nn

from agent_gym.agents.dqn import DQN
from agent_gym.agents.off_policy.critic import QNetwork
from agent_gym.agents.settings.dqn import DQNConfig, QRDQNConfig
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env
from agent_gym.nets.losses import quantile_huber
from agent_gym.nets.settings import EncoderSettings
from agent_gym.nets.values.means import Means
from agent_gym.nets.values.quantiles import Quantiles

PLAIN = {"double": False, "dueling": False, "n_step": 1, "buffer_size": 100, "hidden_sizes": (32, 32)}


def make_agent(**settings) -> DQN:
    return DQN(DQNConfig(**PLAIN | settings), make_env("CartPole-v1", 1))


@pytest.mark.parametrize("quantiles", [0, 7])
@pytest.mark.parametrize("max_grad_norm", [0.05, 100.0])
def test_loss_and_updates_are_those_of_stable_baselines3(quantiles, max_grad_norm):
    policy_kwargs = {"net_arch": [32, 32], "optimizer_class": torch.optim.SGD}
    if quantiles:
        policy_kwargs["n_quantiles"] = quantiles
    algorithm = ContribQRDQN if quantiles else SB3DQN
    theirs = algorithm(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=0.1,
        buffer_size=10,
        max_grad_norm=max_grad_norm,
        policy_kwargs=policy_kwargs,
        device="cpu",
        seed=0,
    )
    net, target_net = (
        (theirs.policy.quantile_net, theirs.policy.quantile_net_target)
        if quantiles
        else (theirs.policy.q_net, theirs.policy.q_net_target)
    )
    ours = make_agent(quantiles=quantiles, optimizer="sgd", learning_rate=0.1, max_grad_norm=max_grad_norm)

    def weights(source: nn.Module) -> list[Tensor]:
        """Theirs in our order."""
        parameters = [p.detach().clone() for p in source.parameters()]
        if quantiles:  # theirs are ordered by quantile, then action
            parameters[-2:] = [p.unflatten(0, (quantiles, 2)).transpose(0, 1).flatten(0, 1) for p in parameters[-2:]]
        return parameters

    disturb(target_net)
    copy(weights(net), list(ours.network.parameters()))
    copy(weights(target_net), list(ours.target.module.parameters()))
    for step in range(5):
        batch = random_batch(64, step, 4, actions=2)
        logged, stats = train_once(theirs, batch), ours.learn(batch)
        assert stats["q_loss"].item() == pytest.approx(logged["train/loss"], abs=1e-5, rel=1e-5)
        check_same(list(ours.network.parameters()), weights(net))


def q_network(rows: list[list[float]], td_loss: str = "huber") -> QNetwork:
    """Q(s, a) = rows[s][a] for one-hot states, without hidden layers."""
    space, form = spaces.Discrete(len(rows)), lambda _: Means(td_loss)
    network = QNetwork(space, spaces.Discrete(len(rows[0])), EncoderSettings(encoder="linear"), False, form)
    network.head.weight.data.copy_(torch.tensor(rows).t())
    network.head.bias.data.zero_()
    return network


@pytest.mark.parametrize("double, next_q", [(False, [9.0, 5.0]), (True, [3.0, 4.0])])
def test_double_targets_by_hand(double, next_q):
    agent = make_agent(double=double)
    # From state 0 to state 1, from state 1 to state 2. The network prefers actions 1 and 0 there.
    agent.network = q_network([[1.0, 2.0], [6.0, 7.0], [8.0, 0.5]])
    agent.target.module = q_network([[0.0, 0.0], [9.0, 3.0], [4.0, 5.0]])
    one = {"obs": torch.tensor([[0, 1]]), "next_obs": torch.tensor([[1, 2]]), "action": torch.tensor([[1, 0]])}
    batch = one | {"reward": torch.tensor([[1.0, -1.0]]), "discount": torch.tensor([[0.5, 0.5]])}
    loss, stats = agent.loss(batch)
    errors = [2.0 - (1.0 + 0.5 * next_q[0]), 6.0 - (-1.0 + 0.5 * next_q[1])]
    assert stats["td_error"].tolist() == [errors]
    assert loss.item() == pytest.approx(sum(abs(e) - 0.5 if abs(e) > 1 else 0.5 * e * e for e in errors) / 2)
    assert stats["q_mean"].item() == (2.0 + 6.0) / 2
    agent.network.returns.td_loss = "mse"
    assert agent.loss(batch)[0].item() == pytest.approx(sum(e * e for e in errors) / 2)
    agent.network.returns.td_loss = "huber"
    # Importance weights scale each transition's share.
    weighted, _ = agent.loss(batch | {"weight": torch.tensor([[1.0, 0.0]])})
    e = errors[0]
    assert weighted.item() == pytest.approx((abs(e) - 0.5 if abs(e) > 1 else 0.5 * e * e) / 2)
    # A discount of 0 leaves the reward alone.
    stats = agent.loss(batch | {"discount": torch.zeros(1, 2)})[1]
    assert stats["td_error"].tolist() == [[2.0 - 1.0, 6.0 + 1.0]]


def test_dueling_by_hand():
    network = QNetwork(
        spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(3), EncoderSettings(encoder="linear"), True, lambda _: Means()
    )
    network.head.weight.data.zero_()
    network.head.bias.data.copy_(torch.tensor([10.0, 1.0, 2.0, 6.0]))  # the value, then three advantages of mean 3
    q, _ = network(torch.zeros(1, 2, 1), torch.zeros(2, 0), torch.zeros(1, 2, dtype=torch.bool))
    assert q.tolist() == [[[8.0, 9.0, 13.0]] * 2]
    # Of quantiles each has a value and advantages of its own.
    network = QNetwork(
        spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(2), EncoderSettings(encoder="linear"), True, lambda _: Quantiles(2)
    )
    network.head.weight.data.zero_()
    network.head.bias.data.copy_(torch.tensor([10.0, 20.0, 1.0, 2.0, 3.0, 6.0]))
    values = network.values(torch.zeros(1, 1, 1))[0, 0]
    assert values.tolist() == [[9.0, 18.0], [11.0, 22.0]]  # by action, then quantile
    assert network.mean(torch.zeros(1, 1, 1)).tolist() == [[[13.5, 16.5]]]


def test_quantile_huber_by_hand():
    # Levels 1/4 and 3/4; errors target - quantile: 1.0 - 0 = 1, 1.0 - 4 = -3.
    loss = quantile_huber(torch.tensor([0.0, 4.0]), torch.tensor([1.0]))
    assert loss.item() == pytest.approx(0.25 * 0.5 + 0.25 * 2.5)
    # The estimate is right where the weighted errors balance: the quantiles of a two-point distribution.
    quantile = torch.tensor([0.0, 10.0], requires_grad=True)
    loss = quantile_huber(quantile, torch.tensor([0.0, 10.0]))
    (grad,) = torch.autograd.grad(loss, quantile)
    # Of quantile 0: error 0 pulls with 0, error 10 with -1/4, over two samples; the other way round above.
    assert grad.tolist() == pytest.approx([-0.125, 0.125])


def test_qrdqn_is_dqn_with_quantiles():
    given = QRDQNConfig()
    assert given.quantiles == 50
    assert DQNConfig(quantiles=50) == DQNConfig(**{field.name: getattr(given, field.name) for field in fields(given)})


def test_epsilon_falls_to_its_end():
    agent = make_agent(total_steps=1000, learning_starts=10, exploration_fraction=0.5, exploration_final=0.1)
    for steps, epsilon in [(0, 1.0), (250, 0.55), (500, 0.1), (1000, 0.1)]:
        agent.steps = steps
        assert agent.epsilon == pytest.approx(epsilon)


def test_random_actions_come_with_the_chance_epsilon():
    settings = PLAIN | {"num_envs": 8000, "buffer_size": 8000, "exploration_initial": 0.5, "exploration_final": 0.3}
    agent = DQN(DQNConfig(**settings), make_env("CartPole-v1", 8000))
    agent.network.head.weight.data.zero_()
    agent.network.head.bias.data.copy_(torch.tensor([0.0, 1.0]))
    agent.begin()

    def share_of_0(action: torch.Tensor) -> float:
        return (action == 0).float().mean().item()

    here = agent.obs, agent.state, agent.reset
    margin = 5 * math.sqrt(0.25 * 0.75 / 8000)
    assert share_of_0(agent.explore()[0]) == pytest.approx(0.25, abs=margin)  # half of what is drawn at random
    # An agent that has been loaded to be scored stands at step 0: it draws as at the end.
    assert share_of_0(agent.policy.act(*here, explore=True)[0]) == pytest.approx(0.15, abs=margin)
    assert share_of_0(agent.policy.act(*here, explore=False)[0]) == 0.0


def test_the_target_is_copied_every_so_many_steps():
    agent = make_agent(learning_starts=4, target_every=10, total_steps=100, batch_size=4)
    agent.begin()
    copies = []
    while agent.steps < 40:
        before = agent.learners["q"].parameters.detach().clone()
        agent.collect()
        same = torch.equal(agent.target.vector, before)
        agent.update()
        if same and agent.steps > 5:
            copies.append(agent.steps)
    assert copies == [10, 20, 30, 40]


# Learning


@pytest.mark.parametrize(
    "settings",
    [
        {"double": False, "dueling": False, "n_step": 1},
        {"n_step": 3, "prioritized": True},
        {"n_step": 2, "quantiles": 8, "learning_rate": 5e-3},
    ],
)
def test_it_learns_to_walk_to_the_far_end(settings):
    config = {
        "total_steps": 1000,
        "num_envs": 4,
        "learning_starts": 200,
        "hidden_sizes": (32,),
        "batch_size": 32,
        "target_every": 50,
        "exploration_fraction": 0.5,
        "seed": 1,
        "utd": 0.5,
        "gamma": 0.9,
    }
    torch.manual_seed(0)
    agent = DQN(DQNConfig(**config | settings), SyncEnv([Chain() for _ in range(4)]))
    train(agent, 1000)
    assert score(agent, Chain, 1) == 7.0  # the best there is; staying at the start pays 1.0


@pytest.mark.parametrize(
    "encoder, low, high",
    [("gru", 0.95, 1.0), ("transformer", 0.95, 1.0), ("mlp", 0.25, 0.75)],
)
def test_memory_answers_what_an_mlp_must_guess(encoder, low, high):
    config = DQNConfig(
        total_steps=2400,
        num_envs=8,
        learning_starts=400,
        encoder=encoder,
        hidden_sizes=(16,),
        recurrent_size=16,
        attention_size=16,
        attention_layers=1,
        attention_window=8,
        batch_size=32,
        sequence_length=8,
        burn_in=4,
        n_step=1,
        utd=0.15,
        target_every=40,
        learning_rate=5e-3,
        exploration_fraction=0.7,
        seed=1,
    )
    torch.manual_seed(0)
    agent = DQN(config, SyncEnv([Cue(spaces.Discrete(2)) for _ in range(8)]))
    train(agent, 2400)
    assert low <= score(agent, lambda: Cue(spaces.Discrete(2)), 60) <= high
