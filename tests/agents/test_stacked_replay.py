"""Seeds of agents with replay buffers trained as one program take the way that each takes alone."""

import pytest
import stacks
import torch
from stacks import SEEDS, made

from agent_gym.agents import config_class
from agent_gym.agents.stacked.kinds import refusal, stack
from agent_gym.envs.stacked import stacked
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_leaves

SMALL = {"num_envs": 2, "hidden_sizes": (16, 16), "batch_size": 16, "learning_starts": 40, "total_steps": 400}
SMALL |= {"buffer_size": 300}


def after(updates):
    return lambda agent: agent.updates >= updates


def alone(name, config, seed, updates, native=True, **own):
    return stacks.alone(made(name, config, seed, native, **own), after(updates))


def together(name, config, seeds, updates, native=True, of_each=({}, {}, {})):
    agents = [made(name, config, seed, native, **own) for seed, own in zip(seeds, of_each, strict=True)]
    return agents, stacks.together(agents, after(updates))


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
    "other settings of dqn": ("dqn", {"target_every": 20}, True),
    "other settings of sac": ("sac", {}, True),
}
OWN = {  # settings of each member
    "other settings of dqn": ({"learning_rate": 1e-2, "exploration_fraction": 0.5}, {"exploration_final": 0.3}, {}),
    "other settings of sac": ({"learning_rate": 1e-2}, {"tau": 0.5}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_seed_is_as_it_would_be_alone(case):
    name, settings, native = CASES[case]
    config, of_each = config_class(name)(**SMALL | settings), OWN.get(case, ({}, {}, {}))
    agents, scalars = together(name, config, SEEDS, 20, native, of_each)
    for agent, found, seed, own in zip(agents, scalars, SEEDS, of_each, strict=True):
        other, expected = alone(name, config, seed, 20, native, **own)
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
    assert words in refusal([made(name, config_class(name)(**SMALL | change), 0)])


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_members_go_on_without_one_of_them(name):
    config = config_class(name)(**SMALL)
    agents, _ = together(name, config, SEEDS, 10)
    left = agents[::2]
    stacks.together(left, after(20))
    for agent, seed in zip(left, SEEDS[::2], strict=True):
        other, _ = alone(name, config, seed, 20)
        for field, tensor in other.policy.state_dict().items():
            torch.testing.assert_close(agent.policy.state_dict()[field], tensor, rtol=2e-3, atol=2e-5, msg=field)
        for target, theirs in zip(agent.targets.values(), other.targets.values(), strict=True):
            torch.testing.assert_close(target.vector, theirs.vector, rtol=2e-3, atol=2e-5)
        assert torch.equal(agent.replay.count, other.replay.count)
