"""A search from its words to its outcome: what the command and Python share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agent_gym.ground.errors import UserError, unwritable
from agent_gym.many.search.problem import Problem
from agent_gym.storage.lock import RunLock

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """A time such as 90s, 30m, 1.5h; "": 0. Raises UserError."""
    if not text:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower())
    if not found or float(found[1]) <= 0:
        raise UserError(f"--time {text[:40]}: expected a time such as 90s, 30m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def run_sweep(problem: Problem, options: Any) -> tuple[int, dict[str, Any]]:
    """Search, then conclude. The exit code, and what was found. `options`: as commands.sweep.SweepConfig.

    Raises UserError, and leaves behind what can go on with the same call.
    """
    for name, least in (("trials", 1), ("seeds_per_trial", 1), ("fresh_seeds", 0), ("jobs", 0), ("trials_together", 0)):
        if getattr(options, name) < least:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)}: expected {least} or more")
    limit = seconds(options.time)
    described = problem.plain()  # refuses what cannot be searched
    subject = re.sub(r"[/: ]", "-", problem.subject())
    folder = Path(problem.config.run_dir or f"runs/{subject}/{problem.name}-sweep-s{problem.config.seed}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("the folder of the search", folder, error, "search again") from error
    lock = RunLock(folder)
    try:
        from agent_gym.many.search import study as studies
        from agent_gym.many.search.outcome import conclude
        from agent_gym.many.search.sweep import Plan, Sweep

        storage = options.storage or str(folder / "study.db")
        study = studies.open_study(storage, described, options.pruner, problem.steps(), problem.config.seed)
        if not options.quiet:
            count = len(studies.ended(study))
            print(f"{problem.name} on {problem.subject()}: {', '.join(problem.space)}", flush=True)
            print(f"study {storage}{f', {count} trials there already' if count else ''}; folder {folder}", flush=True)
        plan = Plan(
            options.trials, options.seeds_per_trial, options.jobs, limit, options.checked(), options.trials_together
        )
        if code := Sweep(folder, problem, study, plan, options.quiet).search():
            print("stopped: the running trials are saved; the same command goes on")
            return code, {}
        return conclude(folder, problem, study, options.fresh_seeds, options.quiet, options)
    finally:
        lock.release()
