"""Handwritten digits, by the same convolutional network that sees for agents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.senses.idx import images_like, read_mnist
from agent_gym.tasks.senses.settings import DigitsConfig
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.task import Dataset, Part, Task

MAX_SHOWN = 32  # filters in a picture


class Digits(Task):
    """Images [N, 28, 28] uint8, ten classes."""

    config: DigitsConfig

    def convolutions(self) -> list[nn.Conv2d]:
        """Its convolutional layers, the first first."""
        return [module for module in self.model.modules() if isinstance(module, nn.Conv2d)]

    def feature_maps(self, x: Tensor) -> list[np.ndarray]:
        """What each convolution makes of one image [1, H, W]: arrays [filters, H', W'], nothing below 0."""
        maps: list[np.ndarray] = []
        hooks = [
            layer.register_forward_hook(lambda _, inputs, output: maps.append(output[0].relu().cpu().numpy()))
            for layer in self.convolutions()
        ]
        self.model.outputs(x)
        for hook in hooks:
            hook.remove()
        return maps

    def images(self) -> dict[str, np.ndarray]:
        """Beside the confusion matrix, the filters of the first layer and the feature maps of a test image."""
        from agent_gym.tasks.plots import gallery_image

        shown, layers = super().images(), self.convolutions()
        if not layers:
            return shown
        filters = list(layers[0].weight.detach().mean(1).cpu().numpy())[:MAX_SHOWN]
        shown["test/filters"] = gallery_image(filters, [str(k + 1) for k in range(len(filters))], columns=8)
        image = self.data.test.x[:1]
        for number, maps in enumerate(self.feature_maps(image), 1):
            pictures = [image[0].cpu().numpy(), *maps[:MAX_SHOWN]]
            titles = ["image", *(f"filter {k + 1}" for k in range(len(maps[:MAX_SHOWN])))]
            shown[f"test/feature_maps_{number}"] = gallery_image(pictures, titles, columns=6)
        return shown

    def augment(self, x: Tensor) -> Tensor:
        """x [B, H, W] moved by up to `shift` pixels each way, zeros behind it."""
        if self.config.shift == 0:
            return x
        limit = self.config.shift
        down, right = np.random.default_rng((self.config.seed, self.steps)).integers(-limit, limit + 1, 2).tolist()
        return torch.nn.functional.pad(x, (right, -right, down, -down))

    @property
    def subject(self) -> str:
        return Path(self.config.data).name if self.config.data else "bundled"

    def load(self) -> tuple[Spec, Dataset]:
        if self.config.data:
            (images, labels), (test_images, test_labels) = read_mnist(Path(self.config.data))
            if test_images.shape[1:] != images.shape[1:]:
                raise UserError(
                    f"--data {self.config.data}: images to train on are {images.shape[1:]}, "
                    f"to test on {test_images.shape[1:]}; expected one size"
                )
            rest = split_rows(replace(self.config, test_split=0.0), len(images), labels)
            parts = [_part(images[rows], labels[rows]) for rows in rest[:2]] + [_part(test_images, test_labels)]
        else:
            images, labels = bundled_digits()
            parts = [_part(images[rows], labels[rows]) for rows in split_rows(self.config, len(images), labels)]
        classes = tuple(str(c) for c in range(max(10, *(int(part.y.max()) + 1 for part in parts))))
        spec = Spec("multiclass", images.shape[1:], len(classes), pixels=True, classes=classes, target="digit")
        shares = " / ".join(f"{len(part.y):,}" for part in parts)
        return spec, Dataset(*parts, (f"{shares} images of {images.shape[1:]} to train / validate / test",))


def _part(images: np.ndarray, labels: np.ndarray) -> Part:
    return Part(torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64)))


def bundled_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits: images uint8 [N, 28, 28], enlarged from 8 x 8 bilinearly, and labels [N]."""
    bunch = load_digits()
    small = torch.from_numpy(bunch.images)[:, None] * (255.0 / 16.0)
    large: Tensor = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear")
    return large[:, 0].round().clamp(0, 255).to(torch.uint8).numpy(), bunch.target


def predict(model: Predictor, config: DigitsConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Digits for the images of an IDX file. Raises UserError."""
    outputs = model.outputs(torch.from_numpy(images_like(path, tuple(model.spec.shape))))
    probabilities, digits = model.probabilities(outputs).max(-1)
    return pd.DataFrame({"predicted digit": digits.numpy(), "probability": probabilities.numpy()}), {}
