"""Scaled dot-product attention and the transformer's layer (Vaswani et al. 2017), on keys and values of earlier calls.

Parameters, their names and the results are those of torch.nn.TransformerEncoderLayer; scores take a bias, which masks
where it is -inf.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.layers.activations import get_activation

WIDEN = 4  # units of the feed-forward layer for each of the model's


class SelfAttention(nn.Module):
    """Attention of every query to the keys that its bias allows, in `heads` parts of the features."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        if size % heads:
            raise UserError(f"--attention-size {size} --attention-heads {heads}: expected a size that the heads divide")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * size, size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * size))
        self.out_proj = nn.Linear(size, size)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, T, d] of x [B, T, d]."""
        return F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)

    def split(self, x: Tensor) -> Tensor:
        """[B, T, d] -> [B, heads, T, d / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """query [B, T, d], key and value [B, S, d], bias that broadcasts to [B, heads, T, S] -> [B, T, d]."""
        out = F.scaled_dot_product_attention(*map(self.split, (query, key, value)), bias)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
        """Where each query looks: shares [B, heads, T, S] that sum to 1 over S."""
        query, key = self.split(query), self.split(key)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        return (scores if bias is None else scores + bias).softmax(-1)


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, each added to what comes in.

    `norm_first`: layers are normalised before them (Xiong et al. 2020), else after (BERT). Dropout falls on what
    each of the two adds alone: to draw for each share of attention costs more than all matrix products on a CPU.
    """

    def __init__(
        self, size: int, heads: int, dropout: float = 0.0, activation: str = "gelu", norm_first: bool = True
    ) -> None:
        super().__init__()
        self.self_attn = SelfAttention(size, heads)
        self.linear1 = nn.Linear(size, WIDEN * size)
        self.linear2 = nn.Linear(WIDEN * size, size)
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.activation, self.dropout, self.norm_first = get_activation(activation), dropout, norm_first

    def forward(
        self,
        x: Tensor,
        bias: Tensor | None = None,
        past: tuple[Tensor, Tensor] | None = None,
        seen: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, d] -> [B, T, d], and the keys and values [B, S, d] of `past` and x, which S counts.

        bias broadcasts to [B, heads, T, S]. `seen` is given the attention weights [B, heads, T, S].
        """
        attention, rate = self.self_attn, self.dropout if self.training else 0.0
        query, key, value = attention.project(self.norm1(x) if self.norm_first else x)
        if past is not None:
            key, value = torch.cat((past[0], key), dim=1), torch.cat((past[1], value), dim=1)
        if seen is not None:
            seen.append(attention.weights(query, key, bias))
        x = x + F.dropout(attention(query, key, value, bias), rate)
        x = x if self.norm_first else self.norm1(x)
        inner = self.linear1(self.norm2(x) if self.norm_first else x)
        x = x + F.dropout(self.linear2(self.activation(inner)), rate)
        return x if self.norm_first else self.norm2(x), key, value
