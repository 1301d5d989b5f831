"""The fixed quota of episodes, and the summary against SciPy."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.training.evaluation import play
from agent_gym.training.score import Score


class Metronome(VectorEnv):
    """Environment b pays 1 a step and ends every 3 + 4b steps: short episodes come far more often than long ones."""

    id, backend, device = "Metronome", "native", torch.device("cpu")
    obs_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def __init__(self, num_envs: int, gaps: bool = False):
        self.num_envs, self.gaps = num_envs, gaps
        self.length = 3 + 4 * torch.arange(num_envs)

    def reset(self, seed: int):
        self.time = torch.zeros(self.num_envs, dtype=torch.long)
        self.ended = torch.zeros(self.num_envs, dtype=torch.bool)
        return torch.zeros(self.num_envs, 1)

    def step(self, action):
        valid = ~self.ended if self.gaps else torch.ones(self.num_envs, dtype=torch.bool)
        self.time = self.time + valid
        terminated = (self.time == self.length) & valid
        self.time[terminated] = 0
        self.ended = terminated
        obs = torch.zeros(self.num_envs, 1)
        never = torch.zeros_like(terminated)
        return Step(obs, valid.float(), terminated, never, obs, {}, valid if self.gaps else None)


class Idle:
    device = torch.device("cpu")

    def initial_state(self, num_envs):
        return torch.zeros(num_envs, 0)

    def act(self, obs, state, reset, mask=None, **drawing):
        return torch.zeros(len(obs), dtype=torch.long), state, {}


@pytest.mark.parametrize("gaps", [False, True])
def test_every_environment_plays_its_share(gaps):
    score = play(Idle(), Metronome(3, gaps), 8, seed=0)
    assert sorted(score.lengths) == [3] * 3 + [7] * 3 + [11] * 2
    np.testing.assert_array_equal(score.returns, score.lengths)


def test_fewer_episodes_than_environments():
    assert sorted(play(Idle(), Metronome(5), 2, seed=0).lengths) == [3, 7]


def test_summary_agrees_with_scipy():
    returns = np.random.default_rng(3).gamma(2.0, 50.0, size=101)
    summary = Score(returns, np.arange(101)).summary()
    assert summary["return_iqm"] == pytest.approx(stats.trim_mean(returns, 0.25))
    assert summary["return_mean"] == pytest.approx(returns.mean()) and summary["length_mean"] == 50.0
    reference = stats.bootstrap((returns,), np.mean, method="percentile", n_resamples=5000, random_state=1)
    low, high = summary["return_ci95"]
    assert low == pytest.approx(reference.confidence_interval.low, rel=0.02)
    assert high == pytest.approx(reference.confidence_interval.high, rel=0.02)
