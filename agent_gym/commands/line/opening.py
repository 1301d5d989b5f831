"""What a run begins with: a line at once, then what differs from the defaults and whose it is. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

ELSEWHERE = {"env", "total_steps", "num_envs", "epochs", "seed", "run_dir", "quiet", "verbose"}  # said in other lines


def announce(name: str, config: Any) -> None:
    """Print what will happen, before anything that takes time."""
    if not (config.quiet or config.summary):
        print(first_line(name, config), flush=True)


def first_line(name: str, config: Any) -> str:
    """An agent or a task, what it learns and how long."""
    if hasattr(config, "env"):
        if source := getattr(config, "data", ""):
            return f"{name} on {config.env} from {source}: {config.total_steps:,} steps, seed {config.seed}"
        envs = f"{config.num_envs:,} environments" if config.num_envs > 1 else "one environment"
        return f"{name} on {config.env}: {config.total_steps:,} steps in {envs}, seed {config.seed}"
    data = f" on {config.data}" if getattr(config, "data", "") else ""
    length = f"{config.epochs:,} epochs" if getattr(config, "epochs", 0) else "as many epochs as its size asks for"
    length = f"{config.total_steps:,} steps" if hasattr(config, "total_steps") else length
    return f"{name}{data}: {length}, seed {config.seed}"


def origins(config: Any, given: Iterable[str], label: str, preset: dict[str, Any]) -> list[str]:
    """Lines with the values that differ from the defaults: those of the preset `label`, and the user's."""
    defaults = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    differing = {
        name: value
        for name, default in defaults.items()
        if (value := getattr(config, name)) != default and name not in ELSEWHERE
    }
    yours = {name for name in given if name in defaults and name not in ELSEWHERE}
    of_preset = {name: value for name, value in differing.items() if name in preset and name not in yours}
    of_yours = {name: getattr(config, name) for name in defaults if name in yours | differing.keys() - of_preset.keys()}
    lines = [f"{label}: {listed(of_preset)}" if of_preset else label, f"yours: {listed(of_yours)}" if of_yours else ""]
    return [line for line in lines if line]


def listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {written(value)}" for name, value in values.items())


def written(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "-".join(written(part) for part in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) if len(str(value)) < 60 else f"{str(value)[:57]}..."
