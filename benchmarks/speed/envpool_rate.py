"""What PPO leaves of EnvPool's bare stepping rate: python -m benchmarks.speed.envpool_rate."""

from __future__ import annotations

import statistics
import time

import torch
from gymnasium import spaces

from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import VectorEnv

NUM_ENVS, SECONDS, REPEATS = 64, 3.0, 5


def random_action(env: VectorEnv) -> torch.Tensor:
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return torch.randint(int(space.n), (env.num_envs,))
    return torch.rand(env.num_envs, *space.shape) * torch.as_tensor(space.high - space.low) + torch.as_tensor(space.low)


def bare(env: VectorEnv) -> float:
    """Steps per second with random actions."""
    env.reset(0)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        env.step(random_action(env))
        steps += env.num_envs
    return steps / (time.perf_counter() - start)


def training(env: VectorEnv) -> float:
    """Steps per second of collecting and updating: two passes, four minibatches, two 64-64 networks."""
    config = PPOConfig(
        env=env.id,
        total_steps=10**9,
        num_envs=env.num_envs,
        num_steps=64,
        num_epochs=2,
        activation="relu",
        normalize_obs=True,
        normalize_returns=True,
    )
    agent = PPO(config, env)
    agent.begin()
    first, start = agent.steps, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        agent.collect()
        agent.update()
    return (agent.steps - first) / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    for env_id in ("LunarLander-v3", "HalfCheetah-v5"):
        rates = []
        for _ in range(REPEATS):
            pair = []
            for measure in (bare, training):
                env = make_env(env_id, NUM_ENVS, backend="envpool")
                pair.append(measure(env))
                env.close()
            rates.append((*pair, pair[1] / pair[0]))
        medians = [statistics.median(column) for column in zip(*rates, strict=True)]
        shares = sorted(share for *_, share in rates)
        print(
            f"{env_id}: EnvPool alone {medians[0]:,.0f} steps/s, PPO through it {medians[1]:,.0f}, "
            f"share {medians[2]:.2f} ({shares[0]:.2f} to {shares[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
