"""What many seeds cost: training time and processor time of groups of runs, beside one run of one seed.

python -m benchmarks.speed.seeds [--counts 1 4 16 64 256] [--agent ppo] [--env CartPole-v1]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Options:
    """Cost of many seeds."""

    counts: tuple[int, ...] = (1, 4, 16, 64, 256)
    """Numbers of seeds."""
    agent: str = "ppo"
    """Agent."""
    env: str = "CartPole-v1"
    """Environment."""
    engine: str = "auto"
    """How several seeds are trained: auto or processes."""
    total_steps: int = 0
    """Steps of each seed; 0: as its settings say."""


def measured(options: Options, count: int, folder: Path) -> dict[str, float]:
    """Seconds of training of all processes' longest, of the whole command, and of processors."""
    argv = ["train", options.agent, "--env", options.env, "--seeds", str(count), "--engine", options.engine]
    argv += ["--eval-every", str(10**9), "--eval-episodes", "1", "--run-dir", str(folder), "--quiet"]
    argv += ["--total-steps", str(options.total_steps)] if options.total_steps else []
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "agent_gym", *argv], env=env, check=True, stdout=subprocess.DEVNULL)
    elapsed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = {
        int(run.name.removeprefix("seed-")): json.loads((run / "result.json").read_text())["wall_time"]
        for run in folder.glob("seed-*")
    }
    batches = json.loads((folder / "group.json").read_text())["together"]
    together = {seed for batch in batches for seed in batch}
    longest = [sum(seconds[seed] for seed in batch) for batch in batches]
    longest += [value for seed, value in seconds.items() if seed not in together]
    cores = os.cpu_count() or 1
    return {
        "training": max(sum(longest) / cores, max(longest)),
        "elapsed": elapsed,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def main(options: Options) -> int:
    table = Table(title=f"{options.agent} on {options.env}, {os.cpu_count()} cores")
    for column in ("seeds", "training, s", "times one seed", "training a seed, s", "whole command, s", "processor, s"):
        table.add_column(column, justify="right")
    one = 0.0
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(options, count, Path(folder) / "g")
        one = one or found["training"]
        cells = [f"{count}", f"{found['training']:.2f}", f"{found['training'] / one:.1f}"]
        cells += [f"{found['training'] / count:.3f}", f"{found['elapsed']:.1f}", f"{found['processor']:.1f}"]
        table.add_row(*cells)
        print(count, json.dumps(found), file=sys.stderr, flush=True)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
