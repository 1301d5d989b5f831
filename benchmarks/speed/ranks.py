"""What several ranks of one run cost: the same PPO on one rank and shared out over more, and a mean over ranks alone.

python -m benchmarks.speed.ranks [--ranks 1 2] [--rounds 3]

Processor time is that of the busiest rank: beside other programs it says more than the clock.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

SIZES = (1_000, 100_000, 1_000_000)  # numbers in a gradient
PROGRAM = """
import json, sys, time
import torch
torch.set_num_threads(1)
import agent_gym.envs
from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.nets.ranks import RANKS
from agent_gym.training.distributed import spread

envs, width, updates, sizes = json.loads(sys.argv[1])
config = PPOConfig(num_envs=envs, num_steps=32, num_epochs=2, num_minibatches=2, hidden_sizes=(width, width),
                   total_steps=10**9, normalize_obs=True)
RANKS.join()
agent = PPO(config, NativeVectorEnv(NATIVE["CartPole-v1"], envs // RANKS.size))
agent.begin()
if RANKS.size > 1:
    spread(agent)
for _ in range(3):
    agent.collect(), agent.update()
cpu, clock, before = time.process_time(), time.perf_counter(), agent.steps
for _ in range(updates):
    agent.collect(), agent.update()
told = {"cpu": time.process_time() - cpu, "clock": time.perf_counter() - clock, "steps": agent.steps - before}
told["numbers"], told["mean"] = agent.learner.parameters.numel(), {}
for size in sizes if RANKS.size > 1 else ():
    gradient, took = torch.ones(size), []
    for _ in range(30):
        began = time.perf_counter()
        RANKS.gradient_(gradient)
        took.append(time.perf_counter() - began)
    told["mean"][size] = sorted(took)[len(took) // 2]
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Options:
    """Cost of ranks."""

    ranks: tuple[int, ...] = (1, 2)
    """Numbers of ranks on this machine."""
    rounds: int = 3
    """Times that all are measured, in turn."""
    envs: int = 256
    """Environments of all ranks together."""
    width: int = 256
    """Units of each of two layers."""
    updates: int = 6
    """Rollouts that are timed."""


def measured(options: Options, ranks: int) -> list[dict]:
    """What each rank says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    words = json.dumps([options.envs, options.width, options.updates, SIZES])
    argv = [sys.executable, "-c", PROGRAM, words]
    own = [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
    processes = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) for env in own]
    return [json.loads(process.communicate()[0]) for process in processes]


def main(options: Options) -> int:
    found: dict[int, list[list[dict]]] = {ranks: [] for ranks in options.ranks}
    for _ in range(options.rounds):
        for ranks in options.ranks:
            found[ranks].append(measured(options, ranks))
    title = f"ppo, {options.envs} environments, {options.width}-{options.width}, {options.rounds} rounds"
    shown = Table(title=title)
    for column in ("ranks", "steps/s by processor time", "times the first", "steps/s by the clock"):
        shown.add_column(column, justify="right")
    first = None
    for ranks, rounds in found.items():
        speed = np.array([each[0]["steps"] / max(told["cpu"] for told in each) for each in rounds])
        clock = np.median([each[0]["steps"] / each[0]["clock"] for each in rounds])
        first = first or np.median(speed)
        spread = f"{np.median(speed) / first:.2f} ({speed.min() / first:.2f} to {speed.max() / first:.2f})"
        shown.add_row(f"{ranks}", f"{np.median(speed):,.0f}", spread, f"{clock:,.0f}")
    Console(width=110).print(shown)
    for size in SIZES:
        for ranks, rounds in found.items():
            if ranks > 1:
                took = np.array([each[0]["mean"][str(size)] for each in rounds]) * 1e3
                print(f"mean of {size:,} numbers over {ranks} ranks: {np.median(took):.2f} ms (least {took.min():.2f})")
    print(f"{found[options.ranks[0]][0][0]['numbers']:,} numbers in the gradient")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
