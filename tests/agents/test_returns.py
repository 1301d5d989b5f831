"""GAE against numbers by hand and Stable-Baselines3; episode statistics against a plain loop."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from agent_gym.agents.buffers.returns import EpisodeStats, gae


def test_gae_by_hand():
    # One environment, gamma 0.5, lambda 0.5: step 0 goes on, step 1 is truncated, step 2 terminates, step 3 goes on.
    column = lambda *values: torch.tensor(values).unsqueeze(1)  # noqa: E731
    advantage, returns = gae(
        reward=column(1.0, 2.0, 3.0, 4.0),
        value=column(0.5, 1.0, 1.5, 2.0),
        terminated=column(False, False, True, False),
        truncated=column(False, True, False, False),
        final_value=column(9.0, 8.0, 9.0, 9.0),
        last_value=torch.tensor([6.0]),
        gamma=0.5,
        gae_lambda=0.5,
    )
    delta = [1 + 0.5 * 1.0 - 0.5, 2 + 0.5 * 8.0 - 1.0, 3 - 1.5, 4 + 0.5 * 6.0 - 2.0]
    expected = column(delta[0] + 0.25 * delta[1], delta[1], delta[2], delta[3])
    torch.testing.assert_close(advantage, expected)
    torch.testing.assert_close(returns, expected + column(0.5, 1.0, 1.5, 2.0))


def test_gae_agrees_with_stable_baselines3():
    rng = np.random.default_rng(0)
    steps, envs, gamma, lam = 37, 5, 0.97, 0.9
    reward, value, final_value = (rng.normal(size=(steps, envs)).astype(np.float32) for _ in range(3))
    terminated = rng.random((steps, envs)) < 0.1
    truncated = (rng.random((steps, envs)) < 0.1) & ~terminated
    done = terminated | truncated
    last_value = rng.normal(size=envs).astype(np.float32)

    buffer = RolloutBuffer(steps, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), gae_lambda=lam, gamma=gamma, n_envs=envs)
    starts = np.ones(envs)
    for t in range(steps):
        # Stable-Baselines3 adds the bootstrap of a truncated step to its reward.
        bootstrapped = reward[t] + gamma * final_value[t] * truncated[t]
        obs, action, log_prob = np.zeros((envs, 1)), np.zeros(envs), torch.zeros(envs)
        buffer.add(obs, action, bootstrapped, starts, torch.from_numpy(value[t]), log_prob)
        starts = done[t]
    buffer.compute_returns_and_advantage(torch.from_numpy(last_value), done[-1])

    tensors = [torch.from_numpy(x) for x in (reward, value, terminated, truncated, final_value, last_value)]
    advantage, returns = gae(*tensors, gamma, lam)
    np.testing.assert_allclose(advantage, buffer.advantages, atol=1e-5)
    np.testing.assert_allclose(returns, buffer.returns, atol=1e-5)


@pytest.mark.parametrize("with_gaps", [False, True])
def test_episode_stats_agree_with_a_loop(with_gaps):
    rng = np.random.default_rng(1)
    envs, stats = 4, EpisodeStats(4, "cpu")
    running = [(0.0, 0)] * envs
    for steps in (7, 1, 12):
        reward = rng.normal(size=(steps, envs)).astype(np.float32)
        done = rng.random((steps, envs)) < 0.25
        valid = rng.random((steps, envs)) < (0.8 if with_gaps else 2.0)
        done &= valid
        reward = np.where(valid, reward, 0.0).astype(np.float32)
        expected = []
        for t in range(steps):
            for b in range(envs):
                running[b] = (running[b][0] + reward[t, b], running[b][1] + int(valid[t, b]))
                if done[t, b]:
                    expected.append(running[b])
                    running[b] = (0.0, 0)
        mask = torch.from_numpy(valid) if with_gaps else None
        got = stats.update(torch.from_numpy(reward), torch.from_numpy(done), mask)
        np.testing.assert_allclose(got.episode_return, [r for r, _ in expected], atol=1e-6)
        np.testing.assert_array_equal(got.episode_length, [n for _, n in expected])
