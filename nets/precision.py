"""Matrix products and convolutions in bfloat16: the weights, the last layers and everything that sums stay float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.errors import UserError


def require_bf16(device: torch.device) -> None:
    """Raises UserError where `device` has no instructions for bfloat16: there it would only cost."""
    if device.type == "cuda":
        able, what = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU"
    else:
        able, what = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(), "this processor"
    if not able:
        raise UserError(f"--precision bf16: {what} has no bfloat16 arithmetic; expected --precision float32")


def reduced(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """`function` with its matrix products and convolutions in bfloat16."""

    def run(*inputs: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16):
            return function(*inputs)

    return run


def precisely(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """layer(x), in float32 whatever is around: bfloat16 has three digits, too few for values and logits."""
    if not torch.is_autocast_enabled(x.device.type):
        return layer(x)
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())
