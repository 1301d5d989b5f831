"""Tuned settings by agent and environment, a TOML file an agent; a flag given by the user wins over them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymnasium import spaces

FOLDER = Path(__file__).parent


@cache
def table(agent: str) -> dict[str, Any]:
    """The presets of an agent: "env" by id, and perhaps "atari", "continuous" and "discrete"; empty for one without."""
    path = FOLDER / f"{agent}.toml"
    return _tuples(tomllib.loads(path.read_text("utf-8"))) if agent.isidentifier() and path.exists() else {}


def _tuples(value: Any) -> Any:
    """Lists as tuples, which settings hold."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def find(agent: str, env_id: str, action_space: Callable[[], spaces.Space]) -> tuple[str, dict]:
    """The settings of `agent` for an environment and what to call them: a preset, or defaults for the kind of action.

    `action_space` is asked where it matters. A module in front of the id changes nothing.
    """
    known, name = table(agent), env_id.rpartition(":")[2]
    if name in known.get("env", {}):
        return f"preset for {name}", known["env"][name]
    if name.startswith("ALE/") and "atari" in known:
        return "preset for Atari", known["atari"]
    if "continuous" in known and type(action_space()).__name__ == "Box":
        return "defaults for continuous control", known["continuous"]
    if "discrete" in known:
        return "defaults for discrete actions", known["discrete"]
    return "defaults", {}
