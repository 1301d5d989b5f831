"""Features of a replayed batch: of the steps to learn from, and of those to bootstrap from.

Single transitions are encoded each by itself. Sequences are unrolled once from the stored memory, their burn-in
without gradient (Kapturowski et al. 2019), and the steps to bootstrap from are found `ahead` in them.
A batch is what agents.replay.Replay gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.nets.encoders.base import Encoder


def obs_features(encoder: Encoder, batch: dict, state: Tensor | None = None) -> Tensor:
    """Features [T, n, F] of the observations acted on; state [n, S]: the encoder's memory before the batch."""
    if "next_obs" in batch:
        return _each(encoder, batch["obs"], batch["reward"])
    return _unroll(encoder, batch, state)[: len(batch["reward"])]


def next_obs_features(encoder: Encoder, batch: dict, state: Tensor | None = None) -> Tensor:
    """Features [T, n, F] of the observations that the returns end with."""
    if "next_obs" in batch:
        return _each(encoder, batch["next_obs"], batch["reward"])
    return _ahead(_unroll(encoder, batch, state), batch["ahead"])


def both_features(encoder: Encoder, batch: dict, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`obs_features`, and `next_obs_features` without gradient."""
    if "next_obs" in batch:
        with torch.no_grad():
            after = next_obs_features(encoder, batch)
        return obs_features(encoder, batch), after
    features = _unroll(encoder, batch, state)
    return features[: len(batch["reward"])], _ahead(features.detach(), batch["ahead"])


def _each(encoder: Encoder, obs: object, like: Tensor) -> Tensor:
    return encoder(obs, like.new_zeros(like.shape[1], 0), torch.zeros_like(like, dtype=torch.bool))[0]


def _unroll(encoder: Encoder, batch: dict, state: Tensor | None) -> Tensor:
    state = batch["state"] if state is None else state
    if "burn_in" in batch:
        with torch.no_grad():
            _, state = encoder(batch["burn_in"]["obs"], state, batch["burn_in"]["reset"])
    return encoder(batch["obs"], state, batch["reset"])[0]


def _ahead(features: Tensor, ahead: Tensor) -> Tensor:
    step = torch.arange(len(ahead), device=ahead.device).unsqueeze(1) + ahead
    return features.gather(0, step.unsqueeze(-1).expand(*step.shape, features.shape[-1]))
