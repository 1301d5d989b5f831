"""Whose code an environment of a stored run would be."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path

from agent_gym.ground.errors import UserError

STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
INSTALLED = ("site-packages", "dist-packages")


def wrapper_name(text: str) -> str:
    """What --wrapper names, without its arguments."""
    return re.split(r"[{\[]", text, maxsplit=1)[0].strip(" =:")


def _is_pythons(found: ModuleSpec) -> bool:
    """Whether what would be imported is of the standard library, whatever its name."""
    if found.origin in ("built-in", "frozen"):
        return True
    place = Path(found.origin).resolve() if found.origin else None
    return place is not None and any(
        place.is_relative_to(home) and not set(INSTALLED) & set(place.relative_to(home).parts) for home in STANDARD
    )


def check_origin(env_id: str, run: Path) -> None:
    """Refuse a `module:Id` where the module is Python's own, or lies together with the run.

    Importing a module runs it: a run from a stranger may name what is installed here, and nothing in its own folder.
    Asked before training too, so that nothing is trained that could not be opened again. What counts is the file that
    would be imported, not its name. Imports nothing. Raises UserError.
    """
    module = env_id.rpartition(":")[0]
    top = module.partition(".")[0]
    if not top:
        return
    if "__main__" in module.split("."):
        raise UserError(f"{env_id!r} would run __main__ once more: give a module that holds environments")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return  # it cannot be imported either, which is said where that is tried
    if found is None:
        return
    if _is_pythons(found):
        raise UserError(f"{env_id!r} names a module of Python itself, which holds nothing of the kind: rename yours")
    folders = list(found.submodule_search_locations or ())
    files = folders or [found.origin or ""]
    home = run.resolve()
    for place in map(Path, files):
        place = place.resolve()
        if place.is_relative_to(home) or (folders and home.is_relative_to(place)):
            raise UserError(
                f"the run names {env_id!r}, whose module {top} lies together with the run in {place}: its code is not "
                "run; if it is yours, move the run to another folder, or give another --run-dir"
            )
