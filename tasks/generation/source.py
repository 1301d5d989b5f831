"""What is to be made: points of a known distribution, or images of digits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent_gym.tasks.senses.digits import bundled_digits
from agent_gym.tasks.senses.idx import read_mnist

MODES = 8  # Gaussians on the ring, of radius 1
RING_STD = 0.05
MEAN, STD = (0.5, -0.25), 0.4  # of the one Gaussian
POINTS = ("ring", "gaussian")


class Source(ABC):
    """Rows [B, size] about as large as 1, each with a class [B]."""

    name: str
    size: int
    classes: int = 1
    image: tuple[int, int] | None = None
    """Height and width, where rows are images from -1 (black) to 1."""
    note: str

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` rows with their classes."""


class Ring(Source):
    """Eight Gaussians on a circle, the usual first test of a GAN."""

    name, size = "ring", 2
    note = f"{MODES} Gaussians of deviation {RING_STD} on a circle of radius 1"
    mean, covariance = torch.zeros(2), (0.5 + RING_STD**2) * torch.eye(2)

    @staticmethod
    def centres() -> Tensor:
        """[MODES, 2]."""
        angle = torch.arange(MODES) * (2.0 * math.pi / MODES)
        return torch.stack((angle.cos(), angle.sin()), dim=-1)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mode = torch.randint(MODES, (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return self.centres()[mode] + RING_STD * noise, torch.zeros(count, dtype=torch.int64)


class Gaussian(Source):
    """One Gaussian, of which everything is known in closed form."""

    name, size = "gaussian", 2
    note = f"one Gaussian of mean {MEAN} and deviation {STD}"
    mean, covariance = torch.tensor(MEAN), STD**2 * torch.eye(2)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(count, 2, generator=generator)
        return self.mean + STD * noise, torch.zeros(count, dtype=torch.int64)


class Digits(Source):
    """Images of digits: scikit-learn's, or MNIST from its files in a folder. Raises UserError."""

    def __init__(self, folder: str = "") -> None:
        images, labels = read_mnist(Path(folder))[0] if folder else bundled_digits()
        self.name = Path(folder).name if folder else "digits"
        self.image = (images.shape[1], images.shape[2])
        self.size, self.classes = math.prod(self.image), int(labels.max()) + 1
        self.images, self.labels = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
        self.note = f"{len(labels):,} images of {self.image[0]} x {self.image[1]}, {self.classes} classes"

    def rows(self, numbers: Tensor | slice) -> Tensor:
        """Images as rows [B, size], -1 to 1."""
        return self.images[numbers].flatten(1).float() / 127.5 - 1.0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        numbers = torch.randint(len(self.labels), (count,), generator=generator)
        return self.rows(numbers), self.labels[numbers]


def make_source(data: str) -> Source:
    """The source that --data names. Raises UserError."""
    known = {"ring": Ring, "gaussian": Gaussian, "digits": Digits}
    return known[data]() if data in known else Digits(data)
