"""What there is: agent-gym list [--json]."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent_gym.agents import AGENTS, config_class
from agent_gym.agents.presets import table
from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.tasks import TASKS
from agent_gym.tasks import config_class as task_config


@dataclass(frozen=True)
class ListConfig:
    """Agents, tasks, environments and presets."""

    json: bool = False
    """Print one JSON object."""


@reported
def main(argv: list[str]) -> int:
    args = read_flags(ListConfig, argv, prog="agent-gym list")[0]
    found = catalogue()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for title, entries in found.items():
        print(title)
        width = max(map(len, entries), default=0)
        for name, what in entries.items():
            print(f"  {name:<{width}}  {what if isinstance(what, str) else scored(what)}")
        print()
    return 0


def scored(presets: dict[str, float | None]) -> str:
    """Environments with the score that their preset has reached, where it was measured."""
    return ", ".join(env if score is None else f"{env} ({score:g})" for env, score in presets.items())


def catalogue() -> dict[str, dict[str, Any]]:
    """Agents and tasks with a line each, our environments, and presets with their scores, by agent."""
    from agent_gym.envs.make import NATIVE

    return {
        "agents": {name: _first_line(config_class(name)) for name in AGENTS},
        "tasks": {name: _first_line(task_config(name)) for name in TASKS},
        "environments": dict.fromkeys(NATIVE, "native tensor environment"),
        "presets": {
            name: {env: table(name).get("score", {}).get(env) for env in table(name)["env"]}
            for name in AGENTS
            if table(name).get("env")
        },
        "published settings, not tuned here": {
            name: dict.fromkeys(table(name)["published"]) for name in AGENTS if table(name).get("published")
        },
    }


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
