"""Layers of one network or of several at once."""

from __future__ import annotations

from torch import nn

from agent_gym.nets.layers.ensemble import BatchedLayerNorm, BatchedLinear


def linear(num: int, in_dim: int, out_dim: int) -> nn.Module:
    """A linear layer of each of `num` networks; 0: of one, [..., in_dim] -> [..., out_dim]."""
    return BatchedLinear(num, in_dim, out_dim) if num else nn.Linear(in_dim, out_dim)


def layer_norm(num: int, dim: int) -> nn.Module:
    """A layer normalisation of each of `num` networks; 0: of one."""
    return BatchedLayerNorm(num, dim) if num else nn.LayerNorm(dim)
