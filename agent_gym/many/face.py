"""Many seeds from Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from agent_gym.agent import Agent
from agent_gym.ground.errors import UserError, nearest
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group, is_group
from agent_gym.many.seeds import parse_seeds
from agent_gym.many.train_group import finish, new_group, summary, train_group
from agent_gym.many.worker import run_seed


def train_seeds(
    agent: Agent, seeds: int | str | Iterable[int] = 8, *, run_dir: str | Path = "", cores: int = 0, **engine: Any
) -> dict[str, Any]:
    """Train the settings of an agent that has learned nothing yet, one run a seed.

    `seeds`: a count, "0:32", or a list; `cores`: runs side by side (0: the usable cores); `engine`: the command's flags
    engine, address, cpus_per_run, gpus_per_run. Environments that are objects or classes of the program are trained in
    this process, one seed after the other. A `run_dir` that holds a group of the same settings goes on.

    Returns "path", "seeds", "scores", "mean", "median", "iqm", "iqm_ci95" and what else result.json of the group
    holds. Raises UserError, and KeyboardInterrupt once runs that were stopped by Ctrl-C are saved.
    """
    if agent.steps:
        raise UserError(f"{agent.name} has learned {agent.steps:,} steps already: hand over one that has not")
    known = {field.name for field in fields(Engine)}
    for name in engine:
        if name not in known:
            raise UserError(f"train_seeds has no option {name!r}{nearest(name, known)}")
    trained_by = Engine(**engine).checked()
    if trained_by.engine == "ray" and agent._given is not None:
        raise UserError(f"{agent.config.env} is an object of this program, which the nodes of a cluster do not have")
    text = seeds if isinstance(seeds, str) else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
    config, path = replace(agent.config, run_dir=str(run_dir or agent.config.run_dir)), Path(run_dir)
    group = opened(path, agent, parse_seeds(text)) if run_dir and is_group(path) else None
    group = group or new_group("agent", agent.name, config, parse_seeds(text), engine=trained_by.engine)
    if agent._given is None:
        if train_group(group, cores=cores, quiet=config.quiet, engine=trained_by):
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


def sweep(
    agent: Agent,
    *,
    space: dict | str | Path = "built-in",
    trials: int = 100,
    time: str = "",
    run_dir: str | Path = "",
    **how: Any,
) -> dict[str, Any]:
    """Search over the settings of an agent that has learned nothing yet; those that it was given are kept.

    `space`: {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "num_steps": [32, 64]}, a YAML file of that
    form, or "built-in"; `time` as in "30m"; `how`: pruner, storage, jobs, seeds_per_trial, fresh_seeds, quiet, as the
    command's flags. The same call goes on with a search that was stopped.

    Returns "trial", "score", "settings" of the best, "trials", "importances", and "fresh", what the best settings have
    reached with new seeds. Raises UserError, and KeyboardInterrupt once a search stopped by Ctrl-C is saved.
    """
    from agent_gym.commands.sweep import SweepConfig
    from agent_gym.many.search.problem import Problem
    from agent_gym.many.search.run import run_sweep
    from agent_gym.many.search.space import built_in, read_space, space_of

    known = {field.name for field in fields(SweepConfig)}
    for name in how:
        if name not in known:
            raise UserError(f"sweep has no option {name!r}{nearest(name, known)}")
    if agent._given is not None:
        raise UserError(
            f"{agent.config.env} is an object of this program, and trials are processes of their own: register it in a "
            'a module and give its id, such as PPO("my_module:MyEnv-v0")'
        )
    config = replace(agent.config, run_dir=str(run_dir or agent.config.run_dir))
    given = {name: getattr(config, name) for name in agent._named if name not in ("run_dir", "quiet", "seed")}
    if isinstance(space, dict):
        searched = space_of(space, config, "space")
    else:
        searched = built_in(agent.name, config) if space == "built-in" else read_space(Path(space), config)
    if space == "built-in":
        searched = {name: what for name, what in searched.items() if name not in given}
    elif both := sorted(given.keys() & searched.keys()):
        raise UserError(f"{both[0]} is given and searched too: take it out of one of them")
    code, found = run_sweep(
        Problem("agent", agent.name, config, searched, given),
        SweepConfig(trials=trials, time=time, **{"quiet": config.quiet} | how),
    )
    if code:
        raise KeyboardInterrupt
    return found
