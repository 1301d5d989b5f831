"""A search over settings: agent-gym sweep NAME --env ID --trials 100 [--space space.yaml] [--time 30m].

The same command goes on with a search that was stopped or killed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent_gym.commands.line.flags import HELP, read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.commands.train import parse
from agent_gym.composing.registry import kind_of
from agent_gym.ground.errors import UserError
from agent_gym.many.engines import Engine
from agent_gym.tasks import split_name

if TYPE_CHECKING:
    from agent_gym.many.search.problem import Problem


@dataclass(frozen=True)
class SweepConfig(Engine):
    """How to search; every other flag is a setting of the agent or task, which all trials have."""

    trials: int = 100
    """Trials in all, with those that the study has already."""
    space: str = "built-in"
    """What is searched: built-in, or a YAML file with a range or choices for each setting."""
    pruner: Literal["hyperband", "median", "none"] = "hyperband"
    """Which trials are ended early, by what they have reached at the same steps."""
    storage: str = ""
    """Optuna's storage: a file for SQLite or an URL; empty: study.db in the search's folder."""
    jobs: int = 0
    """Programs side by side; 0: as many as the usable cores hold."""
    trials_together: int = 0
    """Trials that are trained as one program: they differ in nothing but numbers such as learning rate and discount,
    and all else is drawn once for so many; 0: 8 where only such numbers are searched, else 1."""
    time: str = ""
    """When to end the search, such as 30m; empty: when there are enough trials."""
    seeds_per_trial: int = 2
    """Runs of each trial, side by side; its score is the IQM of their last evaluations."""
    fresh_seeds: int = 5
    """Seeds, other than those of the search, with which the best settings are trained at the end; 0: none."""
    pbt: bool = False
    """Population-based training instead: --trials members train as one program, and the worst go on from the best with
    changed settings (Jaderberg et al. 2017); ppo and a2c."""
    quiet: bool = False
    """Print what goes wrong only."""


@reported
def main(argv: list[str]) -> int:
    if not argv or argv[0] in HELP:
        print(__doc__)
        read_flags(SweepConfig, ["--help"], prog="agent-gym sweep NAME")
    name, flags = split_name(argv)
    name, flags = name or argv[0], flags if name else argv[1:]
    if name.startswith("-"):
        raise UserError("sweep takes an agent or a task first: agent-gym sweep ppo --env CartPole-v1 --trials 20")
    ours, theirs = divided(flags)
    options, _ = read_flags(SweepConfig, ours, prog=f"agent-gym sweep {name}")
    options.checked()
    if set(HELP) & set(theirs):
        read_flags(SweepConfig, ["--help"], prog=f"agent-gym sweep {name}")
    parsed = parse(name, [*theirs, *(["--quiet"] if options.quiet else [])])
    from agent_gym.many.search.problem import Problem
    from agent_gym.many.search.run import run_sweep
    from agent_gym.many.search.space import built_in, read_space

    config = parsed.config
    space = built_in(name, config) if options.space == "built-in" else read_space(Path(options.space), config)
    given = {
        field: getattr(config, field) for field in parsed.given if field not in ("env", "run_dir", "quiet", "seed")
    }
    for field in sorted(given.keys() & space.keys()):
        if options.space != "built-in":
            raise UserError(f"--{field.replace('_', '-')} is fixed and searched too: take it out of {options.space}")
        del space[field]  # what the user fixes is not searched
    problem = Problem(kind_of(name), name, config, space, given)
    return train_population(problem, options) if options.pbt else run_sweep(problem, options)[0]


def train_population(problem: Problem, options: SweepConfig) -> int:
    """Population-based training. Returns the exit code; raises UserError."""
    from agent_gym.many.search.pbt import run_pbt, tunable

    for field in ("time", "storage", "engine"):
        if getattr(options, field) not in ("", "auto"):
            raise UserError(f"--{field} is for searches of trials one by one: leave it out with --pbt")
    own = options.space != "built-in"
    space = tunable(problem.space, options.space if own else "the built-in space", own)
    subject = problem.subject().replace("/", "-").replace(":", "-")
    folder = Path(problem.config.run_dir or f"runs/{subject}/{problem.name}-pbt-s{problem.config.seed}")
    return run_pbt(replace(problem, space=space), options.trials, folder, options.quiet)[0]


def divided(flags: list[str]) -> tuple[list[str], list[str]]:
    """Our flags with their values, and those of the agent or task."""
    known = {field.name for field in fields(SweepConfig)}
    parts: tuple[list[str], list[str]] = ([], [])
    ours = False
    for token in flags:
        if token.startswith("--"):
            ours = token[2:].partition("=")[0].replace("-", "_").removeprefix("no_") in known
        parts[0 if ours else 1].append(token)
    return parts
