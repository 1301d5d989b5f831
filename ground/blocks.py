"""Several tensors in one block of bytes, so that one copy moves them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNED = 16  # bytes


def places(tensors: Sequence[Tensor]) -> tuple[list[int], int]:
    """Where each begins in a block, and the size of the block in bytes."""
    starts, total = [], 0
    for tensor in tensors:
        starts.append(total)
        total += -(-tensor.numel() * tensor.itemsize // ALIGNED) * ALIGNED
    return starts, total


def part(block: Tensor, start: int, like: Tensor) -> Tensor:
    """The tensor of the shape and type of `like` that begins there, sharing memory with the block."""
    size = math.prod(like.shape) * like.itemsize
    return block[start : start + size].view(like.dtype).view(like.shape)


def pinned(size: int, device: torch.device) -> Tensor:
    """A block on the CPU that a GPU copies without help."""
    return torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
