"""Actions of several parts: rows and nestings, closed forms of their distributions, agents that learn them."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from torch import distributions as reference

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.sac import soft_value
from agent_gym.envs.adapters.boundary.spaces import canonical_action
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import Unfold, choices_of, fold, row_of
from agent_gym.nets.distributions import DiagGaussian, Hybrid, MultiCategorical
from agent_gym.training.evaluation import play

DEEP = spaces.Dict(
    {
        "mode": spaces.Discrete(3, start=5),
        "arm": spaces.Tuple((spaces.Box(-1.0, 2.0, (2, 2)), spaces.MultiBinary(2), spaces.MultiDiscrete([2, 4]))),
        "speed": spaces.Box(0.0, 1.0, (1,), np.float64),
    }
)
BOXES = spaces.Tuple((spaces.Box(-1.0, 1.0, (2,)), spaces.Dict({"a": spaces.Box(0.0, 8.0, (1,))})))
CHOICES = spaces.Dict({"x": spaces.Discrete(3), "y": spaces.MultiBinary(2)})


class Takes(gymnasium.Env):
    """Looks at what it is given."""

    def __init__(self, action_space):
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (2,)), action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t == 5, False, {}


@pytest.mark.parametrize("space", [DEEP, BOXES, CHOICES])
def test_rows_and_nestings_are_the_same_actions(space):
    space.seed(0)
    unfold = Unfold(space)
    for _ in range(20):
        action = space.sample()
        row = fold(space, action)
        assert row.shape == row_of(space)[0]
        again = unfold(row)
        assert space.contains(again)
        for a, b in zip(flat(action), flat(again), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def flat(action):
    if isinstance(action, dict | tuple):
        parts = action.values() if isinstance(action, dict) else action
        return [leaf for part in parts for leaf in flat(part)]
    return [action]


def test_what_parts_come_to():
    assert canonical_action(CHOICES) == spaces.MultiDiscrete([3, 2, 2])
    box = canonical_action(BOXES)
    assert box == spaces.Box(np.array([-1, -1, 0], np.float32), np.array([1, 1, 8], np.float32))
    hybrid = canonical_action(DEEP)
    assert hybrid["choices"].nvec.tolist() == choices_of(DEEP) == [2, 2, 2, 4, 3]
    assert [box.shape for box in hybrid["boxes"]] == [(4,), (1,)]
    with pytest.raises(UserError, match="the part Text.* of the action space is not supported"):
        canonical_action(spaces.Tuple((spaces.Text(3), spaces.Discrete(2))))


@pytest.mark.parametrize("name", ["ppo", "a2c"])
@pytest.mark.parametrize("backend", ["sync", "async", "vector"])
@pytest.mark.parametrize("space", [DEEP, BOXES, CHOICES], ids=["deep", "boxes", "choices"])
def test_environments_get_what_their_space_holds(name, backend, space):
    if backend == "async":
        gymnasium.register("Takes-v0", entry_point=Takes, kwargs={"action_space": space})
        env = make_env("Takes-v0", 2, backend="async")
        del gymnasium.registry["Takes-v0"]
    elif backend == "vector":
        env = VectorAdapter(SyncVectorEnv([lambda: Takes(space)] * 2))
    else:
        env = SyncEnv([Takes(space) for _ in range(2)], "Takes")
    agent = agent_class(name)(config_class(name)(num_envs=2, num_steps=6, hidden_sizes=(4,)), env)
    agent.begin()
    agent.collect()
    agent.update()
    play(agent.policy, env, 2, seed=0)
    env.close()


@pytest.mark.parametrize("counted", [False, True])
def test_log_probabilities_and_entropies_are_those_of_the_parts(counted):
    drawn = torch.Generator().manual_seed(0)
    logits, mean = torch.randn(4, 5, 1, 3, generator=drawn), torch.randn(4, 5, 4, generator=drawn)
    log_std = 0.3 * torch.randn(4, generator=drawn)
    counts = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).bool() if counted else None
    ours = Hybrid(MultiCategorical(logits, torch.arange(3)), DiagGaussian(mean, log_std), counts)
    action = ours.sample(drawn)
    assert action.shape == (4, 5, 5)
    choice, number = action[..., 0].long(), action[..., 1:]
    which, normal = reference.Categorical(logits=logits[..., 0, :]), reference.Normal(mean, log_std.exp())
    relevant = torch.ones(4, 5, 4) if counts is None else counts[choice].float()
    expected = which.log_prob(choice) + (normal.log_prob(number) * relevant).sum(-1)
    torch.testing.assert_close(ours.log_prob(action), expected)
    weight = torch.ones(4, 5, 4) if counts is None else which.probs @ counts.float()
    torch.testing.assert_close(ours.entropy(), which.entropy() + (normal.entropy() * weight).sum(-1))
    mask = torch.zeros(4, 5, 3, dtype=torch.bool)
    mask[..., 1] = True
    assert (ours.masked(mask).sample(drawn)[..., 0] == 1).all()


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_boxes_alone_are_taken_by_sac_and_td3(name):
    settings = {"learning_starts": 20, "buffer_size": 100, "hidden_sizes": (8,), "total_steps": 200, "utd": 0.1}
    settings["batch_size"] = 8
    env = SyncEnv([Takes(BOXES)], "Takes")
    agent = agent_class(name)(config_class(name)(num_envs=1, **settings), env)
    agent.begin()
    while agent.steps < 60:
        agent.collect()
        agent.update()


def test_sac_takes_mixtures_by_its_discrete_form():
    """The expectation over combinations and the entropy of numbers, by hand, and that it learns."""
    env = make_env("AgentGym/Toolbox-v0", 8)
    settings = {"num_envs": 8, "learning_starts": 500, "buffer_size": 5000, "hidden_sizes": (32,), "batch_size": 64}
    settings |= {"gamma": 0.0, "learning_rate": 5e-3, "train_every": 4, "utd": 0.2, "total_steps": 4000, "seed": 0}
    agent = agent_class("sac")(config_class("sac")(**settings), env)
    agent.begin()
    obs, state, reset = torch.randn(5, 6), torch.zeros(5, 0), torch.ones(5, dtype=torch.bool)
    policy, _ = agent.policy(obs, state, reset)
    noise = torch.randn(1, 5, 3)
    features, _ = agent.critic.encoder(obs.unsqueeze(0), state, reset.unsqueeze(0))
    value, log_prob = soft_value(policy, agent.critic, features, torch.tensor(0.3), noise)
    numbers = torch.tanh(policy.numbers.gaussian.mean + policy.numbers.gaussian.log_std.exp() * noise)
    density = policy.numbers.log_prob(numbers)
    expected, entropy = torch.zeros(1, 5), torch.zeros(1, 5)
    for tool in range(3):
        action = torch.cat((torch.full((1, 5, 1), float(tool)), numbers), -1)
        q, chance = agent.critic.of_action(features, action).amin(0), policy.joint.probs[..., tool]
        expected += chance * (q - 0.3 * chance.log() - 0.3 * density)
        entropy += chance * (chance.log() + density)
    torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_prob, entropy, atol=1e-4, rtol=1e-4)
    while agent.steps < 4000:
        agent.collect()
        agent.update()
    assert play(agent.policy, env, 32, seed=1).returns.mean() > 2.0  # at random about -2.6, at best 6
    mask = torch.tensor([[True, False, True]]).expand(8, 3)
    drawn = agent.policy.act(torch.randn(8, 6), torch.zeros(8, 0), torch.ones(8, dtype=torch.bool), mask, explore=True)[
        0
    ]
    assert not (drawn[:, 0] == 1).any()


def test_dqn_takes_choices_by_branches():
    """A reward for each right part: the optimum is 3, and each branch has to find its own."""

    class Parts(Takes):
        def step(self, action):
            self.t += 1
            reward = float(action["x"] == 2) + float(action["y"][0] == 1) + float(action["y"][1] == 0)
            return np.zeros(2, np.float32), reward, True, False, {}

    env = SyncEnv([Parts(CHOICES) for _ in range(4)], "Parts")
    settings = {"learning_starts": 200, "buffer_size": 1000, "hidden_sizes": (16,), "total_steps": 1200, "n_step": 1}
    settings["learning_rate"] = 0.01
    agent = agent_class("dqn")(config_class("dqn")(num_envs=4, seed=0, utd=0.25, train_every=4, **settings), env)
    agent.begin()
    while agent.steps < 1200:
        agent.collect()
        agent.update()
    assert play(agent.policy, env, 8, seed=1).returns.mean() == 3.0


def test_branches_by_hand():
    """Tavakoli et al. 2018: the state's value plus advantages less the mean of their branch; one target for all."""
    env = SyncEnv([Takes(spaces.MultiDiscrete([2, 3]))], "Takes")
    settings = {"learning_starts": 20, "buffer_size": 100, "hidden_sizes": (4,), "n_step": 1, "td_loss": "mse"}
    agent = agent_class("dqn")(config_class("dqn")(num_envs=1, **settings), env)
    with torch.no_grad():  # value 1; advantages (0, 2, -) and (3, 0, 0), whatever is seen
        for part in (agent.network, agent.target.module):
            part.head.weight.zero_()
            part.head.bias.copy_(torch.tensor([1.0, 0.0, 2.0, 50.0, 3.0, 0.0, 0.0]))
    q, _ = agent.policy(torch.zeros(1, 2), torch.zeros(1, 0), torch.ones(1, dtype=torch.bool))
    assert q[0, 0, :2].tolist() == [0.0, 2.0] and q[0, 1].tolist() == [3.0, 0.0, 0.0]
    assert agent.policy.act(torch.zeros(1, 2), torch.zeros(1, 0), torch.ones(1, dtype=torch.bool))[0].tolist() == [
        [1, 0]
    ]
    batch = {"obs": torch.zeros(1, 1, 2), "next_obs": torch.zeros(1, 1, 2), "action": torch.tensor([[[0, 2]]])}
    loss, stats = agent.loss(batch | {"reward": torch.ones(1, 1), "discount": torch.full((1, 1), 0.5)})
    target = 1.0 + 0.5 * (2.0 + 3.0) / 2
    assert loss.item() == pytest.approx(((0.0 - target) ** 2 + (0.0 - target) ** 2) / 2)
    assert stats["td_error"].item() == pytest.approx(target)


@pytest.mark.parametrize("parameterised", [False, True])
def test_a_hybrid_action_is_learned(parameterised):
    """AgentGym/Toolbox: at random about -2.6 a game of eight, at best 8 * 0.75 = 6."""
    config = config_class("ppo")(
        **{"num_envs": 32, "num_steps": 16, "hidden_sizes": (32,), "learning_rate": 5e-3, "seed": 0, "gamma": 0.0},
        **{"total_steps": 60_000, "num_epochs": 4, "log_std_init": -0.5, "parameterised": parameterised},
    )
    env = make_env("AgentGym/Toolbox-v0", 32)
    agent = agent_class("ppo")(config, env)
    agent.begin()
    while agent.steps < 25_000:
        agent.collect()
        agent.update()
    assert play(agent.policy, env, 64, seed=1).returns.mean() > 4.0


def test_parameterised_wants_one_choice_and_its_boxes():
    env = SyncEnv([Takes(DEEP)], "Takes")
    with pytest.raises(UserError, match="--parameterised: expected one choice"):
        agent_class("ppo")(config_class("ppo")(num_envs=1, parameterised=True), env)
    with pytest.raises(UserError, match="--parameterised: the action space .* is not of choices and Boxes"):
        agent_class("ppo")(config_class("ppo")(num_envs=1, parameterised=True), make_env("CartPole-v1", 1))
