"""A task's model on its own test rows or on new ones."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from agent_gym import tasks
from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import restore_config
from agent_gym.ground.errors import UserError
from agent_gym.storage.checkpoint import open_checkpoint

FOR_AGENTS = ("episodes", "web", "grid", "plain", "action_names", "drawing", "stochastic", "seed")
FOR_AGENTS += ("env", "env_kwargs", "algo", "trust")


def is_task(run: Path) -> bool:
    """Whether a run directory is a task's; anything unclear is left to those who open the checkpoint."""
    try:
        config = json.loads((run / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "task" in config


def evaluate_task(args: Any, device: torch.device) -> dict:
    """Score a task's model on its own test rows or on new ones, or predict new ones; the score as plain data."""
    if args.watch or args.video:
        raise UserError(f"{args.run} is the run of a task: nothing to watch; --data NEW.csv --predict OUT.csv predicts")
    defaults = {field.name: field.default for field in fields(args)}
    if idle := [name for name in FOR_AGENTS if getattr(args, name) != defaults[name]]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise UserError(f"{args.run} is the run of a task, and {flags} is for agents that play: leave it out")
    if args.predict and not args.data:
        raise UserError("--predict OUT.csv needs the rows to predict: add --data NEW.csv")
    checkpoint = open_checkpoint(args.run, args.checkpoint)
    stored = dict(checkpoint["config"])
    check_modules(stored, args.run)
    name = stored.pop("task", None)
    config = restore_config("task", name, stored)
    torch.set_num_threads(config.num_threads or config.usual_threads)
    weights = checkpoint["agent"].get("model")
    if not args.data:
        task = tasks.load_task(name, config, weights, device)
        metrics = task.test()
        text = task.report(metrics)
    else:
        frame, metrics = tasks.predict(name, config, weights, Path(args.data), device)
        text = f"{len(frame):,} rows predicted"
        if args.predict:
            write_csv(frame, Path(args.predict))
        if not args.predict and not metrics:
            raise UserError(f"{args.data} has no target to score against: add --predict OUT.csv for the predictions")
        if metrics:
            text += "\n" + "\n".join(f"{key:>12} {value:.5g}" for key, value in metrics.items())
    if not args.json:
        print(text)
    return {"task": name, "metrics": metrics}


def write_csv(frame, path: Path) -> None:
    try:
        frame.to_csv(path, index=False)
    except OSError as error:
        raise UserError(f"--predict {path} cannot be written ({error.strerror}): choose another path") from None
