"""Seeds trained as one program take the way that each takes alone."""

from dataclasses import replace

import numpy as np
import pytest
import stacks
import torch
from stacks import SEEDS

from agent_gym.agents.settings.ppo import A2CConfig, PPOConfig
from agent_gym.agents.stacked.kinds import refusal
from agent_gym.agents.stacked.on_policy import StackedOnPolicy
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.stacked import StackedNative, stacked
from agent_gym.ground.tree import tree_leaves
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.learner.learner import NonFiniteError
from agent_gym.nets.learner.stacked import Stack

SMALL = {"num_envs": 4, "num_steps": 16, "num_epochs": 2, "num_minibatches": 2, "hidden_sizes": (16, 16)}
PPO_SMALL = PPOConfig(**SMALL, total_steps=20 * 64)


def made(config, seed, native=True, **settings):
    return stacks.made("ppo", config, seed, native, **settings)


def after(rounds, config):
    return lambda agent: agent.steps >= rounds * config.num_envs * config.num_steps


def alone(config, seed, rounds, native=True, **settings):
    return stacks.alone(made(config, seed, native, **settings), after(rounds, config))


def together(config, seeds, rounds, native=True, of_each=({}, {}, {})):
    agents = [made(config, seed, native, **own) for seed, own in zip(seeds, of_each, strict=True)]
    return agents, stacks.together(agents, after(rounds, config))


CASES = {
    "choices": (PPO_SMALL, True),
    "a2c": (A2CConfig(**SMALL | {"num_epochs": 1, "num_minibatches": 1}, total_steps=20 * 64), True),
    "everything": (
        replace(
            PPO_SMALL,
            normalize_obs=True,
            normalize_returns=True,
            clip_schedule="linear",
            entropy_coef=0.01,
            clip_value_coef=0.2,
            layer_norm=True,
            max_episode_steps=7,
        ),
        True,
    ),
    "numbers": (replace(PPO_SMALL, env="Pendulum-v1", normalize_obs=True), True),
    "many numbers": (replace(PPO_SMALL, env="Pendulum-v1", num_envs=20), True),  # drawn by another kernel from 16 on
    "steps that draw": (replace(PPO_SMALL, env="AgentGym/Recommender-v0"), True),
    "masks": (replace(PPO_SMALL, env="AgentGym/FollowSuit-v0"), True),
    "gymnasium": (replace(PPO_SMALL, env="Acrobot-v1"), False),
    "other settings": (replace(PPO_SMALL, env="Pendulum-v1", normalize_returns=True), True),
}
OWN = (  # settings of each member
    {"learning_rate": 1e-2, "gamma": 0.9, "clip_coef": 0.1, "log_std_init": -1.0},
    {"gae_lambda": 0.8, "value_coef": 1.0, "entropy_coef": 0.1},
    {},
)


@pytest.mark.parametrize("case", CASES)
def test_each_seed_is_as_it_would_be_alone(case):
    config, native = CASES[case]
    rounds = 20 if case == "choices" else 5
    of_each = OWN if case == "other settings" else ({}, {}, {})
    agents, scalars = together(config, SEEDS, rounds, native, of_each)
    for agent, found, seed, own in zip(agents, scalars, SEEDS, of_each, strict=True):
        other, expected = alone(config, seed, rounds, native, **own)
        for name, tensor in other.policy.state_dict().items():
            torch.testing.assert_close(agent.policy.state_dict()[name], tensor, rtol=2e-3, atol=2e-5, msg=name)
        assert agent.steps == other.steps
        torch.testing.assert_close(agent.window, other.window, rtol=1e-4, atol=1e-4)
        for (told, stats), (told_alone, stats_alone) in zip(found, expected, strict=True):
            assert told == pytest.approx(told_alone, rel=1e-3, abs=1e-4)
            assert stats.keys() == stats_alone.keys()
            assert stats["entropy"] == pytest.approx(stats_alone["entropy"], rel=1e-3, abs=1e-5)
            assert stats["approx_kl"] == pytest.approx(stats_alone["approx_kl"], rel=0.05, abs=1e-5)
        for a, b in zip(tree_leaves(agent.obs), tree_leaves(other.obs), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_state_that_was_saved_goes_on_in_the_same_bits():
    config = replace(PPO_SMALL, normalize_obs=True, normalize_returns=True)
    whole, _ = together(config, SEEDS, 6)
    half, _ = together(config, SEEDS, 3)
    states = [agent.state_dict() for agent in half]
    resumed = [made(config, seed) for seed in SEEDS]
    for agent, state in zip(resumed, states, strict=True):
        agent.load_state_dict(state)
    stack = StackedOnPolicy(resumed, stacked([agent.env for agent in resumed]))
    for _ in range(3):
        stack.collect()
        stack.update()
    for a, b in zip(whole, resumed, strict=True):
        ours, theirs = a.state_dict(), b.state_dict()
        assert all(torch.equal(tensor, theirs["model"][name]) for name, tensor in ours["model"].items())
        assert torch.equal(ours["generator"], theirs["generator"]) and torch.equal(ours["obs"], theirs["obs"])
        assert torch.equal(ours["learner"]["state"]["exp_avg"], theirs["learner"]["state"]["exp_avg"])


def test_a_loss_that_is_not_finite_names_its_seed_and_changes_nothing():
    agents = [made(PPO_SMALL, seed) for seed in SEEDS]
    stack = StackedOnPolicy(agents, stacked([agent.env for agent in agents]))
    stack.collect()
    with torch.no_grad():
        agents[1].network.value_head.linear.bias.fill_(float("nan"))
    before = [agent.learner.parameters.detach().clone() for agent in agents]
    with pytest.raises(NonFiniteError, match="seed 0:"):
        stack.update()
    assert all(torch.equal(a.learner.parameters, b) for a, b in zip(agents[::2], before[::2], strict=True))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"target_kl": 0.1}, "--target-kl"),
        ({"encoder": "lstm"}, "memories"),
        ({"on_env_error": "restart"}, "--on-env-error"),
        ({"log_layers": True}, "--log-layers"),
    ],
)
def test_what_cannot_be_one_program_says_why(change, words):
    assert words in refusal([made(replace(PPO_SMALL, **change), 0)])


def test_settings_that_no_tensor_holds_may_not_differ():
    agents = [made(PPO_SMALL, seed, **own) for seed, own in enumerate(({}, {"num_epochs": 3}))]
    assert refusal(agents) == "their settings of num_epochs differ"


def test_rows_are_the_members_own_tensors():
    modules = [torch.nn.Sequential(Linear(3, 4), torch.nn.Tanh(), Linear(4, 2)) for _ in range(3)]
    x = torch.randn(3, 5, 3)
    expected = torch.stack([module(part) for module, part in zip(modules, x, strict=True)])
    stack = Stack([[module] for module in modules], [[], [], []])
    torch.testing.assert_close(stack.mapped(lambda part: modules[0](part))(x), expected)
    with torch.no_grad():
        modules[2][0].bias += 1.0
    torch.testing.assert_close(stack.rows(modules[0][0].bias)[2], modules[2][0].bias)
    with torch.no_grad():
        torch.testing.assert_close(stack.mapped(lambda part: modules[0](part))(x)[2], modules[2](x[2]))


@pytest.mark.parametrize("env_id", [name for name, core in NATIVE.items() if not core.draws])
def test_steps_that_are_said_to_draw_nothing_do_not(env_id):
    env = NativeVectorEnv(NATIVE[env_id], 16)
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    state = env.core.initial(16, torch.Generator().manual_seed(1), torch.device("cpu"))
    for _ in range(100):
        sample = [env.core.action_space.sample() for _ in range(16)]
        state, _, _ = env.core.step(state, torch.as_tensor(np.array(sample)), generator)
    assert torch.equal(generator.get_state(), before)


def test_native_environments_side_by_side_are_those_alone():
    core = NATIVE["CartPole-v1"]
    ones, others = ([NativeVectorEnv(core, 3, seed=seed) for seed in (4, 5)] for _ in range(2))
    env = stacked(ones)
    assert isinstance(env, StackedNative)
    env.take_up()
    torch.manual_seed(0)
    for _ in range(60):
        action = torch.randint(0, 2, (6,))
        step = env.step(action)
        for k, other in enumerate(others):
            expected = other.step(action[3 * k : 3 * k + 3])
            torch.testing.assert_close(step.obs[3 * k : 3 * k + 3], expected.obs)
            torch.testing.assert_close(step.final_obs[3 * k : 3 * k + 3], expected.final_obs)
            assert torch.equal(step.terminated[3 * k : 3 * k + 3], expected.terminated)
    env.hand_back()
    assert all(torch.equal(a.generator.get_state(), b.generator.get_state()) for a, b in zip(ones, others, strict=True))
    assert all(torch.equal(a.time, b.time) and a.steps == b.steps for a, b in zip(ones, others, strict=True))


def test_members_go_on_without_one_of_them():
    config = replace(PPO_SMALL, normalize_obs=True, normalize_returns=True)
    agents, _ = together(config, SEEDS, 3)
    left = agents[::2]
    stacks.together(left, after(6, config))
    for agent, seed in zip(left, SEEDS[::2], strict=True):
        other, _ = alone(config, seed, 6)
        for name, tensor in other.policy.state_dict().items():
            torch.testing.assert_close(agent.policy.state_dict()[name], tensor, rtol=2e-3, atol=2e-5, msg=name)
    assert agents[1].steps == 3 * config.num_envs * config.num_steps
