"""Train an agent or a supervised task: python train.py [NAME] [--flags]. Without arguments: PPO on CartPole-v1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agent_gym.agents import AGENTS, config_class
from agent_gym.commands.line.flags import ASKED, HELP, read_flags, spelled_out
from agent_gym.commands.line.invocation import command
from agent_gym.commands.line.messages import reported
from agent_gym.commands.line.opening import announce, origins
from agent_gym.commands.line.raw import flag_value, made_of, taken, together
from agent_gym.composing.presets import NAMES, preset
from agent_gym.composing.registry import kind_of
from agent_gym.ground.errors import UserError, one_line
from agent_gym.ground.settings import check_effects
from agent_gym.many.engines import Engine
from agent_gym.tasks import TASKS, split_name
from agent_gym.tasks import config_class as task_config

ONE_RUN = "--engine says how many runs are trained, and this is one: give --seeds too, or leave it out"


@dataclass(frozen=True)
class ResumeConfig:
    """Continue a run where it stopped."""

    resume: Path
    """The run directory."""
    total_steps: int = 0
    """A new end for an agent's run; 0: as planned."""
    epochs: int = 0
    """A new end for a task's run; 0: as planned."""
    device: Literal["", "auto", "cpu", "cuda"] = ""
    """Another device; empty: as before."""
    num_threads: int = 0
    """Another number of CPU threads of torch; 0: as before."""
    schedule_over: Literal["rest", "whole"] = "rest"
    """With another end: schedules go on over the rest, or are spread over the whole run."""
    on_env_error: Literal["", "stop", "restart"] = ""
    """When an environment fails: stop, or replace it and go on; empty: as before."""
    track: Literal["", "none", "mlflow", "wandb"] = ""
    """Another tracker beside TensorBoard, which gets all that was logged so far; empty: as before."""
    verbose: bool = False
    """Print every setting before the run goes on."""
    quiet: bool = False
    """Print the result only."""


class Parsed(NamedTuple):
    """What a command line asks for."""

    name: str
    config: Any
    notes: list[str]
    """Whose the settings are that differ from the defaults."""
    given: set[str]
    """Settings that the command line names."""


@reported
def main(argv: list[str]) -> int:
    if "WORLD_SIZE" not in os.environ:
        return run(argv)
    from agent_gym.nets.ranks import RANKS, launched

    if launched() < 2:
        return run(argv)
    if any(arg.partition("=")[0] in ("--seeds", "--summary", "--explore") for arg in argv):
        raise UserError("torchrun trains one run on several ranks: leave --seeds, --summary and --explore out")
    RANKS.join()
    try:
        with quiet_unless(RANKS.rank == 0):
            return run(argv)
    except UserError as error:
        if RANKS.end_alike(one_line(error)) and RANKS.rank:
            return 2
        raise
    finally:
        RANKS.leave()


@contextmanager
def quiet_unless(speaks: bool) -> Iterator[None]:
    """Standard output is for the rank that `speaks`; errors are for all."""
    if speaks:
        yield
    else:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield


def run(argv: list[str]) -> int:
    """Train as the arguments say. Returns the exit code; raises UserError."""
    if any(arg.split("=")[0] == "--resume" for arg in argv):
        if argv[0] in (*AGENTS, *TASKS):
            raise UserError(f"--resume goes on with what the run is: leave {argv[0]} out")
        argv, engine = engine_of(argv)
        return go_on(read_flags(ResumeConfig, argv, prog=f"{command('train')} --resume RUN")[0], engine)
    if argv and argv[0] in ("-h", "--help"):
        print(f"{__doc__}\n\nagents: {' '.join(AGENTS)}\ntasks: {' '.join(TASKS)}\n")
        print(f"{command('train')} NAME --help lists the flags of one, with the values that the run will use;")
        print(f"{command('train')} NAME --seeds 8 (or 0:8, or 0,5,7) trains one run a seed, on all cores;")
        print(f"{command('train')} --resume RUN continues a run, or a group of them.")
        return 0
    if not argv or argv[0].startswith("-"):
        argv = ["ppo", *argv]
    name, flags = split_name(argv)
    name, flags = name or argv[0], flags if name else argv[1:]
    if set(HELP) & set(flags):
        print("besides the flags below: --seeds 8 (or 0:8, or 0,5,7) trains one run a seed, on all cores, several in")
        print("one process where they can be one program (--engine auto), a process each (--engine processes), or on")
        print("a Ray cluster (--engine ray --address HOST:PORT --cpus-per-run 1 --gpus-per-run 0);")
        print("--preset FILE.yaml takes the settings that agent-gym sweep has found")
    flags, seeds = taken(flags, "seeds")
    flags, engine = engine_of(flags)
    parsed = parse(name, flags)
    if seeds is not None:
        return begin_group(parsed, seeds, flags, engine)
    if engine is not None:
        raise UserError(ONE_RUN)
    announce(parsed.name, parsed.config)
    return begin(parsed.name, parsed.config, parsed.notes)


def engine_of(flags: list[str]) -> tuple[list[str], Engine | None]:
    """Flags without those of the engine that trains many runs, and the engine; None where none is given."""
    ours: list[str] = []
    for field in fields(Engine):
        name = field.name.replace("_", "-")
        flags, value = taken(flags, name)
        if value is not None:
            ours += [f"--{name}", *([value] if value else [])]
    if not ours:
        return flags, None
    return flags, read_flags(Engine, ours, prog=f"{command('train')} NAME --seeds 8")[0].checked()


def begin_group(parsed: Parsed, seeds: str, flags: list[str], engine: Engine | None) -> int:
    """Train one run a seed. Returns the exit code."""
    from agent_gym.many.seeds import parse_seeds

    wanted, engine = parse_seeds(seeds), engine or Engine()
    for field in ("seed", "summary", "explore"):
        if any(flag.partition("=")[0] == f"--{field}" for flag in flags):
            raise UserError(f"--{field} does not go with --seeds: leave one of them out")
    if not parsed.config.quiet:
        print(f"{parsed.name}: {len(wanted):,} seeds", flush=True)
    from agent_gym.many.train_group import new_group, train_group

    group = new_group(kind_of(parsed.name), parsed.name, parsed.config, wanted, engine=engine.engine)
    if not parsed.config.quiet:
        print("\n".join([*parsed.notes, f"group directory {group.path}"]), flush=True)
    return train_group(group, quiet=parsed.config.quiet, engine=engine)


def parse(name: str, flags: list[str]) -> Parsed:
    """The agent or task with its settings. Raises UserError, and SystemExit for --help."""
    known = (*AGENTS, *TASKS)
    flags = together(flags, "--wrapper")
    flags, preset_file = taken(flags, "preset")
    prog, label, values = f"{command('train')} {name}", "", {}
    kind = kind_of(name)
    settings_class = task_config(name) if kind == "task" else config_class(name)
    if preset_file is not None:
        from agent_gym.many.search.problem import read_preset

        of_file = read_preset(Path(preset_file), name, settings_class)
        if env := of_file.pop("env", ""):
            flags = flags if flag_value(flags, "env") else ["--env", env, *flags]
    if kind == "agent":
        if not set(ASKED) & set(flags):
            spelled_out(flags, settings_class, prog, known)  # mistakes in flags before those in environments
        given = {field: value for field in NAMES if (value := flag_value(flags, field))}
        given |= made_of(flags)
        silent = set(ASKED) & set(flags) or {"--quiet", "--summary"} & set(flags)
        label, values = preset(name, settings_class, given, (lambda env_id: None) if silent else looking())
    if preset_file is not None:
        label, values = f"{f'{label}, then ' if label else ''}{preset_file}", values | of_file
    defaults = replace(settings_class(), **values)
    if given_env := flag_value(flags, "env"):
        defaults = replace(defaults, env=given_env)
    config, given = read_flags(settings_class, flags, prog=prog, default=defaults, first=known)
    check_effects(config, given)
    return Parsed(name, config, origins(config, given, label, values), given)


def looking() -> Callable[[str], None]:
    """Says once that an environment is being looked at, so that something is seen within the second."""
    return cache(lambda env_id: print(f"looking at {env_id}", flush=True))


def begin(name: str, config: Any, notes: list[str]) -> int:
    """Train what the settings describe. Returns the exit code."""
    if kind_of(name) == "task":
        from agent_gym.composing.task_run import make_task, train_task
        from agent_gym.training.device import choose_device

        if getattr(config, "explore", False):
            from agent_gym.commands.exploring import explore

            return explore(name, config)
        if config.summary:
            task = make_task(name, config, None, choose_device(config.device).device)
            print(task.layers())
            return 0
        return train_task(name, config, notes=notes)[0].code
    from agent_gym.composing.agent_run import AgentRun, train_agent
    from agent_gym.composing.sources import NamedSource

    source = NamedSource(config)
    if config.summary:
        with closing(AgentRun(name, config, source)) as made:
            return show(made.agent.policy.networks(), made.env.obs_space)
    return train_agent(name, config, source, notes=notes)[0].code


def show(network: Any, space: Any) -> int:
    """Print a network layer by layer."""
    from agent_gym.nets.summary import summary

    print(summary(network, space))
    return 0


def go_on(args: ResumeConfig, engine: Engine | None = None) -> int:
    """Continue a run, or a group of them. Returns the exit code."""
    if not args.quiet:
        print(f"going on with {args.resume}", flush=True)
    from agent_gym.composing.agent_run import train_agent
    from agent_gym.composing.resume import reopen
    from agent_gym.composing.sources import NamedSource
    from agent_gym.composing.task_run import train_task
    from agent_gym.many.group import is_group

    changes = {field.name: getattr(args, field.name) for field in fields(args) if field.name != "resume"}
    changes = {name: value for name, value in changes.items() if value or name in ("quiet", "verbose")}
    if is_group(args.resume):
        return go_on_group(args, changes, engine)
    if engine is not None:
        raise UserError(ONE_RUN)
    resumed = reopen(args.resume, changes)
    with closing(resumed.run):
        note = [f"settings: those of {args.resume}"]
        if resumed.kind == "task":
            return train_task(resumed.name, resumed.config, resumed.run, note)[0].code
        source = NamedSource(resumed.config)
        return train_agent(resumed.name, resumed.config, source, resumed.run, note)[0].code


def go_on_group(args: ResumeConfig, changes: dict[str, Any], engine: Engine | None) -> int:
    """Continue every run of a group. Returns the exit code."""
    from agent_gym.many.group import ENDS, Group
    from agent_gym.many.train_group import train_group

    left_out = {"quiet", "verbose"} | (set() if changes.keys() & set(ENDS) else {"schedule_over"})
    group = Group.open(args.resume)
    group.change({name: value for name, value in changes.items() if name not in left_out})
    return train_group(group, quiet=args.quiet, engine=engine)
