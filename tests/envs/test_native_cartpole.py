"""The native CartPole against Gymnasium's, and the generic native vector environment."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.stats import kstest

from agent_gym.envs.make import make_env, native_core
from agent_gym.envs.native.classic.cartpole import CARTPOLE, CARTPOLE_NO_VEL
from agent_gym.envs.native.core import NativeGymEnv
from agent_gym.envs.native.vector import NativeVectorEnv

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("core", [CARTPOLE, CARTPOLE_NO_VEL], ids=lambda core: core.id)
def test_follows_gymnasium_for_1000_random_steps(core):
    theirs = gymnasium.make(core.id)
    theirs.reset(seed=0)
    ours, t = NativeVectorEnv(core, 1), 0
    for action in torch.randint(0, 2, (1000, 1), generator=GENERATOR):
        if t == 0:
            theirs.reset()
            theirs.unwrapped.state = ours.state[:, 0].double().numpy()
        obs, reward, terminated, truncated, _ = theirs.step(int(action))
        step = ours.step(action)
        np.testing.assert_allclose(step.final_obs[0].numpy(), obs, atol=1e-4)
        assert step.reward.item() == reward and bool(step.terminated) == terminated
        t = 0 if terminated or truncated else t + 1


def test_ends_by_time_like_gymnasium():
    # A balancing rule keeps the pole up, so that the limit is reached; the system is unstable, so errors would grow.
    theirs, ours = gymnasium.make("CartPole-v1"), NativeVectorEnv(CARTPOLE, 1)
    theirs.reset(seed=0)
    obs = ours.reset(0)
    for t in range(1, 501):
        theirs.unwrapped.state = obs[0].double().numpy()
        action = (obs[:, 2] + 0.3 * obs[:, 3] + 0.02 * obs[:, 0] + 0.05 * obs[:, 1] > 0).long()
        step = ours.step(action)
        _, _, terminated, truncated, _ = theirs.step(int(action))
        assert not step.terminated and not terminated
        assert bool(step.truncated) == truncated == (t == 500)
        obs = step.obs
    assert (step.obs.abs() <= 0.05).all() and not torch.equal(step.obs, step.final_obs)


def test_only_ended_episodes_start_anew():
    core = dataclasses.replace(CARTPOLE, max_episode_steps=9)
    env, generator = NativeVectorEnv(core, 64, seed=1), torch.Generator().manual_seed(0)
    obs, time = env.reset(1), torch.zeros(64, dtype=torch.int64)
    for _ in range(100):
        action = torch.randint(0, 2, (64,), generator=generator)
        step = env.step(action)
        state, _, terminated = core.step(obs.T, action, generator)
        time += 1
        done = step.terminated | step.truncated
        torch.testing.assert_close(step.final_obs, state.T, atol=1e-6, rtol=0)
        assert torch.equal(step.terminated, terminated) and torch.equal(step.truncated, time == 9)
        assert torch.equal(step.obs[~done], step.final_obs[~done]) and (step.obs[done].abs() <= 0.05).all()
        time[done], obs = 0, step.obs


def test_starts_are_distributed_as_gymnasiums():
    theirs = gymnasium.make_vec("CartPole-v1", 4096, "vector_entry_point").reset(seed=0)[0]
    ours = NativeVectorEnv(CARTPOLE, 4096).reset(0).numpy()
    for column in range(4):
        assert kstest(ours[:, column], theirs[:, column]).pvalue > 0.01
    assert np.abs(np.corrcoef(ours.T) - np.eye(4)).max() < 0.06


def test_state_dict_continues_exactly():
    env, other = (make_env("CartPole-v1", 32, seed=seed) for seed in (0, 9))
    actions = torch.randint(0, 2, (120, 32), generator=GENERATOR)
    for action in actions[:60]:
        env.step(action)
    other.load_state_dict(env.state_dict())
    assert torch.equal(other.observe(), env.observe())
    for action in actions[60:]:
        first, second = env.step(action), other.step(action)
        assert all(torch.equal(a, b) for a, b in zip(first[:5], second[:5], strict=True))


def test_grad_modes_can_be_mixed():
    env, action = NativeVectorEnv(CARTPOLE, 8), torch.ones(8, dtype=torch.int64)
    with torch.inference_mode():
        env.reset(0)
        inside = [env.step(action).obs.clone() for _ in range(15)]
    env.reset(0)
    outside = [env.step(action).obs for _ in range(10)]
    with torch.no_grad():
        outside += [env.step(action).obs for _ in range(5)]
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


@pytest.mark.filterwarnings("ignore:.*Box observation space")
@pytest.mark.parametrize("core", [CARTPOLE, CARTPOLE_NO_VEL], ids=lambda core: core.id)
def test_native_gym_env_passes_gymnasiums_checker(core):
    check_env(NativeGymEnv(core, render_mode="rgb_array"), skip_render_check=True)


@pytest.mark.filterwarnings("ignore:.*Box (observation|action) space")
@pytest.mark.parametrize("env_id", ["AgentGym/CartPoleNoVel-v1", "AgentGym/PendulumNoVel-v1"])
def test_velocity_free_env_passes_gymnasiums_checker(env_id):
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(
    ("masked", "whole", "entries", "limit"),
    [
        ("AgentGym/CartPoleNoVel-v1", "CartPole-v1", [0, 2], 500),
        ("AgentGym/PendulumNoVel-v1", "Pendulum-v1", [0, 1], 200),
    ],
)
def test_velocity_free_env_is_the_whole_one_with_entries_left_out(masked, whole, entries, limit):
    masked_env, whole_env = gymnasium.make(masked), gymnasium.make(whole)
    assert masked_env.spec.max_episode_steps == whole_env.spec.max_episode_steps == limit
    assert np.array_equal(masked_env.reset(seed=4)[0], whole_env.reset(seed=4)[0][entries])
    whole_env.action_space.seed(0)
    for _ in range(8):
        action = whole_env.action_space.sample()
        ours, theirs = masked_env.step(action), whole_env.step(action)
        assert np.array_equal(ours[0], theirs[0][entries]) and ours[1:4] == theirs[1:4]
    if native_core(masked) is not None:
        assert native_core(masked).obs_space == masked_env.observation_space


def test_picture_is_gymnasiums():
    theirs = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    theirs.reset(seed=0)
    ours = NativeGymEnv(CARTPOLE, render_mode="rgb_array")
    ours.reset(seed=0)
    theirs.unwrapped.state = ours.state[:, 0].numpy()
    assert np.array_equal(ours.render(), theirs.render())
