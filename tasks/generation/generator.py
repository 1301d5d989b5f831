"""What all studies that make things share: data, pictures of samples, the judge, the report."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from agent_gym.tasks.generation.judge import MEANING, make_judge
from agent_gym.tasks.generation.settings import GeneratorConfig
from agent_gym.tasks.generation.source import make_source
from agent_gym.tasks.plots import gallery_image, points_image
from agent_gym.tasks.study import Study

SHOWN = 400  # points in a picture, and judged while it learns
JUDGED = 2500  # points at the end
JUDGED_IMAGES = 1000
JUDGE = 1  # purposes of generators
SHOW = 2


class Generator(Study):
    """A study whose `make` makes rows of the classes asked for."""

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        self.source = make_source(config.data)
        self.about = (self.source.note,)
        self.shown_at = -1
        self.headline = "recognised" if self.source.image else "covariance_error"

    @property
    def subject(self) -> str:
        return self.source.name

    @abstractmethod
    def make(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Rows [N, size] on the CPU, of the classes [N]."""

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Real rows and classes on the device."""
        x, classes = self.source.draw(self.config.batch_size, generator)
        return x.to(self.device), classes.to(self.device)

    @cached_property
    def judge(self):
        return make_judge(self.source)

    def some(self, count: int, purpose: int) -> tuple[Tensor, Tensor]:
        """Rows made by now, with as many of each class."""
        classes = torch.arange(count) % self.source.classes
        return self.make(classes, self.judging(purpose)), classes

    def shown(self) -> tuple[Tensor, Tensor]:
        """A few rows made by now, of the same random numbers at every step; made once a step."""
        if self.shown_at != self.steps:
            count = JUDGED_IMAGES // 4 if self.source.image else SHOWN
            self.shown_at, self.few = self.steps, self.some(count, SHOW)
        return self.few

    def evaluate(self) -> tuple[float, dict[str, float]]:
        figures = self.judge(*self.shown())
        figures.pop("recognised_real", None)
        return float(self.steps), {f"eval/{name}": value for name, value in figures.items()}

    def samples(self) -> dict[str, np.ndarray]:
        """What it makes now, for the eyes."""
        if self.source.image:
            made, classes = self.shown()
            pictures = [row.view(self.source.image).clamp(-1, 1).numpy() for row in made[: 4 * self.source.classes]]
            titles = [str(k) for k in classes[: self.source.classes].tolist()]
            return {"samples": gallery_image(pictures, titles, columns=self.source.classes)}
        real = self.source.draw(SHOWN, self.judging(SHOW))[0]
        return {"samples": points_image({"made": self.shown()[0].numpy(), "real": real.numpy()}, 1.6)}

    def images(self) -> dict[str, np.ndarray]:
        return self.samples()

    def test(self) -> dict[str, float]:
        return self.judge(*self.some(JUDGED_IMAGES if self.source.image else JUDGED, JUDGE))

    def lines(self) -> list[str]:
        """What else the report says."""
        return []

    def report(self, metrics: dict[str, float]) -> str:
        known = [f"{value:9.3f}  {MEANING[name]}" for name, value in metrics.items() if name in MEANING]
        return "\n".join([*self.lines(), *known])
