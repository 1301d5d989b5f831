"""Films: a show written to .mp4 or .gif without a display, and episodes recorded in the course of training."""

from __future__ import annotations

import io
import math
import os
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
from PIL import Image

from training.errors import UserError
from training.overlay import fit
from training.show import Show

FILM_TYPES = (".mp4", ".gif")
GIF_FPS = 50.0  # browsers slow down anything faster
CLIP_WIDTH, CLIP_FPS, CLIP_PICTURES = 340, 12.5, 250  # of what TensorBoard shows


class Film:
    """Writes pictures [H, W, 3] uint8 to an .mp4 or .gif; the file appears whole when closed without an error."""

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix not in FILM_TYPES:
            raise UserError(f"--video {path}: unknown file type {path.suffix!r}, expected {' or '.join(FILM_TYPES)}")
        if not path.parent.is_dir():
            raise UserError(f"--video {path}: there is no folder {path.parent}; make it first")
        self.path, self.stride = path, 1
        if path.suffix == ".gif":
            self.stride = math.ceil(fps / GIF_FPS)
        self.fps, self.count = fps / self.stride, 0
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
            raise self._unwritable(error) from error
        return self

    def add(self, picture: np.ndarray) -> None:
        if self.count % self.stride == 0:
            try:
                self.writer.append_data(picture)
            except OSError as error:
                raise self._unwritable(error) from error
        self.count += 1

    def __exit__(self, kind: type | None, *exc: object) -> None:
        try:
            self.writer.close()
            if kind is None:
                os.replace(self.partial, self.path)
        except OSError as error:
            if kind is None:
                raise self._unwritable(error) from error
        finally:
            self.partial.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UserError:
        reason = error.strerror or str(error).strip().splitlines()[0]
        return UserError(f"cannot write the film {self.path} ({reason}): free space, or choose another folder")


class Clip:
    """A small animated GIF of the first seconds of a show, for TensorBoard."""

    def __init__(self, fps: float) -> None:
        self.stride = max(1, round(fps / CLIP_FPS))
        self.milliseconds = 1000 * self.stride / fps
        self.pictures: list[Image.Image] = []
        self.count = 0

    def add(self, picture: np.ndarray) -> None:
        if self.count % self.stride == 0 and len(self.pictures) < CLIP_PICTURES:
            width = min(CLIP_WIDTH, picture.shape[1])
            self.pictures.append(fit(picture, width, picture.shape[0]).quantize(64))
        self.count += 1

    def gif(self) -> tuple[bytes, int, int]:
        """The file's bytes, width and height."""
        first, *rest = self.pictures
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=rest, duration=self.milliseconds, loop=0)
        return file.getvalue(), first.width, first.height


def film(show: Show, path: Path, fps: float, clip: Clip | None = None) -> None:
    """Write the whole show to `path`, and its beginning to `clip`. Raises UserError."""
    with Film(path, fps) as reel:
        for picture in show.pictures():
            reel.add(picture)
            if clip is not None:
                clip.add(picture)


def prepare_headless() -> None:
    """Let the graphics libraries work where there is no display; what the user chose for them stays."""
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # nothing here makes a sound
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        there = [name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)]
        os.environ.setdefault("MUJOCO_GL", (there or ["egl"])[0])
