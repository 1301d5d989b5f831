"""MuJoCo: how it warns, and how it draws where there is no display."""

from __future__ import annotations

import functools
import os
import sys
import warnings
import zlib
from ctypes.util import find_library
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from agent_gym.envs.adapters.episodes.plain import own
from agent_gym.envs.family import Family, register
from agent_gym.ground.libraries import rounding_depends_on

rounding_depends_on("mujoco")

OF_CONTACTS = (
    "efc_",
    "iefc_",
    "iacc",
    "ifrc",
    "iM_",
    "iLD",
    "contact",
    "island_",
    "map_",
    "dof_island",
    "tree_island",
    "efm_",
)


def choose_gl() -> None:
    """Set MUJOCO_GL where there is no display, unless the user has: MuJoCo and dm_control read it when imported."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        there = [name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)]
        os.environ.setdefault("MUJOCO_GL", (there or ["egl"])[0])


@functools.cache
def tame() -> None:
    """Have MuJoCo warn in Python's way, and not at all about Gymnasium's old model files, once for each environment."""
    import mujoco

    mujoco.set_mju_user_warning(lambda text: None if "deprecated" in text else warnings.warn(text, stacklevel=2))


class MuJoCo(Family):
    """Gymnasium's environments on MuJoCo."""

    name = "mujoco"

    def claims(self, spec: EnvSpec) -> bool:
        return "mujoco" in str(spec.entry_point)

    def make(self, spec: EnvSpec, env_kwargs: dict[str, Any], **options: Any) -> gymnasium.Env:
        tame()
        return super().make(spec, env_kwargs, **options)


def save_data(data: Any) -> dict[str, np.ndarray]:
    """All that an MjData holds between two steps, but for the lists of contacts, which each step makes anew."""
    import mujoco

    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(data.model, whole))
    mujoco.mj_getState(data.model, data, state, whole)
    return {"integration": state} | {name: array.copy() for name, array in arrays_of(data).items()}


def load_data(data: Any, saved: dict[str, np.ndarray]) -> None:
    """Bring an MjData of the same model there. Raises ValueError."""
    import mujoco

    whole = mujoco.mjtState.mjSTATE_INTEGRATION
    state, there = np.asarray(saved.pop("integration"), np.float64), arrays_of(data)
    fits = there.keys() == saved.keys() and all(there[name].shape == array.shape for name, array in saved.items())
    if state.shape != (mujoco.mj_stateSize(data.model, whole),) or not fits:
        raise ValueError("the saved state is of another MuJoCo model")
    mujoco.mj_setState(data.model, data, state, whole)
    for name, array in saved.items():
        there[name][...] = array


def arrays_of(thing: Any) -> dict[str, np.ndarray]:
    """The arrays of fixed size of an MjData or MjModel, by their names."""
    found = {name: getattr(thing, name) for name in dir(thing) if not name.startswith(("_", *OF_CONTACTS))}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray) and value.flags.writeable}


def model_digest(model: Any) -> list[int]:
    """A checksum of its arrays: a model is not saved, but whoever changes it has another one."""
    return [zlib.crc32(b"".join(array.tobytes() for array in arrays_of(model).values()))]


def same_model(model: Any, saved: list[int]) -> None:
    """Raises ValueError where the checksum is of another model."""
    if model_digest(model) != saved:
        raise ValueError("the saved state is of another MuJoCo model")


own("mujoco._structs.MjData", save_data, load_data)
own("mujoco._structs.MjModel", model_digest, same_model)
own("gymnasium.envs.mujoco.mujoco_rendering.MujocoRenderer", lambda renderer: None, lambda renderer, saved: None)
register(MuJoCo())
