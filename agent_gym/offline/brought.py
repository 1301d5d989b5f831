"""Settings that come along with a run or a data set which others name: its environment, its network. No torch."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from agent_gym.nets.settings import EncoderSettings
from agent_gym.storage.datasets import find
from agent_gym.storage.files import read_object

WORLD = ("env", "env_kwargs", "wrapper", "frame_stack", "max_episode_steps")
OWN = ("encoder_from", "freeze_encoder")
VALUES = (
    "dueling",
    "quantiles",
    "implicit",
    "atoms",
    "value_range",
    "noisy",
    "critics",
    "critic",
    "critic_hidden_sizes",
)
SHAPE = (*(f.name for f in fields(EncoderSettings) if f.name not in OWN), *VALUES)


def brought_along(settings_class: type, given: dict[str, Any]) -> dict[str, Any]:
    """Settings that follow from data, demonstrations, teacher or start_from in `given`, by name; the user's win."""
    found: dict[str, Any] = {}
    for name in ("data", "demonstrations"):
        if given.get(name):
            env, kwargs = find(given[name]).environment
            found |= {"env": env, "env_kwargs": json.dumps(kwargs)} if env else {}
    for name in ("teacher", "start_from"):
        if given.get(name) and (config := read_object(Path(given[name]) / "config.json")):
            taken = WORLD if name == "teacher" else WORLD + SHAPE
            found |= {key: _tuples(config[key]) for key in taken if key in config}
    known = {field.name for field in fields(settings_class)}
    if "env" in given:  # then its arguments are the user's too
        found = {key: value for key, value in found.items() if key not in WORLD}
    return {key: value for key, value in found.items() if key in known}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
