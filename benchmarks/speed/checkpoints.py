"""What saving costs: its share of the training time at the default interval: python -m benchmarks.speed.checkpoints.

Each case is a real `train.py` in a process of its own; timed is all that the loop does for a checkpoint, the sync of
the disk included.
"""

from __future__ import annotations

import json
import os
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
CASES = {  # flags, and the steps of the whole run
    "PPO, CartPole-v1": ("ppo --env CartPole-v1", 100_000),
    "PPO, HalfCheetah-v5": ("ppo --env HalfCheetah-v5", 1_000_000),
    "SAC, Pendulum-v1": ("sac --env Pendulum-v1", 20_000),
    "SAC, HalfCheetah-v5": ("sac --env HalfCheetah-v5", 1_000_000),
    "DQN, Pong, images": ("dqn --env ALE/Pong-v5 --learning-starts 1000", 100_000),
    "iris": ("iris", 0),
}


@dataclass(frozen=True)
class Options:
    """Share of the training time that checkpoints take."""

    cases: tuple[str, ...] = ()
    """Cases, by a part of their name; empty: all."""
    intervals: int = 10
    """Train for so many tenths of each run, with the checkpoints of the whole one."""
    threads: int = 1
    """CPU threads of torch."""


def measure(argv: list[str], out: Path) -> int:
    """Train in this process with a clock around every save; the figures go to `out`."""
    import train
    from agent_gym.training import running
    from agent_gym.training.loop import train as loop

    boundaries: list[dict] = []  # where environments begin anew, and where a checkpoint is written too

    def timed(agent, run, *args, **kwargs):
        settle, save_last = agent.settle, run.save_last

        def first() -> None:
            begun = time.perf_counter()
            settle()
            boundaries.append({"begun": begun, "ended": time.perf_counter(), "saved": False})

        def last(*state) -> None:
            save_last(*state)
            boundaries[-1] |= {"ended": time.perf_counter(), "saved": True}

        agent.settle, run.save_last = first, last
        yield from loop(agent, run, *args, **kwargs)

    running.train = timed
    if code := train.main(argv):
        return code
    folder = Path(argv[argv.index("--run-dir") + 1])
    files = [path for path in (folder / "checkpoints").rglob("*.pt") if path.name not in ("previous.pt", "best.pt")]
    result = json.loads((folder / "result.json").read_text())
    size = sum(path.stat().st_size for path in files)
    out.write_text(
        json.dumps(
            {
                "seconds": sum(boundary["ended"] - boundary["begun"] for boundary in boundaries),
                "saves": sum(boundary["saved"] for boundary in boundaries),
                "wall_time": result["wall_time"],
                "bytes": size,
            }
        )
    )
    return 0


def main(options: Options) -> int:
    shown = Table(title="checkpoints at the default interval")
    shown.add_column("run", no_wrap=True)
    for column in ("training, s", "checkpoints", "each, ms", "share of the time", "kept on disk, MB"):
        shown.add_column(column, justify="right")
    for name, (flags, steps) in CASES.items():
        if options.cases and not any(part in name for part in options.cases):
            continue
        with tempfile.TemporaryDirectory() as folder:
            out, run = Path(folder) / "cost.json", Path(folder) / "run"
            argv = [*flags.split(), "--run-dir", str(run), "--num-threads", str(options.threads), "--quiet"]
            if steps:
                argv += ["--eval-episodes", "1", "--eval-every", str(10**9)]
                argv += ["--total-steps", str(steps * options.intervals // 10)]
            if steps and options.intervals < 10:
                argv += ["--checkpoint-every", str(steps // 10)]
            paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "benchmarks.speed.checkpoints", "measure", str(out), *argv]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL)
            cost = json.loads(out.read_text())
        each, share = 1000 * cost["seconds"] / cost["saves"], cost["seconds"] / cost["wall_time"]
        shown.add_row(
            name,
            f"{cost['wall_time']:.1f}",
            str(cost["saves"]),
            f"{each:.1f}",
            f"{share:.1%}",
            f"{cost['bytes'] / 1e6:.1f}",
        )
    Console(highlight=False).print(shown)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        sys.exit(measure(sys.argv[3:], Path(sys.argv[2])))
    sys.exit(main(tyro.cli(Options)))
