"""What a task minimises: the losses that fit a target, and how outputs and targets meet in them."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.losses import LOSSES

DEFAULT_LOSS = {
    "regression": "mse",
    "forecast": "mse",
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
    "language": "sparse_categorical_crossentropy",
    "detection": "sparse_categorical_crossentropy",
}
LOSSES_FOR = {
    "regression": {"mse", "mae"},
    "forecast": {"mse", "mae"},
    "binary": set(LOSSES),
    "multiclass": set(LOSSES) - {"binary_crossentropy"},
    "language": {"sparse_categorical_crossentropy"},
    "detection": {"sparse_categorical_crossentropy"},
}


def chosen_loss(kind: str, name: str) -> str:
    """The loss that --loss names for a target of this kind. Raises UserError where it does not fit."""
    loss = DEFAULT_LOSS[kind] if name == "auto" else name
    if loss not in LOSSES_FOR[kind]:
        fitting = ", ".join(sorted(LOSSES_FOR[kind]))
        raise UserError(f"--loss {loss} does not fit a {kind} target: expected one of {fitting}")
    return loss


def objective(name: str, kind: str, outputs: Tensor, y: Tensor) -> Tensor:
    """The loss [] of logits or predictions [B, outputs] against y [B, 1] or classes [B]."""
    fn = LOSSES[name]
    if kind in ("regression", "forecast", "binary") and outputs.shape[-1] == y.shape[-1]:
        bounded = kind == "binary" and name in ("mse", "mae")
        return fn(outputs.sigmoid() if bounded else outputs, y)
    classes = y.flatten().long()
    if name == "sparse_categorical_crossentropy":
        return fn(outputs, classes)
    one_hot = torch.nn.functional.one_hot(classes, outputs.shape[-1]).float()
    return fn(outputs if name == "categorical_crossentropy" else outputs.softmax(-1), one_hot)
