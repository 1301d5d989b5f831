"""The IDX files of MNIST (Y. LeCun's format: big-endian header, then bytes), plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from tasks.config import TaskError

IMAGES, LABELS = 0x803, 0x801  # unsigned bytes in three dimensions, and in one


def read_idx(path: Path, magic: int) -> np.ndarray:
    """uint8 [N, H, W] (IMAGES) or [N] (LABELS). Raises TaskError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise TaskError(f"{path} is a damaged or truncated gzip file: download it again") from None
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}): check the path") from None
    rank = magic & 0xFF
    header = 4 * (1 + rank)
    found = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and found != magic:
        what = "images" if magic == IMAGES else "labels"
        raise TaskError(f"{path} has magic number {found:#010x}: expected {magic:#010x}, an IDX file of {what}")
    shape = tuple(int.from_bytes(data[4 * (1 + axis) : 4 * (2 + axis)], "big") for axis in range(rank))
    size = header + int(np.prod(shape))
    if len(data) < header or len(data) != size:
        raise TaskError(f"{path} is truncated or too long: {len(data):,} bytes, where its header says {size:,}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_mnist(folder: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(images, labels) to train on and to test on, from the four files of MNIST in `folder`. Raises TaskError."""
    if not folder.is_dir():
        raise TaskError(
            f"--data {folder} is no folder: expected one with the four MNIST files (train-images-idx3-ubyte …)"
        )
    return _pair(folder, "train"), _pair(folder, "t10k")


def _pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images_file, labels_file = _find(folder, f"{part}-images", "idx3"), _find(folder, f"{part}-labels", "idx1")
    images, labels = read_idx(images_file, IMAGES), read_idx(labels_file, LABELS)
    if len(images) != len(labels):
        raise TaskError(
            f"{images_file} holds {len(images):,} images and {labels_file} {len(labels):,} labels: expected as many"
        )
    if not len(images):
        raise TaskError(f"{images_file} holds no images")
    return images, labels


def _find(folder: Path, stem: str, rank: str) -> Path:
    names = [f"{stem}{dot}{rank}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise TaskError(f"--data {folder} lacks {names[0]} (or {names[1]}): expected the four files of MNIST")
