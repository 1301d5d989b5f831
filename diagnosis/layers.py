"""The networks on a batch: units that no longer learn, and how large each layer's gradient is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agent_gym.nets.learner.layers import layer_gradients, unit_counts


def layer_facts(model: nn.Module, forward: Callable[[], Any]) -> dict[str, Any]:
    """By layer: "still", the share of units that are flat on the whole batch, and "gradient", the root mean square of
    the gradient of the squared outputs of `forward`, which calls the model; "weights", the largest weight.
    """
    found: dict[str, Any] = {"still": {}, "near": {}, "gradient": {}}
    try:
        found["still"], found["near"] = unit_counts(model, forward)
        found["gradient"] = layer_gradients(model, forward)
    except (RuntimeError, TypeError, ValueError):  # a network of the user's that takes no such batch
        return {}
    found["weights"] = max((float(p.detach().abs().max()) for p in model.parameters() if p.numel()), default=0.0)
    return found


def policy_layers(policy: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """`layer_facts` of a policy on observations as `playing` kept them."""
    networks = policy.networks()
    obs = policy.obs_norm(batch["obs"])
    obs = _one_step(obs)
    state, reset = batch["state"], batch["reset"].unsqueeze(0)
    return layer_facts(networks, lambda: networks(obs, state, reset))


def _one_step(obs: Any) -> Any:
    if isinstance(obs, dict):
        return {key: _one_step(part) for key, part in obs.items()}
    return obs.unsqueeze(0)


def rows_layers(model: nn.Module, x: torch.Tensor) -> dict[str, Any]:
    """`layer_facts` of a task's network on rows."""
    return layer_facts(model, lambda: model.rows(x))
