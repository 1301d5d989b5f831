"""Where and which: one digit somewhere on a canvas, found with a box and a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.learner import Stats
from agent_gym.tasks.digits import bundled_digits
from agent_gym.tasks.idx import IMAGES, read_idx, read_mnist
from agent_gym.tasks.plots import gallery_image
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.senses.settings import DetectConfig
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.task import Dataset, Part, Task

SIDE = 64  # of the canvas
SIZES = (18, 44)  # pixels a side that a digit is drawn in
INK = 64  # from which grey a pixel belongs to the digit
BOX = 4  # outputs: middle and size


def draw(images: Tensor, labels: Tensor, count: int, rng: np.random.Generator) -> Part:
    """Canvases uint8 [count, SIDE, SIDE] with one of `images` [N, H, W] each; class and box [count, 5], the box as
    left, top, right and bottom of the ink, in shares of the canvas."""
    canvases, found = np.empty((count, SIDE, SIDE), np.uint8), np.empty((count, 1 + BOX), np.float32)
    for n in range(count):
        row = int(rng.integers(len(images)))
        size = tuple(int(s) for s in rng.integers(SIZES[0], SIZES[1] + 1) * rng.uniform(0.85, 1.15, 2))
        digit = F.interpolate(images[row][None, None].float(), size=size, mode="bilinear")[0, 0].numpy()
        rows, columns = np.flatnonzero((digit > INK).any(1)), np.flatnonzero((digit > INK).any(0))
        if not len(rows):
            rows, columns = np.arange(size[0]), np.arange(size[1])
        digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = digit.shape
        top, left = (int(rng.integers(0, SIDE - side + 1)) for side in (height, width))
        canvas = rng.normal(20.0, 15.0, (SIDE, SIDE))
        canvas[top : top + height, left : left + width] += digit * rng.uniform(0.6, 1.0)
        canvases[n] = canvas.clip(0, 255)
        found[n] = (int(labels[row]), left / SIDE, top / SIDE, (left + width) / SIDE, (top + height) / SIDE)
    return Part(torch.from_numpy(canvases), torch.from_numpy(found))


def boxes(outputs: Tensor) -> Tensor:
    """The last four outputs [..., 4], logits of middle and size, as left, top, right and bottom."""
    middle, size = outputs[..., -BOX:].sigmoid().split(2, dim=-1)
    return torch.cat((middle - size / 2.0, middle + size / 2.0), dim=-1)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union [...] of boxes [..., 4]."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0.0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0.0).prod(-1) for box in (a, b)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


class Detect(Task):
    """The digits of the training, validation and test canvases are different ones."""

    config: DetectConfig

    @property
    def subject(self) -> str:
        return Path(self.config.data).name if self.config.data else "bundled"

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        images, labels = read_mnist(Path(config.data))[0] if config.data else bundled_digits()
        if min(images.shape[1:]) < 4:
            raise UserError(f"--data {config.data}: images of {images.shape[1:]}: expected 4 x 4 or more")
        images, classes = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
        parts = []
        for number, rows in enumerate(split_rows(config, len(labels), labels)):
            share = (1.0 - config.val_split - config.test_split, config.val_split, config.test_split)[number]
            count = max(round(share * config.num_canvases), 10)
            parts.append(draw(images[rows], classes[rows], count, np.random.default_rng((config.seed, number))))
        names = tuple(str(k) for k in range(int(labels.max()) + 1))
        spec = Spec("detection", (SIDE, SIDE), len(names) + BOX, pixels=True, classes=names, target="digit")
        shares = " / ".join(f"{len(part.y):,}" for part in parts)
        return spec, Dataset(*parts, (f"{shares} canvases of {SIDE} x {SIDE} to train / validate / test",))

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of the class, and of the box 1 - IoU and the distance of its edges, which helps boxes that do
        not meet."""
        box = boxes(outputs)
        misses = 1.0 - overlap(box, y[:, 1:]).mean() + 4.0 * (box - y[:, 1:]).abs().mean()
        return F.cross_entropy(outputs[:, :-BOX], y[:, 0].long()) + self.config.box_weight * misses

    def quick_stats(self, outputs: Tensor, y: Tensor) -> Stats:
        right = outputs[:, :-BOX].argmax(-1) == y[:, 0]
        return {"accuracy": right.float().mean(), "iou": overlap(boxes(outputs), y[:, 1:]).mean()}

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """accuracy, mean iou, and found: the share with the right class and an IoU of 0.5 or more."""
        right, iou = outputs[:, :-BOX].argmax(-1) == y[:, 0], overlap(boxes(outputs), y[:, 1:])
        return {
            "accuracy": right.double().mean().item(),
            "iou": iou.double().mean().item(),
            "found": (right & (iou >= 0.5)).double().mean().item(),
        }

    def baselines(self) -> dict[str, dict[str, float]]:
        """mean: the commonest digit in the mean box."""
        train, test = self.data.train.y.cpu(), self.data.test.y.cpu()
        right = test[:, 0] == train[:, 0].mode().values
        iou = overlap(train[:, 1:].mean(0).expand(len(test), BOX), test[:, 1:])
        found = (right & (iou >= 0.5)).double().mean().item()
        return {"mean": {"accuracy": right.double().mean().item(), "iou": iou.double().mean().item(), "found": found}}

    def images(self) -> dict[str, np.ndarray]:
        few = Part(*(t[:20] for t in self.data.test))
        outputs, y = self.judged(few)
        pairs = zip(y[:, 1:].tolist(), boxes(outputs).tolist(), strict=True)
        drawn = [[(*_pixels(true), "lime"), (*_pixels(said), "red")] for true, said in pairs]
        titles = [
            f"{k} as {said}" for k, said in zip(y[:, 0].int().tolist(), outputs[:, :-BOX].argmax(-1), strict=True)
        ]
        return {"test/boxes": gallery_image(list(few.x.cpu().numpy()), titles, columns=5, boxes=drawn)}


def _pixels(box: list[float]) -> tuple[float, float, float, float]:
    """Edges in shares of the canvas as places in its picture, whose pixels have their middles at whole numbers."""
    return tuple(SIDE * edge - 0.5 for edge in box)


def predict(model: Predictor, config: DetectConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Digits and boxes, in pixels, for the images of an IDX file. Raises UserError."""
    images = read_idx(path, IMAGES)
    if images.shape[1:] != tuple(model.spec.shape):
        raise UserError(
            f"{path} holds images of {images.shape[1:]}: the model was trained on {tuple(model.spec.shape)}"
        )
    outputs = model.outputs(torch.from_numpy(images.copy()))
    edges = dict(zip(("left", "top", "right", "bottom"), (boxes(outputs) * SIDE).T.numpy(), strict=True))
    return pd.DataFrame({"predicted digit": outputs[:, :-BOX].argmax(-1).numpy()} | edges), {}
