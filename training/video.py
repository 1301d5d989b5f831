"""Watching: a window, or a film written without a display."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from training.errors import UserError

FILM_TYPES = (".mp4", ".gif")


class FrameTap(gymnasium.Wrapper):
    """Hands every picture of the first `episodes` episodes to `on_frame`, the last of each included."""

    def __init__(self, env: gymnasium.Env, episodes: int, on_frame: Callable[[np.ndarray], None]) -> None:
        super().__init__(env)
        self.left, self.on_frame = episodes, on_frame

    def _show(self) -> None:
        if self.left > 0:
            self.on_frame(self.env.render())

    def reset(self, **kwargs: Any):
        result = super().reset(**kwargs)
        self._show()
        return result

    def step(self, action: Any):
        result = super().step(action)
        self._show()
        self.left -= result[2] or result[3]
        return result


class Film:
    """Writes frames [H, W, 3] uint8 to an .mp4 or .gif; the file appears whole when closed without an error."""

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix not in FILM_TYPES:
            raise UserError(f"--video {path}: unknown file type {path.suffix!r}, expected {' or '.join(FILM_TYPES)}")
        if not path.parent.is_dir():
            raise UserError(f"--video {path}: there is no folder {path.parent}; make it first")
        self.path, self.fps = path, fps
        self.partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        self.writer = None

    def __enter__(self) -> Film:
        import imageio.v2 as imageio

        try:
            if self.path.suffix == ".gif":
                self.writer = imageio.get_writer(self.partial, duration=1000 / self.fps, loop=0)
            else:
                # H.264 wants even sides, not multiples of 16.
                self.writer = imageio.get_writer(self.partial, fps=self.fps, macro_block_size=2)
        except OSError as error:
            raise UserError(f"cannot write --video {self.path} ({error.strerror}): choose another folder") from error
        return self

    def add(self, frame: np.ndarray) -> None:
        self.writer.append_data(frame)

    def __exit__(self, kind: type | None, *exc: object) -> None:
        self.writer.close()
        if kind is None:
            os.replace(self.partial, self.path)
        else:
            self.partial.unlink(missing_ok=True)


def render_mode(metadata: dict, wanted: str, env_id: str) -> str:
    """`wanted` if the environment offers it; a UserError otherwise."""
    offered = metadata.get("render_modes", [])
    if wanted not in offered:
        raise UserError(f"{env_id} cannot render {wanted!r}: it offers {', '.join(map(str, offered)) or 'nothing'}")
    return wanted


def require_display() -> None:
    """Raise a UserError where no window can open."""
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    ):
        raise UserError("--watch needs a display and there is none: use --video out.mp4 to record instead")


def prepare_headless() -> None:
    """Let MuJoCo draw without a display, unless the user chose how."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
