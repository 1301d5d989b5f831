"""Convolutional networks for images, in either layout."""

import numpy as np
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.encoders.cells import Cells, is_codes, is_grid, is_picture, to_nchw
from agent_gym.nets.encoders.mlp import MLP, uint8_scale
from agent_gym.nets.settings import EncoderSettings

# (filters, kernel, stride, padding), 0 filters for max pooling, and the dense layers after them
NATURE = ((32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)), (512,)  # Mnih 2015, for frames of 36 pixels and more
SMALL = ((16, 3, 2, 1), (32, 3, 2, 1)), (128,)
LARGEST = 6400  # numbers that the dense layers take: 64 filters on 10 × 10, from frames of 112 pixels
TINY = ((16, 3, 1, 1), (32, 3, 1, 1)), (128,)  # grids of fewer than 12 cells a side lose too much by strides


def is_image(space: spaces.Space) -> bool:
    """Box of rank 2 (H, W), 3 (with channels) or 4 (a stack of such), of uint8, bool or codes; else it is a vector."""
    bits = isinstance(space, spaces.Box) and space.dtype == np.bool_ and 2 <= len(space.shape) <= 4
    return bits or is_picture(space) or is_grid(space)


def shrinking(channels: int, height: int, width: int) -> tuple[tuple[int, int, int, int], ...]:
    """Layers that leave no more than LARGEST numbers, each halving height and width."""
    layers = []
    while channels * height * width > LARGEST:
        layers.append((channels, 3, 2, 1))
        height, width = ((size - 1) // 2 + 1 for size in (height, width))
    return tuple(layers)


def convolved(size: int, layers: tuple[tuple[int, int, int, int], ...]) -> int:
    """What a side of `size` becomes."""
    for _, kernel, stride, padding in layers:
        size = (size + 2 * padding - kernel) // stride + 1
    return size


class CNN(nn.Module):
    """Images [T, B, *shape] -> features [T, B, out_dim]; layout and the scale of uint8 are seen to here."""

    def __init__(self, space: spaces.Box, config: EncoderSettings):
        super().__init__()
        order, (channels, height, width) = to_nchw(space.shape, config.image_layout)
        self.order = (0, *(axis + 1 for axis in order)) if order != tuple(sorted(order)) else None
        self.image_shape = (channels, height, width)
        side = min(height, width)
        conv_layers, hidden_sizes = NATURE if side >= 36 else SMALL if side >= 12 else TINY
        if not config.conv_layers:
            sides = (convolved(size, conv_layers) for size in (height, width))
            conv_layers += shrinking(conv_layers[-1][0], *sides)
        self.cells = Cells(space, config.image_layout) if is_codes(space, config.cells) else None
        if self.cells is not None:
            channels = self.cells.out_channels
        layers: list[nn.Module] = []
        for filters, kernel, stride, padding in config.conv_layers or conv_layers:
            if filters == 0:
                layers.append(nn.MaxPool2d(kernel, stride, padding))
            else:
                conv = nn.Conv2d(channels, filters, kernel, stride, padding)
                layers += [orthogonal_init(conv) if config.orthogonal else conv, nn.ReLU()]
                channels = filters
            height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
            if min(height, width) < 1:
                raise UserError(
                    f"image space {space.shape} is too small for conv_layers {config.conv_layers}; use fewer layers"
                )
        self.convs = nn.Sequential(*layers, nn.Flatten())
        self.scale = uint8_scale(space)
        self.mlp = MLP(
            channels * height * width,
            hidden_sizes if config.cnn_hidden_sizes is None else config.cnn_hidden_sizes,
            "relu",
            config.dropout,
            config.orthogonal,
            config.layer_norm,
        )
        self.out_dim = self.mlp.out_dim

    def forward(self, obs: Tensor) -> Tensor:
        steps, batch = obs.shape[:2]
        x = obs.flatten(0, 1)
        x = self._scaled(x) if self.cells is None else self.cells(x)
        return self.mlp(self.convs(x)).view(steps, batch, self.out_dim)

    def _scaled(self, x: Tensor) -> Tensor:
        """Frames [N, *shape] as float [N, C, H, W]."""
        if self.order is not None:
            x = x.permute(self.order)
        x = x.reshape(-1, *self.image_shape).float()
        return x if self.scale == 1.0 else x * self.scale
