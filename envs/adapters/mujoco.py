"""MuJoCo: how it warns, and how it draws where there is no display."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from ctypes.util import find_library
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from agent_gym.envs.family import Family, register


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


register(MuJoCo())
