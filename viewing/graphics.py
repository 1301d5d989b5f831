"""Drawing at a price that the machine can pay."""

from __future__ import annotations

import os
import sys
from glob import glob
from typing import Any

import gymnasium

GPU_FILES = ("/dev/dri/renderD*", "/dev/nvidia[0-9]*")  # Linux: drivers of graphics cards


def draws_on_gpu() -> bool:
    """Whether OpenGL has a graphics card here: always taken for granted on systems other than Linux."""
    if os.environ.get("MUJOCO_GL") == "osmesa" or os.environ.get("LIBGL_ALWAYS_SOFTWARE") in ("1", "true"):
        return False
    return not sys.platform.startswith("linux") or any(map(glob, GPU_FILES))


def draw_plainly(env: gymnasium.Env) -> bool:
    """Let a MuJoCo environment do without shadows, reflections and smoothed edges; False where there is none.

    To be called before its first picture. Nothing that moves changes. On HalfCheetah-v5 without a graphics card a
    picture then takes a tenth of the time.
    """
    model = mujoco_model(env.unwrapped)
    if model is None:
        return False
    model.light_castshadow[:] = 0
    model.mat_reflectance[:] = 0.0
    model.vis.quality.offsamples = 0
    return True


def mujoco_model(env: Any) -> Any:
    """The mjModel of Gymnasium's MuJoCo environments and of dm_control's behind an adapter; None elsewhere."""
    for path in (("model",), ("physics", "model"), ("_env", "physics", "model")):
        found = env
        for name in path:
            found = getattr(found, name, None)
        if all(hasattr(found, name) for name in ("light_castshadow", "mat_reflectance", "vis")):
            return found
    return None
