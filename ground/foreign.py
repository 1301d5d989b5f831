"""Classes that users name as package.module:Class."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agent_gym.ground.errors import UserError, nearest


def find_class(name: str) -> Any:
    """What module:Class names. Raises UserError with what importing it raised."""
    module, _, member = name.partition(":")
    try:
        found = import_module(module)
    except Exception as error:  # whatever a user's module raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{name} cannot be imported ({reason}): expected package.module:Class that Python finds"
        ) from error
    if not hasattr(found, member):
        raise UserError(f"{name}: the module has no {member!r}{nearest(member, vars(found))}")
    return getattr(found, member)


def foreign_class(name: str, attribute: str, expected: str) -> type:
    """The class that module:Class names; it must have `attribute`. Raises UserError."""
    found = find_class(name)
    if not isinstance(found, type) or not hasattr(found, attribute):
        raise UserError(f"{name} is not {expected} with an attribute {attribute}")
    return found
