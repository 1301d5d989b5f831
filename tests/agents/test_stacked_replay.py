"""Seeds of agents with replay buffers trained as one program take the way that each takes alone."""

from dataclasses import replace

import pytest
import torch

import agent_gym.envs  # noqa: F401  registers them
from agent_gym.agents import agent_class, config_class
from agent_gym.agents.stacked.kinds import refusal, stack
from agent_gym.envs.make import make_env
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.stacked import stacked
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_leaves

SMALL = {"num_envs": 2, "hidden_sizes": (16, 16), "batch_size": 16, "learning_starts": 40, "total_steps": 400}
SMALL |= {"buffer_size": 300}
SEEDS = (3, 0, 11)


def made(name, config, seed, native=True):
    config = replace(config, seed=seed)
    torch.manual_seed(seed)
    if native:
        env = NativeVectorEnv(NATIVE[config.env], config.num_envs, seed=seed)
    else:
        env = make_env(config.env, config.num_envs, seed=seed, backend="sync")
    agent = agent_class(name)(config, env)
    agent.begin()
    return agent


def whole(stats):
    return {name: float(value) for name, value in stats.items()}


def alone(name, config, seed, updates, native=True):
    agent, scalars = made(name, config, seed, native), []
    while agent.updates < updates:
        scalars.append((agent.collect(), whole(agent.update())))
    return agent, scalars


def together(name, config, seeds, updates, native=True):
    agents, scalars = [made(name, config, seed, native) for seed in seeds], []
    assert not refusal(agents[0])
    members = stack(agents, stacked([agent.env for agent in agents]))
    while agents[0].updates < updates:
        found = zip(members.collect(), members.update(), strict=True)
        scalars.append([(told, whole(stats)) for told, stats in found])
    return agents, [[of_round[s] for of_round in scalars] for s in range(len(seeds))]


CASES = {
    "dqn": ("dqn", {"target_every": 20, "exploration_fraction": 0.3, "train_every": 4, "utd": 0.5}, True),
    "dqn, everything": (
        "dqn",
        {
            "env": "CartPole-v1",
            "normalize_obs": True,
            "normalize_returns": "yes",
            "noisy": True,
            "dueling": True,
            "layer_norm": True,
            "max_grad_norm": 0.1,
            "schedule": "linear",
            "tau": 0.5,
        },
        True,
    ),
    "implicit": ("dqn", {"implicit": True, "quantiles": 8}, True),
    "qrdqn": ("qrdqn", {"quantiles": 8}, True),
    "masks": ("dqn", {"env": "AgentGym/FollowSuit-v0"}, True),
    "steps that draw": ("dqn", {"env": "AgentGym/Recommender-v0"}, True),
    "gymnasium": ("dqn", {"env": "Acrobot-v1"}, False),
    "sac": ("sac", {"buffer_size": 70}, True),  # which is full before the end
    "discrete sac": ("sac", {"env": "CartPole-v1", "utd": 2.0, "train_every": 8}, True),
    "tqc": ("tqc", {"quantiles": 5, "normalize_obs": True, "n_step": 3}, True),
    "td3": ("td3", {"policy_delay": 2, "num_envs": 20}, True),  # drawn by another kernel from 16 on
    "ddpg": ("ddpg", {}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_each_seed_is_as_it_would_be_alone(case):
    name, settings, native = CASES[case]
    config = config_class(name)(**SMALL | settings)
    agents, scalars = together(name, config, SEEDS, 20, native)
    for agent, found, seed in zip(agents, scalars, SEEDS, strict=True):
        other, expected = alone(name, config, seed, 20, native)
        for field, tensor in other.policy.state_dict().items():
            torch.testing.assert_close(agent.policy.state_dict()[field], tensor, rtol=2e-3, atol=2e-5, msg=field)
        for target, theirs in zip(agent.targets.values(), other.targets.values(), strict=True):
            torch.testing.assert_close(target.vector, theirs.vector, rtol=2e-3, atol=2e-5)
        assert (agent.steps, agent.updates, agent.replay.added) == (other.steps, other.updates, other.replay.added)
        assert torch.equal(agent.generator.get_state(), other.generator.get_state())
        for (told, stats), (told_alone, stats_alone) in zip(found, expected, strict=True):
            assert told == pytest.approx(told_alone, rel=1e-3, abs=1e-4)
            assert stats == pytest.approx(stats_alone, rel=5e-3, abs=1e-4)
        ours, theirs = agent.replay, other.replay
        assert torch.equal(ours.count, theirs.count) and torch.equal(ours.place, theirs.place)
        held = [*theirs.fields.values(), *tree_leaves(theirs.obs)]
        for a, b in zip([*ours.fields.values(), *tree_leaves(ours.obs)], held, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name, settings", [("dqn", {"normalize_returns": "yes"}), ("sac", {"buffer_size": 70})])
def test_a_state_that_was_saved_goes_on_in_the_same_bits(name, settings):
    config = config_class(name)(**SMALL | settings)
    unbroken, _ = together(name, config, SEEDS, 30)
    half, _ = together(name, config, SEEDS, 15)
    resumed = [made(name, config, seed) for seed in SEEDS]
    for agent, saved in zip(resumed, half, strict=True):
        agent.load_state_dict(saved.state_dict())
        agent.history.extend(saved.history.since(None))
    members = stack(resumed, stacked([agent.env for agent in resumed]))
    while resumed[0].updates < 30:
        members.collect()
        members.update()
    for a, b in zip(unbroken, resumed, strict=True):
        ours, theirs = a.state_dict(), b.state_dict()
        assert all(torch.equal(tensor, theirs["model"][field]) for field, tensor in ours["model"].items())
        assert all(torch.equal(tensor, theirs["targets"][field]) for field, tensor in ours["targets"].items())
        assert torch.equal(ours["generator"], theirs["generator"]) and torch.equal(ours["obs"], theirs["obs"])
        for held, again in zip(a.history.since(None)["entries"], b.history.since(None)["entries"], strict=True):
            assert torch.equal(held, again)


def test_buffers_that_have_no_room_together_are_refused(monkeypatch):
    agents = [made("dqn", config_class("dqn")(**SMALL), seed) for seed in SEEDS]
    free = 2 * agents[0].replay.num_bytes
    monkeypatch.setattr("agent_gym.agents.buffers.free_memory.free_bytes", lambda device: free)
    with pytest.raises(UserError, match=r"--buffer-size 300 needs .* fits"):
        stack(agents, stacked([agent.env for agent in agents]))


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("dqn", {"prioritized": True}, "--prioritized"),
        ("dqn", {"encoder": "lstm", "learning_starts": 90}, "memories"),
        ("sac", {"critic": "crossq"}, "--critic"),
        ("sac", {"reset_every": 10}, "--reset-every"),
    ],
)
def test_what_cannot_be_one_program_says_why(name, change, words):
    assert words in refusal(made(name, config_class(name)(**SMALL | change), 0))
