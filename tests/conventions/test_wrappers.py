"""Parts of observations, images, vector rewards and scaled rewards, by numbers of hand."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.settings.rewards import RewardSettings
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.layers import Layers
from agent_gym.ground.errors import UserError


class Rich(gymnasium.Env):
    """A picture, a direction and a reward of two parts."""

    action_space = spaces.Discrete(2)

    def __init__(self, shape=(4, 6, 3)):
        image = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = spaces.Dict({"image": image, "direction": spaces.Discrete(4)})
        self.reward_space = spaces.Box(-9.0, 9.0, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        image = self.np_random.integers(0, 256, self.observation_space["image"].shape, dtype=np.uint8)
        self.obs = {"image": image, "direction": 1}
        return self.obs, {}

    def step(self, action):
        self.t += 1
        return self.obs, np.array([self.t, 10.0 * action]), self.t == 3, False, {}


def test_parts_are_taken():
    env = Layers(obs_keys=("direction",)).around(Rich())
    assert env.observation_space == spaces.Discrete(4) and env.reset(seed=0)[0] == 1
    env = Layers(obs_keys=("direction", "image")).around(Rich())
    assert list(env.reset(seed=0)[0]) == list(env.observation_space.spaces) == ["direction", "image"]
    with pytest.raises(UserError, match="--obs-keys imag: .*did you mean.*image"):
        Layers(obs_keys=("imag",)).around(Rich())
    with pytest.raises(UserError, match="expected observations of several parts"):
        Layers(obs_keys=("a",)).around(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize("first", [False, True])
def test_images_are_made_smaller_and_grey(first):
    env = Rich((3, 4, 6) if first else (4, 6, 3))
    image = env.reset(seed=3)[0]["image"]
    image = np.moveaxis(image, 0, 2) if first else image
    small = Layers(resize=(2, 3)).around(env)
    assert small.observation_space["image"].shape == ((3, 2, 3) if first else (2, 3, 3))
    seen = small.reset(seed=3)[0]["image"]
    means = image.reshape(2, 2, 3, 2, 3).mean((1, 3))
    assert np.abs((np.moveaxis(seen, 0, 2) if first else seen) - means).max() <= 1
    grey = Layers(grayscale=True).around(env)
    seen = grey.reset(seed=3)[0]["image"].reshape(4, 6)
    expected = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    assert np.abs(seen - expected).max() <= 0.51
    both = Layers(resize=(2,), grayscale=True).around(env)
    assert both.observation_space.contains(both.reset(seed=0)[0])
    with pytest.raises(UserError, match="--resize 8 8: the observation .* holds no uint8 image"):
        Layers(resize=(8,)).around(gymnasium.make("CartPole-v1"))
    with pytest.raises(UserError, match="--resize 1 2 3: expected height and width"):
        Layers(resize=(1, 2, 3))


def test_vector_rewards_are_weighed_and_told():
    env = SyncEnv([Layers(reward_weights=(2.0, -0.5)).around(Rich()) for _ in range(2)], "Rich")
    env.reset(0)
    step = env.step(torch.tensor([0, 1]))
    assert step.reward.tolist() == [2.0, -3.0]
    assert step.info["reward_1"].tolist() == [1.0, 1.0] and step.info["reward_2"].tolist() == [0.0, 10.0]
    with pytest.raises(UserError, match="--reward-weights 1 2 3: the reward of this environment has 2 parts"):
        Layers(reward_weights=(1.0, 2.0, 3.0)).around(Rich())
    env = SyncEnv([Rich()], "Rich")
    env.reset(0)
    with pytest.raises(UserError, match="--reward-weights 1 1"):
        env.step(torch.tensor([0]))
    layers = Layers(reward_weights=(1.0, 1.0), obs_keys=("image",), resize=(40,))
    check_env(layers.around(Rich()), skip_render_check=True)


def test_rewards_are_scaled_and_then_clipped():
    reward = torch.tensor([-3.0, 0.5, 10.0])
    assert RewardSettings(reward_scale=0.5, clip_reward=1.0).learned_reward(reward).tolist() == [-1.0, 0.25, 1.0]
    assert RewardSettings().learned_reward(reward) is reward


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_agents_learn_from_scaled_rewards_and_show_their_own(name):
    settings = {"num_envs": 1, "hidden_sizes": (4,), "reward_scale": 0.1, "total_steps": 100}
    settings |= {"num_steps": 6} if name == "ppo" else {"learning_starts": 50, "n_step": 1, "normalize_returns": "no"}
    env = SyncEnv([Layers(reward_weights=(1.0, 0.0), obs_keys=("direction",)).around(Rich())], "Rich")
    agent = agent_class(name)(config_class(name)(**settings), env)
    agent.begin()
    for _ in range(6 if name == "dqn" else 1):
        scalars = agent.collect()
        if name == "dqn":
            agent.update()
    assert scalars["rollout/episode_return"] == 6.0  # 1 + 2 + 3
    if name == "dqn":
        slot, _ = agent.replay.draw(50, agent.generator)
        assert set(agent.replay.transitions(slot)["reward"].flatten().tolist()) <= {
            float(np.float32(x)) for x in (0.1, 0.2, np.float32(3) * np.float32(0.1))
        }
    else:
        agent.config.learned_reward(agent.rollout["reward"])
        targets = agent._targets()
        assert targets["returns"].abs().max() < 2.0
