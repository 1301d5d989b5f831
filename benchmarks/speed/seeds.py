"""What many seeds cost when one process trains them as one program: processor time of training alone.

python -m benchmarks.speed.seeds [--counts 1 4 16 64] [--env CartPole-v1]
python -m benchmarks.speed.seeds --same 64     # whole runs: do seeds trained together end as seeds trained alone do?
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

import agent_gym.envs  # noqa: F401  registers them
from agent_gym.agents import agent_class, config_class
from agent_gym.agents.agent import Agent
from agent_gym.agents.presets import table
from agent_gym.agents.settings.base import AgentConfig
from agent_gym.agents.stacked.kinds import stack
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.stacked import stacked
from agent_gym.many.pool import KEEPS_MEMORY


@dataclass(frozen=True)
class Options:
    """Cost of many seeds."""

    counts: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of seeds in one process."""
    agent: str = "ppo"
    """Agent, with its preset."""
    env: str = "CartPole-v1"
    """Native environment."""
    total_steps: int = 0
    """Steps of each seed; 0: as its preset says."""
    rounds: int = 1
    """Times that all counts are measured, in turn."""
    hidden_sizes: tuple[int, ...] = ()
    """Other layers than the preset's."""
    batch_size: int = 0
    """Another minibatch than the preset's, for agents that have one."""
    same: int = 0
    """Instead: train so many seeds together, and so many others alone, and compare how they end."""


def made(name: str, config: AgentConfig, seed: int) -> Agent:
    torch.manual_seed(seed)
    env = NativeVectorEnv(NATIVE[config.env], config.num_envs, seed=seed)
    agent = agent_class(name)(replace(config, seed=seed), env)
    agent.begin()
    return agent


def alone(name: str, config: AgentConfig, seed: int) -> Callable[[], list[Agent]]:
    agent = made(name, config, seed)

    def train() -> list[Agent]:
        while agent.steps < config.total_steps:
            agent.collect()
            agent.update()
        return [agent]

    return train


def together(name: str, config: AgentConfig, seeds: range) -> Callable[[], list[Agent]]:
    agents = [made(name, config, seed) for seed in seeds]
    members = stack(agents, stacked([agent.env for agent in agents]))

    def train() -> list[Agent]:
        while agents[0].steps < config.total_steps:
            members.collect()
            members.update()
        return agents

    return train


def cost(options: Options, config: AgentConfig) -> None:
    title = f"{options.agent} on {config.env}, {config.total_steps:,} steps a seed, one process on one thread"
    shown = Table(title=f"{title}, median and range of {options.rounds}")
    for column in ("seeds", "processor time, s", "a seed, s", "times one seed"):
        shown.add_column(column, justify="right")
    taken: dict[int, list[float]] = {count: [] for count in options.counts}
    for _ in range(options.rounds):
        for count in options.counts:
            train = alone(options.agent, config, 0) if count == 1 else together(options.agent, config, range(count))
            began = time.process_time()
            train()
            taken[count].append(time.process_time() - began)
            print(count, taken[count][-1], file=sys.stderr, flush=True)
    one = np.median(taken[options.counts[0]]) / options.counts[0]
    for count, times in taken.items():
        took, ratios = np.median(times), np.array(times) / one
        spread = f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})"
        shown.add_row(f"{count}", f"{took:.1f}", f"{took / count:.3f}", spread)
    Console(width=120).print(shown)


def distribution(options: Options, config: AgentConfig) -> None:
    from scipy.stats import ks_2samp

    found = []
    for agents in (
        together(options.agent, config, range(options.same))(),
        [alone(options.agent, config, options.same + k)()[0] for k in range(options.same)],
    ):
        found.append(np.array([float(agent.window[0].mean()) for agent in agents]))
        print(np.percentile(found[-1], (0, 25, 50, 75, 100)).round(1), file=sys.stderr, flush=True)
    result = ks_2samp(*found)
    print(
        f"{options.same} seeds together and {options.same} others alone, {config.total_steps:,} steps: "
        f"Kolmogorov-Smirnov {result.statistic:.3f}, p = {result.pvalue:.3f}"
    )


def main(options: Options) -> int:
    if not KEEPS_MEMORY.keys() <= os.environ.keys():  # as the processes of a group have it
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.speed.seeds", *sys.argv[1:]], os.environ | KEEPS_MEMORY
        )
    torch.set_num_threads(1)
    chosen = table(options.agent)["env"].get(options.env, {})
    for name in ("total_steps", "hidden_sizes", "batch_size"):
        chosen |= {name: getattr(options, name)} if getattr(options, name) else {}
    config = config_class(options.agent)(env=options.env, **chosen)
    (distribution if options.same else cost)(options, config)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
