"""Grids and images: how their axes are told apart, and cells that hold codes.

What a number in a grid stands for is learned, since 8 is not twice as much as 4.

MiniGrid's observations are such: 7 × 7 × 3 numbers from 0 to 10 in a space that promises 0 to 255.
"""

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError

WIDTH = 16  # numbers a cell
MOST_CODES = 8192  # of a channel; beyond this a number is a measurement
PICTURE = 24  # pixels a side from which uint8 up to 255 are a picture
GRID = 36  # cells a side up to which smaller numbers, or integers of another dtype, are codes


def to_nchw(shape: tuple[int, ...], layout: str = "auto") -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """How frames of `shape` become [N, C, H, W]: the axes' order, and (C, H, W).

    Of rank 3, the channels are the axis at an end that leaves a square frame, or else the shorter end,
    the last if all are equal; `layout` "first" or "last" decides it. Of rank 4, the first axis is a stack of frames,
    whose channels are put side by side.
    """
    if len(shape) == 2:
        return (0, 1), (1, *shape)
    if len(shape) == 4:
        order, (channels, height, width) = to_nchw(shape[1:], layout)
        return (0, *(axis + 1 for axis in order)), (shape[0] * channels, height, width)
    square_if_last, square_if_first = shape[0] == shape[1], shape[1] == shape[2]
    first = square_if_first if square_if_first != square_if_last else shape[0] < shape[2]
    first = layout == "first" if layout != "auto" else first
    order = (0, 1, 2) if first else (2, 0, 1)
    return order, tuple(shape[axis] for axis in order)


def is_picture(space: spaces.Space) -> bool:
    """A Box of uint8 in 2 to 4 dimensions."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and 2 <= len(space.shape) <= 4


def is_grid(space: spaces.Space) -> bool:
    """Whether every number could be a code: whole, not negative and bounded, in 2 to 4 dimensions."""
    if not isinstance(space, spaces.Box) or space.dtype.kind not in "iu" or not 2 <= len(space.shape) <= 4:
        return False
    return bool((space.low >= 0).all() and 1 < space.high.max() < MOST_CODES)


def is_codes(space: spaces.Space, cells: str = "auto") -> bool:
    """Whether the numbers of `space` are taken for codes; `cells` other than "auto" decides it.

    "codes" raises UserError where that cannot be.
    """
    if cells == "brightness":
        return False
    grid = is_grid(space)
    if cells == "codes":
        if not grid and isinstance(space, spaces.Box) and 2 <= len(space.shape) <= 4:
            raise UserError(
                f"--cells codes: the numbers of {space} are no codes; expected whole ones from 0 to {MOST_CODES - 1}"
            )
        return grid
    if not grid:
        return False
    side = min(to_nchw(space.shape)[1][1:])
    return side <= (PICTURE if space.dtype == np.uint8 and space.high.max() == 255 else GRID)


def holds_codes(space: spaces.Space, cells: str = "auto") -> bool:
    """Whether the space is a grid of codes or holds one; as an environment has it or canonical."""
    if isinstance(space, spaces.Dict):
        return any(holds_codes(child, cells) for child in space.values())
    if isinstance(space, spaces.Tuple):
        return any(holds_codes(child, cells) for child in space)
    return is_codes(space, cells)


class Cells(nn.Module):
    """Grids of codes [N, *shape] -> [N, WIDTH (times the frames of a stack), H, W].

    Each channel has a table of its own with a row a code; a cell is the sum of what its channels look up (as the bag
    of words of BabyAI, Chevalier-Boisvert et al. 2019). Half of a row begins as the code's size, half at random.
    """

    def __init__(self, space: spaces.Box, layout: str = "auto"):
        super().__init__()
        frames = space.shape[0] if len(space.shape) == 4 else 1
        order, (channels, self.height, self.width) = to_nchw(space.shape, layout)
        self.order = (0, *(axis + 1 for axis in order))
        self.frames, self.channels = frames, channels // frames
        self.codes = int(space.high.max()) + 1
        self.out_channels = frames * WIDTH
        size = torch.linspace(0.0, 1.0, self.codes).repeat(self.channels)[:, None]
        table = torch.randn(self.channels * self.codes, WIDTH)
        half = WIDTH // 2
        table[:, half:] = size * torch.where(table[:1, half:] < 0, -1.0, 1.0)
        self.table = nn.Parameter(table)
        starts = self.codes * torch.arange(self.channels)
        self.register_buffer("starts", starts.view(1, 1, self.channels, 1, 1), persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        x = obs.permute(self.order).reshape(-1, self.frames, self.channels, self.height, self.width).long()
        rows = F.embedding(x.clamp(0, self.codes - 1) + self.starts, self.table)  # [N, frames, channels, H, W, WIDTH]
        return rows.sum(2).movedim(-1, 2).reshape(-1, self.out_channels, self.height, self.width)


class FlatCells(nn.Module):
    """Grids of codes [T, B, *shape] -> [T, B, out_dim], what `Cells` makes of them in one row."""

    def __init__(self, space: spaces.Box):
        super().__init__()
        self.cells = Cells(space)
        self.out_dim = self.cells.out_channels * self.cells.height * self.cells.width

    def forward(self, obs: Tensor) -> Tensor:
        return self.cells(obs.flatten(0, 1)).reshape(*obs.shape[:2], self.out_dim)
