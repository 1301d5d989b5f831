"""Train an agent or a supervised task: python train.py [NAME] [--flags]. Without arguments: PPO on CartPole-v1."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from agent_gym.agents import AGENTS, config_class
from agent_gym.ground.errors import UserError
from agent_gym.messages import reported
from agent_gym.presets import preset
from agent_gym.registry import kind_of
from agent_gym.tasks import TASKS
from agent_gym.tasks import config_class as task_config


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
    on_env_error: Literal["", "stop", "restart"] = ""
    """When an environment fails: stop, or replace it and go on; empty: as before."""
    track: Literal["", "none", "mlflow", "wandb"] = ""
    """Another tracker beside TensorBoard, which gets all that was logged so far; empty: as before."""
    quiet: bool = False
    """Print the result only."""


@reported
def main(argv: list[str]) -> int:
    if any(arg.split("=")[0] == "--resume" for arg in argv):
        return go_on(tyro.cli(ResumeConfig, args=argv))
    if argv and argv[0] in ("-h", "--help"):
        print(f"{__doc__}\n\nagents: {' '.join(AGENTS)}\ntasks: {' '.join(TASKS)}\n")
        print("python train.py NAME --help lists the flags of one; python train.py --resume RUN continues a run.")
        return 0
    if not argv or argv[0].startswith("-"):
        argv = ["ppo", *argv]
    name, config, note = parse(argv[0], argv[1:])
    if config.freeze_encoder and not config.encoder_from:
        raise UserError("--freeze-encoder keeps what --encoder-from RUN loads: give both")
    return begin(name, config, note)


def parse(name: str, flags: list[str]) -> tuple[str, Any, str]:
    """The agent or task, its settings, and what they come from. Raises UserError."""
    if kind_of(name) == "task":
        config = tyro.cli(task_config(name), args=flags, prog=f"train.py {name}")
        return name, config, "settings: those of the task where you gave no flag"
    settings_class, defaults, label = config_class(name), config_class(name)(), ""
    if not {"-h", "--help"} & set(flags):
        given = {field: value for field in ("env", "env_kwargs", "algo") if (value := flag_value(flags, field))}
        label, settings = preset(name, settings_class, given)
        defaults = replace(defaults, **settings)
    config = tyro.cli(settings_class, default=defaults, args=flags, prog=f"train.py {name}")
    return name, config, f"settings: {label}; flags of yours win over them"


def flag_value(flags: list[str], name: str) -> str:
    """The value of --name in raw flags, in either spelling; "" where it is not given."""
    for flag, following in zip(flags, [*flags[1:], ""], strict=False):
        key, equals, value = flag.partition("=")
        if key.startswith("--") and key.lstrip("-").replace("-", "_") == name:
            return value if equals else following
    return ""


def begin(name: str, config: Any, note: str) -> int:
    """Train what the settings describe. Returns the exit code."""
    if kind_of(name) == "task":
        from agent_gym.task_run import make_task, train_task
        from agent_gym.training.device import choose_device

        if config.summary:
            task = make_task(name, config, None, choose_device(config.device, native=False))
            return show(task.model, task.model.spec.space())
        return train_task(name, config, notes=[note])[0].code
    from agent_gym.agent_run import AgentRun, train_agent
    from agent_gym.sources import NamedSource

    source = NamedSource(config)
    if config.summary:
        with closing(AgentRun(name, config, source)) as made:
            return show(made.agent.policy.networks(), made.env.obs_space)
    return train_agent(name, config, source, notes=[note])[0].code


def show(network: Any, space: Any) -> int:
    """Print a network layer by layer."""
    from agent_gym.nets.summary import summary

    print(summary(network, space))
    return 0


def go_on(args: ResumeConfig) -> int:
    """Continue a run. Returns the exit code."""
    from agent_gym.agent_run import train_agent
    from agent_gym.resume import reopen
    from agent_gym.sources import NamedSource
    from agent_gym.task_run import train_task

    changes = {field.name: getattr(args, field.name) for field in fields(args) if field.name != "resume"}
    changes = {name: value for name, value in changes.items() if value or name == "quiet"}
    resumed = reopen(args.resume, changes)
    with closing(resumed.run):
        note = [f"settings: those of {args.resume}"]
        if resumed.kind == "task":
            return train_task(resumed.name, resumed.config, resumed.run, note)[0].code
        source = NamedSource(resumed.config)
        return train_agent(resumed.name, resumed.config, source, resumed.run, note)[0].code
