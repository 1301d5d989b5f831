"""The native classic control and its masked versions against Gymnasium's own environments."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from agent_gym.envs.native.classic.acrobot import ACROBOT, ACROBOT_NO_VEL
from agent_gym.envs.native.classic.mountain_car import MOUNTAIN_CAR
from agent_gym.envs.native.classic.mountain_car_continuous import MOUNTAIN_CAR_CONTINUOUS
from agent_gym.envs.native.classic.pendulum import PENDULUM, PENDULUM_NO_VEL
from agent_gym.envs.native.core import NativeGymEnv
from agent_gym.envs.native.vector import NativeVectorEnv

WHOLE = (ACROBOT, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS, PENDULUM)


def by_id(core):
    return core.id


def step_both(theirs, ours, action):
    """One step of Gymnasium's and of the native environment (one copy); both must agree."""
    obs, reward, terminated, truncated, _ = theirs.step(action)
    step = ours.step(torch.as_tensor(np.asarray(action)).unsqueeze(0))
    np.testing.assert_allclose(step.final_obs[0].numpy(), obs, atol=1e-4)
    assert step.reward.dtype == torch.float32 and step.reward.item() == pytest.approx(float(reward), abs=1e-4)
    assert (bool(step.terminated), bool(step.truncated)) == (terminated, truncated)
    return terminated or truncated


@pytest.mark.parametrize("core", [*WHOLE, ACROBOT_NO_VEL, PENDULUM_NO_VEL], ids=by_id)
@pytest.mark.parametrize("seed", range(3))
def test_follows_gymnasium_for_1000_random_steps(core, seed):
    theirs, ours, done = gymnasium.make(core.id), NativeVectorEnv(core, 1, seed=seed), True
    assert (core.obs_space, core.action_space) == (theirs.observation_space, theirs.action_space)
    assert core.max_episode_steps == theirs.spec.max_episode_steps
    theirs.reset(seed=seed)
    theirs.action_space.seed(seed)
    for _ in range(1000):
        if done:
            theirs.reset()
            theirs.unwrapped.state = ours.state[:, 0].double().numpy()
        done = step_both(theirs, ours, theirs.action_space.sample())


@pytest.mark.parametrize(
    ("core", "push"),
    [
        (ACROBOT, lambda obs: 0 if obs[4] > 0 else 2),
        (MOUNTAIN_CAR, lambda obs: 2 if obs[1] > 0 else 0),
        (MOUNTAIN_CAR_CONTINUOUS, lambda obs: np.array([1.0 if obs[1] > 0 else -1.0], np.float32)),
    ],
    ids=lambda part: getattr(part, "id", ""),
)
def test_reaches_the_goal_in_gymnasiums_step(core, push):
    for seed in range(3):
        theirs, ours, done = gymnasium.make(core.id), NativeVectorEnv(core, 1, seed=seed), False
        theirs.reset(seed=seed)
        theirs.unwrapped.state = ours.state[:, 0].double().numpy()
        obs = ours.core.observe(ours.state)[0]
        while not done:
            done = step_both(theirs, ours, push(obs))
            obs = theirs.unwrapped._get_ob() if core is ACROBOT else theirs.unwrapped.state
        assert ours.time == 0


def test_the_wall_stops_the_car_as_gymnasiums_does():
    for core, left in ((MOUNTAIN_CAR, 0), (MOUNTAIN_CAR_CONTINUOUS, np.array([-1.0], np.float32))):
        theirs, ours = gymnasium.make(core.id), NativeVectorEnv(core, 1)
        theirs.reset(seed=0)
        ours.state = torch.tensor([[-1.1], [-0.06]])
        theirs.unwrapped.state = ours.state[:, 0].double().numpy()
        for _ in range(30):
            step_both(theirs, ours, left)
            assert ours.state[0] >= -1.2


@pytest.mark.parametrize("core", WHOLE, ids=by_id)
def test_starts_are_distributed_as_gymnasiums(core):
    theirs = gymnasium.make(core.id).unwrapped
    theirs.reset(seed=0)
    starts = np.array([(theirs.reset(), np.array(theirs.state))[1] for _ in range(2000)]).T
    ours = NativeVectorEnv(core, 4000).state.numpy()
    for mine, other in zip(ours, starts, strict=True):
        assert (mine == 0).all() if (other == 0).all() else kstest(mine, other).pvalue > 0.01


@pytest.mark.parametrize("core", WHOLE, ids=by_id)
def test_picture_is_gymnasiums(core):
    theirs = gymnasium.make(core.id, render_mode="rgb_array")
    theirs.reset(seed=0)
    ours = NativeGymEnv(core, render_mode="rgb_array")
    ours.reset(seed=0)
    theirs.unwrapped.state = ours.state[:, 0].numpy()
    assert np.array_equal(ours.render(), theirs.render())
