"""What many seeds of PPO cost when one process trains them as one program: processor time of training alone.

python -m benchmarks.speed.seeds [--counts 1 4 16 64] [--env CartPole-v1]
python -m benchmarks.speed.seeds --same 64     # whole runs: do seeds trained together end as seeds trained alone do?
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

import agent_gym.envs  # noqa: F401  registers them
from agent_gym.agents.ppo import PPO
from agent_gym.agents.presets import table
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.agents.stacked.on_policy import StackedOnPolicy
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.stacked import stacked


@dataclass(frozen=True)
class Options:
    """Cost of many seeds."""

    counts: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of seeds in one process."""
    env: str = "CartPole-v1"
    """Native environment; with its preset."""
    total_steps: int = 0
    """Steps of each seed; 0: as its preset says."""
    same: int = 0
    """Instead: train so many seeds together, and so many others alone, and compare how they end."""


def made(config: PPOConfig, seed: int) -> PPO:
    torch.manual_seed(seed)
    agent = PPO(replace(config, seed=seed), NativeVectorEnv(NATIVE[config.env], config.num_envs, seed=seed))
    agent.begin()
    return agent


def alone(config: PPOConfig, seed: int) -> PPO:
    agent = made(config, seed)
    while agent.steps < config.total_steps:
        agent.collect()
        agent.update()
    return agent


def together(config: PPOConfig, seeds: range) -> list[PPO]:
    agents = [made(config, seed) for seed in seeds]
    stack = StackedOnPolicy(agents, stacked([agent.env for agent in agents]))
    while agents[0].steps < config.total_steps:
        stack.collect()
        stack.update()
    return agents


def cost(options: Options, config: PPOConfig) -> None:
    shown = Table(title=f"ppo on {config.env}, {config.total_steps:,} steps a seed, one process on one thread")
    for column in ("seeds", "processor time, s", "a seed, s", "times one seed"):
        shown.add_column(column, justify="right")
    one = 0.0
    for count in options.counts:
        began = time.process_time()
        alone(config, 0) if count == 1 else together(config, range(count))
        took = time.process_time() - began
        one = one or took / count
        shown.add_row(f"{count}", f"{took:.1f}", f"{took / count:.3f}", f"{took / one:.1f}")
        print(count, took, file=sys.stderr, flush=True)
    Console(width=100).print(shown)


def distribution(options: Options, config: PPOConfig) -> None:
    from scipy.stats import ks_2samp

    found = []
    for agents in (
        together(config, range(options.same)),
        [alone(config, options.same + k) for k in range(options.same)],
    ):
        found.append(np.array([float(agent.window[0].mean()) for agent in agents]))
        print(np.percentile(found[-1], (0, 25, 50, 75, 100)).round(1), file=sys.stderr, flush=True)
    result = ks_2samp(*found)
    print(
        f"{options.same} seeds together and {options.same} others alone, {config.total_steps:,} steps: "
        f"Kolmogorov-Smirnov {result.statistic:.3f}, p = {result.pvalue:.3f}"
    )


def main(options: Options) -> int:
    torch.set_num_threads(1)
    config = replace(PPOConfig(env=options.env), **table("ppo")["env"].get(options.env, {}))
    config = replace(config, total_steps=options.total_steps or config.total_steps)
    (distribution if options.same else cost)(options, config)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
