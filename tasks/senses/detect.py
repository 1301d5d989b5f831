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
from agent_gym.tasks.plots import gallery_image
from agent_gym.tasks.predictor import BOX, Predictor, Spec
from agent_gym.tasks.senses.digits import bundled_digits
from agent_gym.tasks.senses.glimpse import Detector, boxes
from agent_gym.tasks.senses.idx import images_like, read_mnist
from agent_gym.tasks.senses.settings import DetectConfig
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.task import Dataset, Part, Task

SIDE = 64  # of the canvas
SIZES = (18, 45)  # pixels a side that a digit's image is drawn in
SKEW = 0.15  # by which width and height differ from that
INK = 64  # from which grey a pixel belongs to the digit


def ink(images: Tensor) -> Tensor:
    """Left, top, right and bottom [N, 4] of what is drawn on images [N, H, W], in pixels; of empty ones all."""
    dark = images >= INK
    dark = dark | ~dark.any(dim=(1, 2), keepdim=True)
    edges = []
    for used in (dark.any(1), dark.any(2)):
        edges.append((used.int().argmax(1), used.shape[1] - used.flip(1).int().argmax(1)))
    (left, right), (top, bottom) = edges
    return torch.stack((left, top, right, bottom), dim=-1).float()


def draw(images: Tensor, labels: Tensor, generator: torch.Generator) -> Part:
    """A canvas for each of `images` [N, H, W]: uint8 [N, SIDE, SIDE]; class and box [N, 5], the box as left, top, right
    and bottom of the ink, in shares of the canvas."""
    count, height, width = images.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    edges = ink(images)
    start, drawn = edges[:, :2], edges[:, 2:] - edges[:, :2]
    side = uniform(*SIZES, 1) * uniform(1.0 - SKEW, 1.0 + SKEW, 2)
    size = (drawn / torch.tensor([width, height]) * side).clamp(1.0, SIDE)
    first = torch.rand(count, 2, generator=generator) * (SIDE - size)
    inside = (torch.arange(SIDE) + 0.5 - first[..., None]) / size[..., None]  # [N, 2, SIDE]: 0 to 1 over the ink
    place = (start[..., None] + inside * drawn[..., None]) * (2.0 / torch.tensor([width, height]))[:, None] - 1.0
    shape = (count, SIDE, SIDE)
    grid = torch.stack((place[:, 0, None, :].expand(shape), place[:, 1, :, None].expand(shape)), dim=-1)
    there = (inside >= 0.0) & (inside < 1.0)
    digit = F.grid_sample(images[:, None].float(), grid, align_corners=False)[:, 0]
    digit *= there[:, 0, None, :] & there[:, 1, :, None]
    paper = 20.0 + 15.0 * torch.randn(shape, generator=generator)
    canvases = (paper + digit * uniform(0.6, 1.0, 1, 1)).clamp(0, 255).to(torch.uint8)
    return Part(canvases, torch.cat((labels[:, None].float(), first / SIDE, (first + size) / SIDE), dim=-1))


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union [...] of boxes [..., 4]."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0.0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0.0).prod(-1) for box in (a, b)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


class Detect(Task):
    """The digits of the training, validation and test canvases are different ones; every epoch has new canvases."""

    config: DetectConfig
    network = Detector

    @property
    def subject(self) -> str:
        return Path(self.config.data).name if self.config.data else "bundled"

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        images, labels = read_mnist(Path(config.data))[0] if config.data else bundled_digits()
        if min(images.shape[1:]) < 4:
            raise UserError(f"--data {config.data}: images of {images.shape[1:]}: expected 4 x 4 or more")
        self.images_of, self.digits = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
        self.rows_of = [torch.from_numpy(rows) for rows in split_rows(config, len(labels), labels)]
        names = tuple(str(k) for k in range(int(labels.max()) + 1))
        spec = Spec("detection", (SIDE, SIDE), len(names) + BOX, pixels=True, classes=names, target="digit")
        parts = [self.canvases(number) for number in range(3)]
        shares = " / ".join(f"{len(part.y):,}" for part in parts)
        return spec, Dataset(*parts, (f"{shares} canvases of {SIDE} x {SIDE} to train / validate / test",))

    def canvases(self, number: int, epoch: int = 0) -> Part:
        """Of part 0 to 2 (train, validate, test), drawn for an epoch."""
        config = self.config
        share = (1.0 - config.val_split - config.test_split, config.val_split, config.test_split)[number]
        rng = np.random.default_rng((config.seed, number, epoch))
        rows = self.rows_of[number]
        rows = rows[torch.from_numpy(rng.integers(len(rows), size=max(round(share * config.num_canvases), 10)))]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return draw(self.images_of[rows], self.digits[rows], generator)

    def collect(self) -> dict[str, float]:
        epoch = self.steps // self.steps_per_epoch
        if epoch != self.order_of:
            self.data = self.data._replace(train=Part(*(t.to(self.device) for t in self.canvases(0, epoch))))
        return super().collect()

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
        train, test = self.canvases(0).y, self.data.test.y.cpu()
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
    outputs = model.outputs(torch.from_numpy(images_like(path, tuple(model.spec.shape))))
    edges = dict(zip(("left", "top", "right", "bottom"), (boxes(outputs) * SIDE).T.numpy(), strict=True))
    return pd.DataFrame({"predicted digit": outputs[:, :-BOX].argmax(-1).numpy()} | edges), {}
