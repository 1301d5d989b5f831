"""The transformer over the inputs of one step: columns of a row (Gorishniy et al. 2021), patches of an image.

Every input is a token that sees all others; what a further token has gathered from them is the feature
(Devlin et al. 2019).
"""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.tree import Tree
from agent_gym.nets.encoders.attention.layer import TransformerLayer
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.cells import to_nchw
from agent_gym.nets.encoders.mlp import uint8_scale
from agent_gym.nets.settings import EncoderSettings

PATCH = 4  # pixels a side


class ColumnTokens(nn.Module):
    """Numbers [T, B, n] of `inputs(obs)` -> tokens [T * B, n, d]: a vector of the column by it, and another."""

    def __init__(self, inputs: nn.Module, size: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.count = inputs.out_dim
        self.weight = nn.Parameter(torch.empty(self.count, size).uniform_(-(size**-0.5), size**-0.5))
        self.bias = nn.Parameter(torch.empty(self.count, size).uniform_(-(size**-0.5), size**-0.5))

    def forward(self, obs: Tree) -> Tensor:
        x = self.inputs(obs).flatten(0, 1)
        return torch.addcmul(self.bias, x.unsqueeze(-1), self.weight)


class PatchTokens(nn.Module):
    """Images [T, B, *shape] -> tokens [T * B, n, d], one for each patch, with a vector of its place (Dosovitskiy 2021).

    What does not fill a patch is left out at the right and below.
    """

    def __init__(self, space: spaces.Box, size: int, layout: str = "auto") -> None:
        super().__init__()
        order, self.image_shape = to_nchw(space.shape, layout)
        self.order = (0, *(axis + 1 for axis in order))
        channels, height, width = self.image_shape
        side = min(PATCH, height, width)
        self.count = (height // side) * (width // side)
        self.patches = nn.Conv2d(channels, size, side, side)
        self.place = nn.Parameter(torch.randn(self.count, size) * 0.02)
        self.scale = uint8_scale(space)

    def forward(self, obs: Tensor) -> Tensor:
        x = obs.flatten(0, 1).permute(self.order).reshape(-1, *self.image_shape).float() * self.scale
        return self.patches(x).flatten(2).transpose(1, 2) + self.place


class TokenEncoder(Encoder):
    """Tokens of one step, attention among all of them; no memory."""

    def __init__(self, tokens: ColumnTokens | PatchTokens, config: EncoderSettings) -> None:
        super().__init__()
        self.tokens = tokens
        self.out_dim = size = config.attention_size
        self.summary = nn.Parameter(torch.randn(1, 1, size) * 0.02)
        self.layers = nn.ModuleList(
            TransformerLayer(size, config.attention_heads, config.dropout) for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(
        self, obs: Tree, state: Tensor, reset: Tensor, seen: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """`seen` is given the attention weights [T * B, heads, 1 + n, 1 + n] of each layer, the summary's first."""
        x = self.tokens(obs)
        x = torch.cat((self.summary.expand(x.shape[0], 1, -1), x), dim=1)
        for layer in self.layers:
            x, _, _ = layer(x, seen=seen)
        return self.norm(x[:, 0]).view(*reset.shape, self.out_dim), state
