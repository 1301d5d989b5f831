"""The settings that an agent gets for an environment where the user gives none. Imports torch only where it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from agent_gym.agents.presets import table
from agent_gym.agents.settings.base import parse_kwargs
from agent_gym.ground.errors import UserError, nearest
from agent_gym.offline.brought import brought_along

if TYPE_CHECKING:
    from agent_gym.agents.presets import Spaces

NAMES = ("env", "env_kwargs", "algo", "cells", "data", "demonstrations", "teacher", "start_from")
"""Settings that choose others: the environment its preset, a run or a data set what comes along with it."""
MADE_OF = ("env_kwargs", "wrapper", "frame_stack", "max_episode_steps")
"""Settings of which the environment is made."""


def preset(
    name: str, settings_class: type, given: dict[str, Any], looks_at: Callable[[str], None] = lambda env_id: None
) -> tuple[str, dict]:
    """What to call the settings of agent `name` for the environment in `given`, and the settings.

    `given` are raw settings of the user: those of NAMES. Raises UserError for an environment that there is none of.
    `looks_at` is told of an environment that has to be imported and made, which takes seconds.
    """
    along = brought_along(settings_class, given)
    given = along | given
    env_id = given.get("env", settings_class().env)
    if env_id not in table(name).get("env", {}):
        require_env(env_id, looks_at)

    def spaces_of() -> Spaces:
        looks_at(env_id)
        from agent_gym.composing.sources import OPENED, key
        from agent_gym.envs.layers import Layers
        from agent_gym.envs.make import opening

        config = replace(settings_class(), env=env_id, **{field: given[field] for field in MADE_OF if field in given})
        layers = Layers.of(config)
        spaces, first = opening(env_id, parse_kwargs(config.env_kwargs), layers)
        if first is not None:
            OPENED[key(config)] = first
        return spaces

    label, values = settings_class.preset(name, env_id, spaces_of, given)
    return (f"{label}, and what comes along" if along else label), values | along


def require_env(env_id: str, looks_at: Callable[[str], None]) -> None:
    """Raise UserError, with the nearest ids, where no environment has this id."""
    import gymnasium

    if env_id in gymnasium.registry:
        return
    if not {":", "/"} & set(env_id) and (near := nearest(env_id, sorted(gymnasium.registry))):
        raise UserError(f"unknown environment {env_id!r}{near}")
    looks_at(env_id)
    from agent_gym.envs.make import find_spec  # it knows ours and those that a module registers

    find_spec(env_id)


def usual_settings(name: str, settings: Any, known: Spaces) -> dict[str, Any]:
    """What all settings of a run would be where the user gave none but the environment, of spaces `known`."""
    cls = type(settings)
    given = {field: getattr(settings, field) for field in ("algo", "cells") if hasattr(settings, field)}
    return asdict(cls()) | cls.preset(name, settings.env, lambda: known, given)[1]
