"""Sends what environments on the CPU give to a GPU: one copy for everything, which nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agent_gym.ground.blocks import part, pinned, places


def send(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """CPU tensors as new tensors on `device`; torch does not use their block again before the copy is done."""
    starts, total = places(tensors)
    block = pinned(total, device)
    for tensor, start in zip(tensors, starts, strict=True):
        part(block, start, tensor).copy_(tensor)
    block = block.to(device, non_blocking=True)
    return [part(block, start, tensor) for tensor, start in zip(tensors, starts, strict=True)]
