"""Films: a show written to .mp4 or .gif without a display, and episodes recorded in the course of training."""

from __future__ import annotations

import math
import os
import struct
import sys
from collections.abc import Callable
from contextlib import nullcontext
from ctypes.util import find_library
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image, ImageChops

from agent_gym.ground.errors import Interrupted, UserError
from agent_gym.viewing.clip import Clip
from agent_gym.viewing.filming import FilmProgress
from agent_gym.viewing.player import Show

FILM_TYPES = (".mp4", ".gif")
GIF_FPS = 50.0  # browsers slow down anything faster


class GifWriter:
    """Writes an animated GIF picture by picture, of each the part that changed, so that memory holds one."""

    def __init__(self, path: Path, fps: float) -> None:
        self.file = open(path, "wb")  # noqa: SIM115  closed by close()
        self.fps, self.count = fps, 0
        self.previous: Image.Image | None = None

    def append_data(self, picture: np.ndarray) -> None:
        image = Image.fromarray(picture)
        box = (0, 0, *image.size)
        if self.previous is not None:
            box = ImageChops.difference(image, self.previous).getbbox() or (0, 0, 1, 1)
        part = image.crop(box).quantize(256, Image.Quantize.FASTOCTREE)
        chunks = [] if self.previous is not None else GifImagePlugin.getheader(part, info={"loop": 0})[0]
        # GIF counts in 1/100 s: rounding the times, not the steps between them, keeps the pace.
        until, since = (round(100 * count / self.fps) for count in (self.count + 1, self.count))
        chunks += GifImagePlugin.getdata(part, box[:2], duration=10 * (until - since), include_color_table=True)
        self.file.write(b"".join(chunks))
        self.previous, self.count = image, self.count + 1

    def close(self) -> None:
        with self.file:
            self.file.write(b";")


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
        try:
            if self.path.suffix == ".gif":
                self.writer = GifWriter(self.partial, self.fps)
            else:
                import imageio.v2 as imageio

                # H.264 wants even sides, not multiples of 16.
                options = {"macro_block_size": 2, "ffmpeg_log_level": "quiet"}
                self.writer = imageio.get_writer(self.partial, fps=self.fps, **options)
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
                if self.path.suffix == ".mp4" and not is_whole_mp4(self.partial):
                    raise OSError("its encoder could not write to the end")  # and does not say so
                os.replace(self.partial, self.path)
        except OSError as error:
            if kind is None:
                raise self._unwritable(error) from error
        finally:
            self.partial.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UserError:
        reason = error.strerror or str(error).strip().splitlines()[0]
        return UserError(f"cannot write the film {self.path} ({reason}): free space, or choose another folder")


def is_whole_mp4(path: Path) -> bool:
    """Whether the boxes that an .mp4 consists of end where the file does, and one of them is its index."""
    position, size, kinds = 0, path.stat().st_size, set()
    with open(path, "rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # a longer number follows
                length = int.from_bytes(file.read(8))
            kinds.add(kind)
            position += max(length, 8)
    return position == size and b"moov" in kinds


def film(
    show: Show,
    path: Path,
    fps: float,
    clip: Clip | None = None,
    *,
    quiet: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Write the whole show to `path`, and its beginning to `clip`; unless quiet say how far.

    Raises UserError, and Interrupted once `interrupted` says so; then there is no file.
    """
    with Film(path, fps) as reel, nullcontext() if quiet else FilmProgress(show) as progress:
        for picture in show.pictures():
            if interrupted():
                raise Interrupted
            reel.add(picture)
            if clip is not None:
                clip.add(show.stage)
            if progress is not None:
                progress()


def prepare_headless() -> None:
    """Let the graphics libraries work where there is no display; what the user chose for them stays."""
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # nothing here makes a sound
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        there = [name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)]
        os.environ.setdefault("MUJOCO_GL", (there or ["egl"])[0])
