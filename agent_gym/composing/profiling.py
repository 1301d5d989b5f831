"""--profile: where the time of a run went, what would help, and whether it does."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, fields, replace
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from agent_gym.composing.sources import NamedSource
from agent_gym.diagnosis.speed import Advice, Profile, matrix_rate
from agent_gym.envs.make import faster_backends
from agent_gym.ground.errors import UserError, one_line
from agent_gym.training.stopwatch import Stopwatch

TRY_SECONDS = 4.0  # of each side of a try


def profile_of(config: Any, stopwatch: Stopwatch, steps: int, parameters: int, backend: str = "") -> Profile:
    """What a run's stopwatch and settings say together."""
    device = getattr(config, "device", "cpu")
    return Profile(
        dict(stopwatch.seconds),
        steps,
        asdict(config),
        backend,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        parameters,
        matrix_rate(),
        torch.cuda.is_available() and device == "cpu",
        faster_backends(config.env, config.num_envs) if hasattr(config, "env") else (),
    )


def tell(profile: Profile, name: str, config: Any, source: Any) -> None:
    """Print the profile; with --profile try, after training a little with the first advice and without."""
    if config.profile == "try":
        profile.measured = measure(profile, name, config, source)
    print("\n" + "\n".join(profile.lines()), file=sys.stderr if config.quiet else sys.stdout)


def measure(profile: Profile, name: str, config: Any, source: Any) -> list[str]:
    """What the first advice gains, in words."""
    advice = next(iter(profile.advice()), None)
    if advice is None:
        return ["nothing to try"]
    if not isinstance(source, NamedSource):
        return [f"not tried: {config.env} was handed over, and cannot be made again here"]
    speed = profile.steps / profile.total
    steps = max(int(speed * TRY_SECONDS), 2 * config.num_envs * getattr(config, "num_steps", 1))
    steps += getattr(config, "learning_starts", 0)
    before = short_run(name, replace(config, total_steps=steps))
    changed = {k: v for k, v in advice.settings.items() if k in {field.name for field in fields(config)}}
    try:
        after = short_run(name, replace(config, total_steps=steps, **changed))
    except UserError as error:
        return [f"tried {advice.flags()}: {one_line(error, 160)}"]
    return [said(advice, before, after)]


def said(advice: Advice, before: float, after: float) -> str:
    """An estimate beside what was measured."""
    return (
        f"tried {advice.flags()}: {before:,.0f} steps/s became {after:,.0f}, {after / before:.2f} times as fast "
        f"(estimated {advice.times:.2f})"
    )


def short_run(name: str, config: Any) -> float:
    """Steps a second of a short training that leaves nothing behind. Raises UserError."""
    from agent_gym.composing.agent_run import train_agent

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        run = str(Path(folder) / "run")
        quiet = {"run_dir": run, "quiet": True, "profile": "no", "eval_every": 0, "eval_episodes": 1, "track": "none"}
        short = replace(config, **quiet, eval_max_steps=10)
        ending, _ = train_agent(name, short, NamedSource(short))
    if ending.result is None:
        raise UserError("the short run was stopped")
    return float(ending.result["steps_per_second"])
