"""Running statistics against NumPy, Stable-Baselines3's RunningMeanStd and its VecNormalize."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agent_gym.nets.normalisation import ObsNorm, ReturnScale, RunningNorm


def test_running_norm_equals_numpy_over_everything_seen():
    rng = np.random.default_rng(0)
    chunks = [rng.normal(50.0, 3.0, (*lead, 2, 3)).astype(np.float32) for lead in [(1,), (7, 4), (2,), (5, 1, 3)]]
    norm, theirs = RunningNorm((2, 3), clip=1.5), RunningMeanStd(epsilon=0.0, shape=(2, 3))
    for chunk in chunks:
        norm.update(torch.from_numpy(chunk))
        theirs.update(chunk.reshape(-1, 2, 3).astype(np.float64))
    everything = np.concatenate([chunk.reshape(-1, 2, 3) for chunk in chunks]).astype(np.float64)
    np.testing.assert_allclose(norm.mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(norm.var, everything.var(0), rtol=1e-9)
    np.testing.assert_allclose(norm.mean, theirs.mean, rtol=1e-12)
    np.testing.assert_allclose(norm.var, theirs.var, rtol=1e-9)
    assert norm.count == len(everything)
    expected = np.clip((chunks[1] - everything.mean(0)) / np.sqrt(everything.var(0) + 1e-8), -1.5, 1.5)
    np.testing.assert_allclose(norm(torch.from_numpy(chunks[1])), expected, atol=1e-5)


def test_before_any_update_values_pass_clipped():
    assert RunningNorm((2,))(torch.tensor([0.5, 99.0])).tolist() == [0.5, 10.0]


def test_a_saved_norm_goes_on_like_the_original():
    original, loaded = RunningNorm((3,)), RunningNorm((3,))
    original.update(5.0 * torch.randn(10, 3))
    loaded.load_state_dict(original.state_dict())
    more = torch.randn(10, 3)
    for norm in (original, loaded):
        norm.update(more)
    assert torch.equal(original(more), loaded(more))


def test_obs_norm_takes_float_boxes_and_leaves_the_rest():
    space = spaces.Dict(
        image=spaces.Box(0, 255, (4, 4, 3), np.uint8),
        inner=spaces.Tuple([spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(3)]),
    )
    obs = {
        "image": torch.full((6, 4, 4, 4, 3), 9, dtype=torch.uint8),
        "inner": {"0": 3.0 + 2.0 * torch.randn(6, 4, 2), "1": torch.ones(6, 4, dtype=torch.int64)},
    }
    norm = ObsNorm(space)
    norm.update(obs)
    result = norm(obs)
    assert result["image"] is obs["image"] and result["inner"]["1"] is obs["inner"]["1"]
    vectors = obs["inner"]["0"].numpy().reshape(-1, 2)
    expected = (vectors - vectors.mean(0)) / vectors.std(0)
    np.testing.assert_allclose(result["inner"]["0"].reshape(-1, 2), expected, atol=1e-5)
    frozen = {key: value.clone() for key, value in norm.state_dict().items()}
    norm(obs)
    assert all(torch.equal(frozen[key], value) for key, value in norm.state_dict().items())


class Scripted(gym.Env):
    """Plays back rewards and ends of episodes."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, rewards: np.ndarray, dones: np.ndarray):
        self.script = iter(zip(rewards.tolist(), dones.tolist(), strict=True))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        reward, done = next(self.script)
        return np.zeros(1, np.float32), reward, done, False, {}


@pytest.mark.parametrize("chunk", [1, 5, 20])
def test_return_scale_equals_vec_normalize(chunk):
    rng = np.random.default_rng(0)
    rewards, dones = rng.normal(1.0, 2.0, (20, 3)).astype(np.float32), rng.random((20, 3)) < 0.2
    theirs = VecNormalize(
        DummyVecEnv([lambda i=i: Scripted(rewards[:, i], dones[:, i]) for i in range(3)]), norm_obs=False, gamma=0.9
    )
    theirs.ret_rms = RunningMeanStd(epsilon=0.0, shape=())
    theirs.reset()
    for _ in range(20):
        theirs.step(np.zeros(3, int))
    ours = ReturnScale(num_envs=3, gamma=0.9)
    for start in range(0, 20, chunk):
        ours.update(torch.from_numpy(rewards[start : start + chunk]), torch.from_numpy(dones[start : start + chunk]))
    np.testing.assert_allclose(ours.stats.var, theirs.ret_rms.var, rtol=1e-5)
    np.testing.assert_allclose(ours.scale(torch.from_numpy(rewards)), theirs.normalize_reward(rewards), rtol=1e-5)
