"""What the loop trains where the data is no set of labelled rows: lessons, and networks that make things."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.course import Course
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import reason
from agent_gym.ground.tensors import all_finite
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.summary import summary
from agent_gym.tasks.config import StudyConfig


class Record(nn.Module):
    """Rows of numbers noted while a run goes on, {name: [[...], ...]}, saved with the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[float]]] = {}

    def note(self, name: str, *values: float) -> None:
        self.rows.setdefault(name, []).append([float(value) for value in values])

    def columns(self, name: str) -> list[list[float]]:
        """The columns of what was noted under `name`."""
        return [list(column) for column in zip(*self.rows.get(name, ()), strict=True)]

    def get_extra_state(self) -> dict:
        return {name: [list(row) for row in rows] for name, rows in self.rows.items()}

    def set_extra_state(self, state: dict) -> None:
        self.rows = {str(name): [[float(v) for v in row] for row in rows] for name, rows in dict(state).items()}


class Study(ABC):
    """What the training loop trains (training.loop.Trainee), and what is told of it.

    A subclass builds `model`, everything that evaluation needs, and `learners` in `__init__`, and says in `update`
    what a step is. Whatever it draws comes from `generator()`, so that a resumed run draws the same.
    """

    history = None
    headline = "loss"
    """The metric that sums a run up."""
    about: tuple[str, ...] = ()
    """Lines that tell the user what was made of the data."""
    predicts = False  # for new rows
    model: nn.Module
    learners: dict[str, Learner]

    def __init__(self, config: StudyConfig, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        self.steps, self.total_steps = 0, config.total_steps
        self.course = Course(self.total_steps)
        self.interrupted: Callable[[], bool] = lambda: False
        self.notes: list[str] = []

    @classmethod
    def restored(cls, config: Any, weights: Any, device: torch.device | str = "cpu") -> Study:
        """The study with the weights of a checkpoint. Raises UserError where they do not fit."""
        try:
            with parameter_budget(weights):
                study = cls(config, device)
            study.model.load_state_dict(weights)
        except UserError:
            raise
        except Exception as error:  # whatever a foreign file leads to
            raise UserError(
                f"the weights do not fit their configuration: {reason(error)}; use another checkpoint"
            ) from error
        if not all_finite(list(study.model.parameters())):
            raise UserError("the weights hold NaN or infinite numbers: use another checkpoint")
        return study

    @property
    def subject(self) -> str:
        """What the run is called after."""
        return "bundled"

    @property
    def eval_every(self) -> int | None:
        """Steps between evaluations; 0: never, None: as often as the session finds right."""
        return self.config.evaluation_interval()

    @property
    def checkpoint_every(self) -> int:
        return self.config.checkpoint_every

    @property
    def longer(self) -> str:
        """The flag that makes a run twice as long."""
        return f"--total-steps {2 * self.total_steps}"

    def layers(self) -> str:
        """The networks, layer by layer."""
        return f"{sum(p.numel() for p in self.model.parameters()):,} parameters"

    def generator(self, purpose: int = 0) -> torch.Generator:
        """On the CPU, determined by the seed, the step and `purpose`."""
        return _seeded(self.config.seed, self.steps, purpose)

    def judging(self, purpose: int) -> torch.Generator:
        """The same at every step, and for a checkpoint that is scored again: for what is judged and shown."""
        return _seeded(self.config.seed, purpose)

    def watch_layers(self) -> None:
        for learner in self.learners.values():
            learner.watch_layers(self.model)

    def begin(self) -> None:  # noqa: B027
        """Nothing: all is there."""

    def facts(self) -> dict[str, float]:
        """None."""
        return {}

    def settle(self) -> None:  # noqa: B027
        """Nothing: `state_dict` is complete."""

    def collect(self) -> dict[str, float]:
        return {}

    @abstractmethod
    def update(self) -> Stats:
        """One step; advances `steps`."""

    def evaluate(self) -> tuple[float, dict[str, float]]:
        """What chooses best.pt, the latest if nothing else does, and scalars under full tags."""
        return float(self.steps), {}

    @abstractmethod
    def test(self) -> dict[str, float]:
        """The final figures."""

    @abstractmethod
    def report(self, metrics: dict[str, float]) -> str:
        """The figures of `test` for the terminal."""

    def samples(self) -> dict[str, np.ndarray | str]:
        """What it makes so far: pictures and texts by tag, at each evaluation."""
        return {}

    def images(self) -> dict[str, np.ndarray]:
        """Pictures of the end, uint8 [H, W, 3] by tag."""
        return {}

    def state_dict(self) -> dict:
        """Everything a run needs to go on, as tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "learners": {name: learner.state_dict() for name, learner in self.learners.items()},
            "steps": self.steps,
            "course": self.course.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for name, learner in self.learners.items():
            learner.load_state_dict(state["learners"][name])
        self.steps = state["steps"]
        line = self.course.load_state_dict(state["course"], self.steps, self.config.schedule_over)
        if line and self.config.scheduled:
            self.notes.append(line)


def _seeded(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def layer_tables(networks: dict[str, tuple[nn.Module, Tensor]]) -> str:
    """The layers of named networks, each with an example of its input."""
    return "\n".join(f"{name}\n{summary(network, example)}" for name, (network, example) in networks.items())
