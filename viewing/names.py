"""What the parts of an action are called beside the picture."""

from __future__ import annotations

from enum import Enum
from typing import Any

import gymnasium
from gymnasium import spaces

from agent_gym.ground.errors import UserError
from agent_gym.viewing.graphics import mujoco_model

COMPASS = ("left", "down", "right", "up")
PUSH = ("push left", "coast", "push right")
GYMNASIUM = {  # the classes of Gymnasium's own environments, by module; where two versions of the action exist, both
    "classic_control.cartpole": [("push left", "push right")],
    "classic_control.acrobot": [("torque -1", "no torque", "torque +1")],
    "classic_control.mountain_car": [PUSH],
    "classic_control.continuous_mountain_car": [("force",)],
    "classic_control.pendulum": [("torque",)],
    "box2d.lunar_lander": [("nothing", "left engine", "main engine", "right engine"), ("main", "sideways")],
    "box2d.bipedal_walker": [("hip 1", "knee 1", "hip 2", "knee 2")],
    "box2d.car_racing": [("nothing", "steer right", "steer left", "gas", "brake"), ("steer", "gas", "brake")],
    "toy_text.frozen_lake": [COMPASS],
    "toy_text.cliffwalking": [("up", "right", "down", "left")],
    "toy_text.taxi": [("south", "north", "east", "west", "pick up", "drop off")],
    "toy_text.blackjack": [("stick", "hit")],
}


def action_names(env: gymnasium.Env, space: gymnasium.Space, given: str = "") -> list[str]:
    """A name for each discrete action, or for each part of another action.

    In this order: `given` by the user, separated by commas; the environment's `get_action_meanings()`; its enumeration
    `actions`; what Gymnasium's documentation says of its own environments; the actuators of a MuJoCo model; numbers.
    Raises UserError where `given` does not fit.
    """
    count = size_of(space)
    if given:
        names = [name.strip() for name in given.split(",")]
        if len(names) != count or not all(names):
            such = f", such as {','.join(COMPASS[:count])}" if count <= len(COMPASS) else ""
            raise UserError(f"--action-names {given!r}: expected {count} names separated by commas{such}")
        return names
    for find in (_meanings, _enumeration, _documented, _actuators):
        names = find(env)
        if len(names) == count:
            return names
    return [str(i) for i in range(count)]


def size_of(space: gymnasium.Space) -> int:
    """How many names an action space takes."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return len(space.nvec) if isinstance(space, spaces.MultiDiscrete) else spaces.flatdim(space)


def _meanings(env: gymnasium.Env) -> list[str]:
    if not env.has_wrapper_attr("get_action_meanings"):
        return []
    return [str(name).replace("_", " ").lower() for name in env.get_wrapper_attr("get_action_meanings")()]


def _enumeration(env: gymnasium.Env) -> list[str]:
    """Members of the Enum class that is called `actions`, as MiniGrid's is, where their values count from 0."""
    kind = getattr(env.unwrapped, "actions", None)
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        return []
    counted = all(member.value == i for i, member in enumerate(kind))
    return [member.name.replace("_", " ").lower() for member in kind] if counted else []


def _documented(env: gymnasium.Env) -> list[str]:
    count = size_of(env.action_space)
    modules = [kind.__module__.removeprefix("gymnasium.envs.") for kind in type(env.unwrapped).__mro__]
    known = [names for module in modules for names in GYMNASIUM.get(module, ())]
    return next((list(names) for names in known if len(names) == count), [])


def _actuators(env: gymnasium.Env) -> list[str]:
    """Names in a MuJoCo model, those of the joints where the actuators have none."""
    model: Any = mujoco_model(env.unwrapped)
    model = getattr(model, "ptr", model)  # dm_control wraps it
    if not all(hasattr(model, name) for name in ("nu", "actuator", "actuator_trnid", "joint")):
        return []
    names = [model.actuator(i).name or model.joint(model.actuator_trnid[i, 0]).name for i in range(model.nu)]
    return [name.removesuffix("_joint").replace("_", " ") for name in names]
