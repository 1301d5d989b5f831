"""A model as what the training loop trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import RunSettings
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.training.loop import Moment
from agent_gym.training.session import Conclusion

if TYPE_CHECKING:
    from agent_gym.model import Model

CHUNK = 64  # minibatches between two looks at the clock


@dataclass(frozen=True)
class ModelSettings(RunSettings, OptimizerSettings):
    """What a Model trains with."""

    epochs: int = 1
    batch_size: int = 32


class Fitting:
    """What the training loop trains: a model and its rows; the order of epoch e follows from the seed and e alone."""

    history = None

    def __init__(self, model: Model, settings: ModelSettings, data: tuple, validation: tuple | None) -> None:
        torch.manual_seed(settings.seed)
        self.owner, self.model, self.settings = model, model.module, settings
        self.data, self.validation = data, validation
        self.rows = len(data[0])
        self.steps_per_epoch = -(-self.rows // settings.batch_size)
        self.steps, self.total_steps = 0, self.steps_per_epoch * settings.epochs
        self.notes: list[str] = []
        self.interrupted: Callable[[], bool] = lambda: False
        self.curves: dict[str, list[float]] = {}
        self.sums: dict[str, Tensor] = {}
        self.learner = Learner(self.loss, self.model.parameters(), settings)

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
        outputs = self.owner._outputs(x)
        detached = outputs.detach()
        return self.owner._loss(outputs, y), {n: self.owner._metric(n, detached, y) for n in self.owner.metrics}

    def begin(self) -> None:
        """Nothing: the data is there."""

    def settle(self) -> None:
        """Nothing: `state_dict` is complete."""

    def facts(self) -> dict[str, float]:
        """Nothing: the model says it all."""
        return {}

    def collect(self) -> dict[str, float]:
        epoch, first = divmod(self.steps, self.steps_per_epoch)
        seed = int(np.random.SeedSequence((self.settings.seed, epoch)).generate_state(1)[0])
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(seed))
        size = self.settings.batch_size
        rows = order[first * size : (first + CHUNK) * size]
        self.batches = list(zip(*(part[rows].split(size) for part in self.data), strict=True))
        return {}

    def update(self) -> Stats:
        self.model.train()
        stats = []
        for x, y in self.batches:
            self.learner.set_progress(self.steps / self.total_steps)
            news = self.learner.update(x, y)
            for name in ("loss", *self.owner.metrics):
                self.sums[name] = self.sums.get(name, 0.0) + news[name] * len(x)
            stats.append(news)
            self.steps += 1
        return {name: torch.stack([s[name] for s in stats]).mean() for name in stats[0]}

    def evaluate(self) -> tuple[float, dict[str, float]]:
        """The end of an epoch: its means, and the validation's scores."""
        for name, total in self.sums.items():
            self.curves.setdefault(name, []).append(float(total) / self.rows)
        self.sums = {}
        scores = {} if self.validation is None else self.owner._scores(*self.validation)
        for name, value in scores.items():
            self.curves.setdefault(f"val_{name}", []).append(value)
        judged = scores.get("loss", self.curves["loss"][-1])
        if not math.isfinite(judged):
            raise UserError("the loss is not finite: a lower learning_rate or scaled inputs usually mend it")
        self.last = {name: part.clone() for name, part in self.model.state_dict().items()}
        return -judged, {f"val/{name}": value for name, value in scores.items()}

    def conclude(self, moment: Moment) -> Conclusion:
        """The last weights stay, as in Keras; best.pt holds the best."""
        self.model.load_state_dict(self.last)
        scores = self.owner._scores(*(self.validation or self.data))
        text = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
        return Conclusion({"task": "model", "metrics": scores}, "final/loss", scores["loss"], text)

    def state_dict(self) -> dict:
        return {"model": self.model.state_dict(), "learner": self.learner.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.learner.load_state_dict(state["learner"])
        self.steps = state["steps"]
