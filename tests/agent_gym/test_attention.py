"""Pictures of where a transformer looks, of agents and of tasks."""

import torch

from agent_gym.agents.ppo import PPO, PPOConfig
from agent_gym.attention import attention_pictures
from agent_gym.envs.make import make_env
from agent_gym.tasks.senses.settings import DigitsConfig
from agent_gym.tasks.series.series import Series
from agent_gym.tasks.series.settings import SeriesConfig
from agent_gym.tasks.tables.settings import IrisConfig
from agent_gym.tasks.tables.table import Iris

SMALL = {"encoder": "transformer", "attention_size": 8, "attention_heads": 2, "attention_window": 6}


def test_an_agents_episode_and_nothing_of_another_encoder(monkeypatch):
    torch.manual_seed(0)
    env = make_env("AgentGym/TMaze-v0", 2, backend="native")
    drawn = {}

    def note(weights, queries, keys):
        drawn["weights"] = weights
        return torch.zeros(2, 2, 3, dtype=torch.uint8).numpy()

    monkeypatch.setattr("agent_gym.tasks.plots.attention_image", note)
    policy = PPO(PPOConfig(env="AgentGym/TMaze-v0", num_envs=2, **SMALL), env).policy
    assert list(attention_pictures(policy, env, 0)) == ["final/attention"]
    for weights in drawn["weights"]:
        heads, looks, keys = weights.shape
        age = torch.arange(looks)[:, None] - torch.arange(keys)
        shares = torch.from_numpy(weights)
        torch.testing.assert_close(shares.sum(-1), torch.ones(heads, looks), atol=1e-5, rtol=0)
        assert (shares[:, (age < 0) | (age >= 6)] == 0).all()
    assert attention_pictures(PPO(PPOConfig(num_envs=2), env).policy, env, 0) == {}


def test_columns_and_steps_of_tasks():
    assert "test/attention" in Iris(IrisConfig(**SMALL)).images()
    assert "test/attention" not in Iris(IrisConfig()).images()
    pictures = Series(SeriesConfig(num_series=60, window=12, **SMALL)).images()
    assert pictures["test/attention"].shape[2] == 3
    assert DigitsConfig(**SMALL).attend_to == "inputs"
