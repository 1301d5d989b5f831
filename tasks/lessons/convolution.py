"""Convolution cell by cell, a filter that finds a slanted stroke, and what a trained network's filters see."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agent_gym.tasks.lessons.settings import ConvolutionConfig
from agent_gym.tasks.plots import gallery_image
from agent_gym.tasks.senses.digits import Digits, bundled_digits, predict

__all__ = ["Convolution", "predict"]

IMAGE = ("11100", "01110", "00111", "00110", "01100")
FILTER = ("101", "010", "101")
POOLED = ((1, 4, 8, 3), (6, 9, 2, 1), (11, 13, 6, 7), (8, 19, 8, 2))
SLANT = 7  # pixels a side of the filter for strokes that rise to the right


def grid(rows: tuple) -> Tensor:
    """Rows of digits or numbers as [1, 1, H, W]."""
    return torch.tensor([[float(cell) for cell in row] for row in rows])[None, None]


def slant() -> Tensor:
    """A filter [1, 1, SLANT, SLANT]: 1 on the stroke, less than 0 beside it, 0 in sum."""
    stroke = torch.eye(SLANT).flip(1)
    return (stroke - stroke.mean())[None, None]


def found(images: Tensor) -> Tensor:
    """What the slanted filter says of images [N, H, W], 0 to 255: [N, H', W'], nothing below 0."""
    return F.conv2d(images[:, None].float() / 255.0, slant())[:, 0].relu()


def table(values: Tensor) -> list[str]:
    """A grid [1, 1, H, W] as lines of text."""
    return ["  " + " ".join(f"{value:2.0f}" for value in row) for row in values[0, 0].tolist()]


def worked_example() -> list[str]:
    """A 5 x 5 image under a 3 x 3 filter, step by step, with padding, and max pooling."""
    image, window = grid(IMAGE), grid(FILTER)
    result = F.conv2d(image, window)
    lines = ["image 5 x 5:", *table(image), "filter 3 x 3:", *table(window), "cell by cell, where the filter has a 1:"]
    for (row, column), value in np.ndenumerate(result[0, 0].numpy()):
        part = image[0, 0, row : row + 3, column : column + 3]
        terms = " + ".join(f"{cell:.0f}" for cell in part[window[0, 0] > 0].tolist())
        lines.append(f"  row {row + 1}, column {column + 1}: {terms} = {value:.0f}")
    lines += ["result 3 x 3:", *table(result)]
    lines += ["with padding 1 it stays 5 x 5:", *table(F.conv2d(image, window, padding=1))]
    pooled = grid(POOLED)
    lines += ["max pooling 2 x 2 of:", *table(pooled), "gives:", *table(F.max_pool2d(pooled, 2))]
    return lines


class Convolution(Digits):
    """`digits`, with its filters and what they make of an image, after the worked example."""

    config: ConvolutionConfig

    def lines(self) -> list[str]:
        images, labels = (torch.from_numpy(a.copy()) for a in bundled_digits())
        strongest = {digit: found(images[labels == digit]).amax((1, 2)) for digit in (1, 2)}
        above = (strongest[2][:, None] > strongest[1][None]).double().mean().item()
        means = ", ".join(f"{value.mean():.2f} in a {digit}" for digit, value in strongest.items())
        return [
            *worked_example(),
            f"a filter for strokes that rise to the right says at most {means} (mean over all of these digits);",
            f"of a 2 and a 1 it says more to the 2 in {above:.0%} of pairs",
            "",
        ]

    def images(self) -> dict[str, np.ndarray]:
        images, labels = (torch.from_numpy(a.copy()) for a in bundled_digits())
        pictures, titles = [slant()[0, 0].numpy()], ["filter"]
        for digit in (2, 1):
            image = images[labels == digit][:1]
            pictures += [image[0].numpy(), found(image)[0].numpy()]
            titles += [f"a {digit}", "found"]
        return super().images() | {"lesson/slant": gallery_image(pictures, titles, columns=5)}
