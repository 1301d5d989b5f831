"""Many seeds from Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent_gym.agent import Agent
from agent_gym.ground.errors import UserError
from agent_gym.many.group import Group, is_group
from agent_gym.many.seeds import parse_seeds
from agent_gym.many.train_group import finish, new_group, summary, train_group
from agent_gym.many.worker import run_seed


def train_seeds(
    agent: Agent, seeds: int | str | Iterable[int] = 8, *, run_dir: str | Path = "", cores: int = 0
) -> dict[str, Any]:
    """Train the settings of an agent that has learned nothing yet, one run a seed.

    `seeds`: a count, "0:32", or a list; `cores`: runs side by side (0: the usable cores). Environments that are objects
    or classes of the program are trained in this process, one seed after the other. A `run_dir` that holds a group of
    the same settings goes on.

    Returns "path", "seeds", "scores", "mean", "median", "iqm", "iqm_ci95" and what else result.json of the group
    holds. Raises UserError, and KeyboardInterrupt once runs that were stopped by Ctrl-C are saved.
    """
    if agent.steps:
        raise UserError(f"{agent.name} has learned {agent.steps:,} steps already: hand over one that has not")
    text = seeds if isinstance(seeds, str) else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
    config, path = replace(agent.config, run_dir=str(run_dir or agent.config.run_dir)), Path(run_dir)
    group = opened(path, agent, parse_seeds(text)) if run_dir and is_group(path) else None
    group = group or new_group("agent", agent.name, config, parse_seeds(text))
    if agent._given is None:
        if train_group(group, cores=cores, quiet=config.quiet):
            raise KeyboardInterrupt
    else:
        for seed in group.seeds:
            if group.result(seed) is None and run_seed(group, seed, source_of=agent._source):
                raise KeyboardInterrupt
        finish(group, config.quiet)
    return {"path": group.path} | summary(group)


def opened(path: Path, agent: Agent, seeds: tuple[int, ...]) -> Group:
    """The group that is there already. Raises UserError where it is of other settings."""
    group = Group.open(path)
    theirs, ours = group.stored.config, asdict(agent.config)
    other = [
        name
        for name, value in ours.items()
        if name in theirs and name not in ("quiet", "verbose", "num_threads") and theirs[name] != plain(value)
    ]
    if group.stored.name != agent.name or group.seeds != seeds or other:
        what = f"another {other[0]}" if other else "another agent or other seeds"
        raise UserError(f"run_dir {path} holds a group of runs with {what}: choose another directory")
    return group


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return [plain(part) for part in value] if isinstance(value, tuple) else value
