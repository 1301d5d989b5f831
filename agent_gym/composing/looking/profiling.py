"""--profile: where the time of a run went, what would help, and whether it does."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
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
from agent_gym.training.session import Ending
from agent_gym.training.stopwatch import Stopwatch

TRY_SECONDS = 4.0  # of each side of a try


def profile_of(config: Any, stopwatch: Stopwatch, steps: int, parameters: int, backend: str = "") -> Profile:
    """What a run's stopwatch and settings say together."""
    device = getattr(config, "device", "cpu")
    return Profile(
        dict(stopwatch.seconds),
        steps,
        asdict(config),
        dict(stopwatch.waited),
        backend,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        parameters,
        matrix_rate(),
        torch.cuda.is_available() and device == "cpu",
        faster_backends(config.env, config.num_envs) if hasattr(config, "env") else (),
    )


def tell(profile: Profile, config: Any, measure: Callable[[Advice], list[str]]) -> None:
    """Print the profile; with --profile try, after training a little with the first advice and without."""
    if config.profile == "try":
        advice = next(iter(profile.advice()), None)
        profile.measured = ["nothing to try"] if advice is None else measure(advice)
    print("\n" + "\n".join(profile.lines()), file=sys.stderr if config.quiet else sys.stdout)


def measure_agent(profile: Profile, name: str, config: Any, source: Any, advice: Advice) -> list[str]:
    """What an advice gains for an agent, in words."""
    if not isinstance(source, NamedSource):
        return [f"not tried: {config.env} was handed over, and cannot be made again here"]
    speed = profile.steps / profile.total
    steps = max(int(speed * TRY_SECONDS), 2 * config.num_envs * getattr(config, "num_steps", 1))
    steps += getattr(config, "learning_starts", 0)
    return compared(replace(config, total_steps=steps), advice, lambda short: agent_speed(name, short), "steps/s")


def measure_task(profile: Profile, name: str, config: Any, epochs: int, advice: Advice) -> list[str]:
    """What an advice gains for a task that learned for so many epochs, in words: epochs, since steps change."""
    short = replace(config, epochs=max(int(epochs * TRY_SECONDS / profile.total), 2))
    return compared(short, advice, lambda short: task_speed(name, short), "epochs/s")


def compared(config: Any, advice: Advice, speed: Callable[[Any], float], unit: str) -> list[str]:
    """An estimate beside what was measured."""
    before = speed(config)
    changed = {k: v for k, v in advice.settings.items() if k in {field.name for field in fields(config)}}
    try:
        after = speed(replace(config, **changed))
    except UserError as error:
        return [f"tried {advice.flags()}: {one_line(error, 160)}"]
    return [
        f"tried {advice.flags()}: {before:,.4g} {unit} became {after:,.4g}, {after / before:.2f} times as fast "
        f"(estimated {advice.times:.2f})"
    ]


def agent_speed(name: str, config: Any) -> float:
    """Steps a second of a short training that leaves nothing behind. Raises UserError."""
    from agent_gym.composing.agent_run import train_agent

    short = replace(config, eval_every=0, eval_episodes=1, eval_max_steps=10)
    return short_run(short, lambda short: train_agent(name, short, NamedSource(short))[0])["steps_per_second"]


def task_speed(name: str, config: Any) -> float:
    """Epochs a second of a short training that leaves nothing behind. Raises UserError."""
    from agent_gym.composing.task_run import train_task

    result = short_run(config, lambda short: train_task(name, short)[0])
    return config.epochs / max(result["wall_time"], 1e-9)


def short_run(config: Any, train: Callable[[Any], Ending]) -> dict[str, Any]:
    """The result of a run in a folder that goes again. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        quiet = {"run_dir": str(Path(folder) / "run"), "quiet": True, "profile": "no", "track": "none"}
        ending = train(replace(config, **quiet))
    if ending.result is None:
        raise UserError("the short run was stopped")
    return ending.result
