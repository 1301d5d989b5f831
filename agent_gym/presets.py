"""The settings that an agent gets for an environment where the user gives none."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from agent_gym.agents.settings.base import parse_env_kwargs
from agent_gym.envs.make import find_spec, make_single


def preset(name: str, settings_class: type, given: dict[str, Any]) -> tuple[str, dict]:
    """What to call the settings of agent `name` for the environment in `given`, and the settings.

    `given` are raw settings of the user: env, env_kwargs (JSON), algo. Raises UserError for an environment that there
    is none of.
    """
    env_id = given.get("env", settings_class().env)
    find_spec(env_id)

    def action_space() -> spaces.Space:
        single = make_single(env_id, parse_env_kwargs(given.get("env_kwargs", "{}")))
        single.close()
        return single.action_space

    return settings_class.preset(name, env_id, action_space, given)
