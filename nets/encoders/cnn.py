"""Convolutional networks for images, in either layout."""

import numpy as np
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.encoders.mlp import MLP, uint8_scale
from agent_gym.nets.settings import EncoderSettings

# (filters, kernel, stride, padding), 0 filters for max pooling, and the dense layers after them
NATURE = ((32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)), (512,)  # Mnih 2015, for frames of 36 pixels and more
SMALL = ((16, 3, 2, 1), (32, 3, 2, 1)), (128,)
TINY = ((16, 3, 1, 1), (32, 3, 1, 1)), (128,)  # grids of fewer than 12 cells a side lose too much by strides


def is_image(space: spaces.Space) -> bool:
    """Box of uint8 or bool and rank 2 (H, W), 3 (with channels) or 4 (a stack of such); else it is a vector."""
    return isinstance(space, spaces.Box) and space.dtype in (np.uint8, np.bool_) and 2 <= len(space.shape) <= 4


def to_nchw(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """How frames of `shape` become [N, C, H, W]: the axes' order, and (C, H, W).

    Of rank 3, the channels are the axis at an end that leaves a square frame, or else the shorter end,
    the last if all are equal. Of rank 4, the first axis is a stack of frames, whose channels are put side by side.
    """
    if len(shape) == 2:
        return (0, 1), (1, *shape)
    if len(shape) == 4:
        order, (channels, height, width) = to_nchw(shape[1:])
        return (0, *(axis + 1 for axis in order)), (shape[0] * channels, height, width)
    square_if_last, square_if_first = shape[0] == shape[1], shape[1] == shape[2]
    first = square_if_first if square_if_first != square_if_last else shape[0] < shape[2]
    order = (0, 1, 2) if first else (2, 0, 1)
    return order, tuple(shape[axis] for axis in order)


class CNN(nn.Module):
    """Images [T, B, *shape] -> features [T, B, out_dim]; layout and the scale of uint8 are seen to here."""

    def __init__(self, space: spaces.Box, config: EncoderSettings):
        super().__init__()
        order, (channels, height, width) = to_nchw(space.shape)
        self.order = (0, *(axis + 1 for axis in order)) if order != tuple(sorted(order)) else None
        self.image_shape = (channels, height, width)
        side = min(height, width)
        conv_layers, hidden_sizes = NATURE if side >= 36 else SMALL if side >= 12 else TINY
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
        if self.order is not None:
            x = x.permute(self.order)
        x = x.reshape(-1, *self.image_shape).float()
        if self.scale != 1.0:
            x = x * self.scale
        return self.mlp(self.convs(x)).view(steps, batch, self.out_dim)
