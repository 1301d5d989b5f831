"""What a name on the command line or in a checkpoint stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_gym.agents import AGENTS
from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.foreign import find_class
from agent_gym.tasks import TASKS


def kind_of(name: str) -> str:
    """ "agent" or "task", for a name of ours or for module:Class. Raises UserError."""
    if name in AGENTS:
        return "agent"
    if name in TASKS:
        return "task"
    if ":" not in name:
        known = (*AGENTS, *TASKS)
        if family := [task for task in known if task.startswith(f"{name} ")]:
            raise UserError(f"{name} what? Expected one of {', '.join(family)}")
        raise UserError(
            f"{name!r} is no agent or task: expected one of {', '.join(known)}, or module:Class{nearest(name, known)}"
        )
    from agent_gym.agents.agent import Agent
    from agent_gym.tasks.task import Task

    found = find_class(name)
    for kind, base in (("agent", Agent), ("task", Task)):
        if isinstance(found, type) and issubclass(found, base):
            return kind
    raise UserError(
        f"{name} is neither an agent nor a task: expected a subclass of agent_gym.agents.agent.Agent or "
        "agent_gym.tasks.task.Task"
    )


def check_modules(stored: Any, run: Path) -> None:
    """Refuse a stored configuration that would run code which came along with it: see envs.origin. Imports nothing."""
    from agent_gym.envs.origin import check_origin, wrapper_name

    for setting in ("agent", "task", "env", "encoder"):
        value = stored.get(setting)
        if isinstance(value, str):
            check_origin(value, run)
    for wrapper in stored.get("wrapper") or ():
        if isinstance(wrapper, str):
            check_origin(wrapper_name(wrapper), run)
