"""Where networks run."""

from __future__ import annotations

import torch

from agent_gym.ground.errors import UserError


def choose_device(wanted: str, *, native: bool) -> torch.device:
    """cpu or cuda; auto takes a GPU for environments that live on it. Raises UserError."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: this torch sees no CUDA device; use --device cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if available and native else "cpu"
    return torch.device(wanted)
