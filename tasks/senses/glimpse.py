"""First where, then what: a CNN finds a box on the whole image, a second one reads what is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.encoders.cnn import CNN
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.heads import LinearHead
from agent_gym.tasks.predictor import BOX, Predictor
from agent_gym.tasks.senses.settings import DetectConfig

CROP = 28  # pixels a side of what is cut out
MARGIN = 1.15  # of the cut beside the box
READER = ((16, 3, 2, 1), (32, 3, 2, 1)), (64,)  # layers of the CNN that reads it, as --conv-layers has them


def boxes(outputs: Tensor) -> Tensor:
    """The last four outputs [..., 4], logits of middle and size, as left, top, right and bottom, 0 to 1."""
    middle, size = outputs[..., -BOX:].sigmoid().split(2, dim=-1)
    return torch.cat((middle - size / 2.0, middle + size / 2.0), dim=-1)


def cut(images: Tensor, box: Tensor) -> Tensor:
    """What lies in boxes [N, 4] of images [N, H, W], enlarged by MARGIN: [N, CROP, CROP], black outside the image."""
    first, last = (2.0 * edges - 1.0 for edges in box.split(2, dim=-1))  # -1 to 1 over the image
    middle, half = (first + last) / 2.0, MARGIN * (last - first) / 2.0
    steps = (torch.arange(CROP, device=images.device) + 0.5) * (2.0 / CROP) - 1.0
    x, y = (middle[:, axis, None] + half[:, axis, None] * steps for axis in (0, 1))
    shape = (len(images), CROP, CROP)
    grid = torch.stack((x[:, None, :].expand(shape), y[:, :, None].expand(shape)), dim=-1)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


class Glimpse(nn.Module):
    """Images [T, B, H, W] -> features of what is in the box [T, B, out_dim], and the box's logits [T, B, 4].

    The box is cut out without a gradient: it learns from its own error alone.
    """

    state_dim = 0

    def __init__(self, space: spaces.Box, config: DetectConfig) -> None:
        super().__init__()
        self.looker = make_encoder(space, config.encoder_settings())
        self.box = LinearHead(self.looker.out_dim, BOX)
        layers, hidden_sizes = READER
        inside = spaces.Box(-np.inf, np.inf, (CROP, CROP), np.float32)
        self.reader = CNN(inside, replace(config, conv_layers=layers, cnn_hidden_sizes=hidden_sizes))
        self.out_dim = self.reader.out_dim

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        reset = torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device)
        state = torch.zeros(obs.shape[1], self.looker.state_dim, device=obs.device)
        where = self.box(self.looker(obs, state, reset)[0])
        inside = cut(obs.flatten(0, 1).to(where.dtype) / 255.0, boxes(where.detach().flatten(0, 1)))
        return self.reader(inside.unflatten(0, obs.shape[:2])), where


class Detector(Predictor):
    """Images [T, B, H, W] -> logits of the classes, then of the box [T, B, outputs]."""

    def build_encoder(self, space: spaces.Box, config: DetectConfig) -> Glimpse:
        return Glimpse(space, config)

    def build_head(self) -> LinearHead:
        return LinearHead(self.encoder.out_dim, self.spec.outputs - BOX)

    def forward(self, obs: Tensor) -> Tensor:
        features, where = self.encoder(obs)
        return torch.cat((self.head(features), where), dim=-1)
