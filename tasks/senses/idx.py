"""The IDX files of MNIST (Y. LeCun's format: big-endian header, then bytes), plain or gzipped."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from agent_gym.ground.errors import UserError

IMAGES, LABELS = 0x803, 0x801  # unsigned bytes in three dimensions, and in one
MAX_RATIO = 100  # of a gzipped file's content to its size (MNIST: 5); deflate could reach 1,000
SMALL = 2**24  # bytes that any gzipped file may have


def read_idx(path: Path, magic: int) -> np.ndarray:
    """uint8 [N, H, W] (IMAGES) or [N] (LABELS). Raises UserError.

    Takes the memory that the file has, or for a gzipped one at most MAX_RATIO times as much, whatever a header says.
    """
    zipped = path.suffix == ".gz"
    try:
        if not path.is_file():
            raise UserError(f"{path} cannot be read (no such file): check the path")
        room = path.stat().st_size
        room = max(MAX_RATIO * room, SMALL) if zipped else room
        with gzip.open(path) if zipped else open(path, "rb") as file:
            shape, size = _header(path, file.read(4 * (1 + (magic & 0xFF))), magic)
            if zipped and size > room:
                raise UserError(
                    f"{path} declares {size:,} bytes, {MAX_RATIO} times its own size and more: no MNIST file"
                )
            data = file.read(min(size, room) + 1)  # one more shows that the file goes on
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is a damaged or truncated gzip file: download it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from None
    if len(data) != size:
        header = 4 * (1 + len(shape))
        found = f"over {header + size:,}" if len(data) > size else f"{header + len(data):,}"
        raise UserError(f"{path} is truncated or too long: {found} bytes, where its header says {header + size:,}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _header(path: Path, data: bytes, magic: int) -> tuple[tuple[int, ...], int]:
    """Shape and number of bytes behind the header. Raises UserError."""
    found = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and found != magic:
        what = "images" if magic == IMAGES else "labels"
        raise UserError(f"{path} has magic number {found:#010x}: expected {magic:#010x}, an IDX file of {what}")
    if len(data) < 4 * (1 + (magic & 0xFF)):
        raise UserError(f"{path} is truncated or too long: {len(data):,} bytes are less than an IDX header")
    shape = tuple(int.from_bytes(data[start : start + 4], "big") for start in range(4, len(data), 4))
    if 0 in shape:
        raise UserError(f"{path} holds nothing: its header says {' x '.join(map(str, shape))}")
    return shape, math.prod(shape)


def read_mnist(folder: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(images, labels) to train on and to test on, from the four files of MNIST in `folder`. Raises UserError."""
    if not os.path.isdir(folder):  # False for impossible names too
        raise UserError(
            f"--data {folder} is no folder: expected one with the four MNIST files (train-images-idx3-ubyte …)"
        )
    return _pair(folder, "train"), _pair(folder, "t10k")


def _pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images_file, labels_file = _find(folder, f"{part}-images", "idx3"), _find(folder, f"{part}-labels", "idx1")
    images, labels = read_idx(images_file, IMAGES), read_idx(labels_file, LABELS)
    if len(images) != len(labels):
        raise UserError(
            f"{images_file} holds {len(images):,} images and {labels_file} {len(labels):,} labels: expected as many"
        )
    return images, labels


def _find(folder: Path, stem: str, rank: str) -> Path:
    names = [f"{stem}{dot}{rank}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"--data {folder} lacks {names[0]} (or {names[1]}): expected the four files of MNIST")


def images_like(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The images of an IDX file for a model that was trained on such of this shape. Raises UserError."""
    images = read_idx(path, IMAGES)
    if images.shape[1:] != shape:
        raise UserError(f"{path} holds images of {images.shape[1:]}: the model was trained on {shape}")
    return images.copy()
