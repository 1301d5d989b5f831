"""Running statistics against NumPy, Stable-Baselines3's RunningMeanStd and its VecNormalize."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agent_gym.nets.normalisation import ObsNorm, RunningNorm
from agent_gym.nets.return_scale import ReturnScale


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
        "image": torch.full((6, 4, 4, 4, 3), 99, dtype=torch.uint8),
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
    np.testing.assert_allclose(
        ours.transform(torch.from_numpy(rewards), torch.zeros(20, 3, dtype=torch.bool)),
        theirs.normalize_reward(rewards),
        rtol=1e-5,
    )


def played(rewards, length, episodes, envs=4):
    """[T, B] of rewards drawn by `rewards(shape)` in episodes of `length` steps, and their ends."""
    done = torch.zeros(length * episodes, envs, dtype=torch.bool)
    done[length - 1 :: length] = True
    return rewards(done.shape), done


def test_a_constant_part_is_taken_out_where_episodes_are_of_one_length():
    generator = torch.Generator().manual_seed(0)
    reward, done = played(lambda shape: 100.0 + torch.randint(0, 2, shape, generator=generator), 3, 50)
    scale = ReturnScale(4, 0.99)
    for part in range(0, 150, 10):  # episodes go on from one rollout to the next
        scale.update(reward[part : part + 10], done[part : part + 10])
    learned = scale.transform(reward, done)
    assert scale.length == 3
    torch.testing.assert_close(learned.mean(), torch.tensor(0.0), atol=1e-3, rtol=0)
    gap = learned[reward == 101.0].mean() - learned[reward == 100.0].mean()
    torch.testing.assert_close(gap, (1.0 / (reward.std(correction=0) * 3**0.5)))


def test_elsewhere_it_is_taken_out_of_the_values():
    """Discounted returns of what is learned are (V - offset) * scale, from every step of every episode."""
    generator = torch.Generator().manual_seed(0)
    reward, done = torch.randn(400, 1, generator=generator) - 500.0, torch.zeros(400, 1, dtype=torch.bool)
    ends = [60, 150, 399]
    done[ends] = True
    scale = ReturnScale(1, 0.5)
    scale.update(reward, done)
    assert scale.length == -1 and scale.stats.offset < -900
    learned = scale.transform(reward, done)
    start = 0
    for end in ends:
        discount = 0.5 ** torch.arange(end + 1 - start, dtype=torch.float64)
        raw, new = ((x[start : end + 1, 0].double() * discount).sum() for x in (reward, learned))
        torch.testing.assert_close(scale.stats.in_reward(new), raw, rtol=1e-5, atol=0)
        start = end + 1


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_small_and_large_rewards_become_ordinary(size):
    generator = torch.Generator().manual_seed(0)
    reward, done = played(lambda shape: size * torch.randn(shape, generator=generator), 5, 40)
    scale = ReturnScale(4, 0.9)
    scale.update(reward, done)
    assert 0.3 < scale.transform(reward, done).std() < 1.0


def test_rare_large_rewards_keep_their_order():
    reward, done = played(torch.ones, 1, 1000)
    reward[17, 0], reward[400, 2] = 500.0, 1000.0
    scale = ReturnScale(4, 0.99)
    scale.update(reward, done)
    learned = scale.transform(reward, done)
    assert learned[400, 2] > 1.5 * learned[17, 0] > 100 * learned[0, 0] > 0


@pytest.mark.parametrize("value", [0.0, 7.0, -1e-9])
def test_rewards_that_never_differ(value):
    reward, done = played(lambda shape: torch.full(shape, value), 1, 20)
    scale = ReturnScale(4, 0.99)
    scale.update(reward, done)
    torch.testing.assert_close(scale.transform(reward, done), torch.full_like(reward, float(np.sign(value))))


def test_usual_rewards_stay_as_they_are_where_only_odd_ones_are_scaled():
    generator = torch.Generator().manual_seed(0)
    for size, stays in ((1.0, True), (16.0, True), (1e-6, False), (1e6, False)):
        reward, done = played(lambda shape, size=size: size * torch.randn(shape, generator=generator), 5, 40)
        scale = ReturnScale(4, 0.9, only_odd=True)
        scale.update(reward, done)
        assert scale.changes != stays
        assert torch.equal(scale.transform(reward, done), reward) == stays


def test_float64_is_centred_before_it_becomes_float32():
    seconds = 1.7e9 + torch.arange(64, dtype=torch.float64).view(8, 8, 1) * 0.25
    obs = torch.cat((seconds, torch.randn(8, 8, 1, dtype=torch.float64)), dim=-1)
    norm = ObsNorm(spaces.Box(-np.inf, np.inf, (2,), np.float64))
    norm.start(obs[0])
    norm.update(obs)
    expected = (obs - obs.mean((0, 1))) / obs.flatten(0, 1).std(0, correction=0)
    torch.testing.assert_close(norm(obs), expected.float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm(norm.single(obs)), expected.float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.single(obs)[..., 0].double(), obs[..., 0] - obs[0, 0, 0])


def test_only_wide_entries_are_normalised_where_nobody_asked_for_it():
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(50, 4, 3, generator=generator) * torch.tensor([1.0, 1e4, 60.0])
    norm = ObsNorm(
        spaces.Box(np.array([-9, -np.inf, 0], np.float32), np.array([9, np.inf, 255], np.float32)), always=False
    )
    assert norm(obs) is obs
    norm.update(obs)
    assert norm.norm.wide.tolist() == [False, True, True]
    assert torch.equal(norm(obs)[..., 0], obs[..., 0])
    torch.testing.assert_close(norm(obs)[..., 1:].std((0, 1), correction=0), torch.ones(2), atol=1e-3, rtol=0)


def test_images_are_scaled_by_what_they_use_of_their_range():
    space = spaces.Box(0, 255, (40, 40), np.uint8)
    norm, dark, bright = ObsNorm(space), torch.zeros(2, 3, 40, 40, dtype=torch.uint8), None
    norm.update(dark)
    assert norm(dark) is dark
    dark[0, 0, 3] = 10
    norm.update(dark)
    torch.testing.assert_close(norm(dark), dark * 25.5)
    bright = dark + 200
    norm.update(bright)
    assert norm(bright) is bright and norm(dark) is dark
    loaded = ObsNorm(space)
    loaded.load_state_dict(norm.state_dict())
    assert loaded.norm.factor == norm.norm.factor


def test_a_state_from_before_a_statistic_existed_can_be_opened():
    norm = ObsNorm(spaces.Box(-1, 1, (2,)))
    old = {name: value for name, value in norm.state_dict().items() if "origin" not in name and "wide" not in name}
    norm.load_state_dict(old)
    assert norm.norm.wide.all()
