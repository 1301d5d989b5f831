"""Tuned settings by agent and environment, a TOML file an agent; a flag given by the user wins over them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymnasium import spaces

    Spaces = tuple[spaces.Space, spaces.Space]

FOLDER = Path(__file__).parent


@cache
def table(agent: str) -> dict[str, Any]:
    """The presets of an agent: "env" by id, "published" by id, which others have chosen and nobody has tried here, and
    perhaps some of "atari", "continuous", "discrete" and "codes"."""
    path = FOLDER / f"{agent}.toml"
    return _tuples(tomllib.loads(path.read_text("utf-8"))) if agent.isidentifier() and path.exists() else {}


def _tuples(value: Any) -> Any:
    """Lists as tuples, which settings hold."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def find(agent: str, env_id: str, spaces_of: Callable[[], Spaces], cells: str = "auto") -> tuple[str, dict]:
    """The settings of `agent` for an environment and what to call them: a preset, or defaults for its kind.

    `spaces_of` gives the spaces of observations and actions, and is asked where they matter; `cells` is the setting of
    that name. A module in front of the id changes nothing; a preset for another version is named and not taken.
    """
    known, name = table(agent), env_id.rpartition(":")[2]
    if name in known.get("env", {}):
        return f"preset for {name}", known["env"][name]
    if name in known.get("published", {}):
        return f"published settings for {name}, not tuned here", known["published"][name]
    if name.startswith("ALE/") and "atari" in known:
        return "preset for Atari", known["atari"]
    label, settings = _by_kind(known, spaces_of, cells)
    ids = [*known.get("env", {}), *known.get("published", {})]
    others = [other for other in ids if _unversioned(other) == _unversioned(name)]
    return label + (f" ({' and '.join(others)} has a preset)" if others else ""), settings


def _by_kind(known: dict[str, Any], spaces_of: Callable[[], Spaces], cells: str) -> tuple[str, dict]:
    if not known.keys() & {"continuous", "discrete", "codes"}:
        return "defaults", {}
    obs_space, action_space = spaces_of()
    if type(action_space).__name__ == "Box":
        return ("defaults for continuous control", known["continuous"]) if "continuous" in known else ("defaults", {})
    if "codes" in known:
        from agent_gym.nets.encoders.cells import holds_codes

        if holds_codes(obs_space, cells):
            return "defaults for discrete actions and grids of codes", known["codes"]
    return ("defaults for discrete actions", known["discrete"]) if "discrete" in known else ("defaults", {})


def _unversioned(name: str) -> str:
    return re.sub(r"-v\d+$", "", name)
