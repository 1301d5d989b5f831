"""Whose code an environment of a stored run would be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from agent_gym.ground.errors import UserError


def check_origin(env_id: str, run: Path) -> None:
    """Refuse the `module:Id` of a stored run where the module is no environment's, or came along with the run.

    Importing a module runs it: a run from a stranger may name what is installed here, and nothing in its own folder.
    Imports nothing. Raises UserError.
    """
    module = env_id.rpartition(":")[0]
    top = module.partition(".")[0]
    if not top:
        return
    if top in sys.stdlib_module_names or "__main__" in module.split("."):
        raise UserError(f"the run names the environment {env_id!r}, and {module} holds no environments: not opened")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return  # it cannot be imported either, which is said where that is tried
    if found is None:
        return
    folders = list(found.submodule_search_locations or ())
    files = folders or [found.origin or ""]
    home = run.resolve()
    for place in map(Path, files):
        place = place.resolve()
        if place.is_relative_to(home) or (folders and home.is_relative_to(place)):
            raise UserError(
                f"the run names the environment {env_id!r}, whose module {top} lies together with the run in {place}: "
                "its code is not run; if it is yours, move the run to another folder"
            )
