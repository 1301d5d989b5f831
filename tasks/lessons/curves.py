"""Learning curves: too few epochs, jagged, overfitting; how each looks, by which figure it is known, what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agent_gym.ground.learning_curve import FALLING, FEW, JAGGED, NONE, OVERFIT, RISEN, ROUGH, Shape
from agent_gym.nets.learner.learner import Stats
from agent_gym.tasks.lessons.settings import CurvesConfig
from agent_gym.tasks.plots import curves_image
from agent_gym.tasks.study import Record, Study, layer_tables
from agent_gym.tasks.tables.settings import DiabetesConfig
from agent_gym.tasks.tables.table import Diabetes

WIDE = {"epochs": 150, "hidden_sizes": (128, 128)}
RUNS: dict[str, dict[str, Any]] = {
    FEW: {"epochs": 5},
    "more epochs": {"epochs": 100},
    JAGGED: {"epochs": 100, "learning_rate": 0.05, "batch_size": 4},
    "smaller steps, larger batches": {"epochs": 100, "learning_rate": 1e-3, "batch_size": 32},
    OVERFIT: WIDE,
    "weight decay": WIDE | {"weight_decay": 0.1},
    "dropout": WIDE | {"dropout": 0.5},
    "fewer units": WIDE | {"hidden_sizes": (4,)},
}
"""Settings of `diabetes` by the name of the run: each pattern, and behind it what mends it."""


def command(flags: dict[str, Any]) -> str:
    """The command whose curves these are."""
    words = (
        ["python train.py diabetes --weight-decay 0"] if "weight_decay" not in flags else ["python train.py diabetes"]
    )
    for name, value in flags.items():
        numbers = value if isinstance(value, tuple) else (value,)
        words.append(f"--{name.replace('_', '-')} {' '.join(f'{number:g}' for number in numbers)}")
    return " ".join(words)


class Curves(Study):
    """An epoch of every run a step, until it has had all of its own."""

    config: CurvesConfig
    headline = "named"

    def __init__(self, config: CurvesConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        plain = DiabetesConfig(seed=config.seed, weight_decay=0.0)
        self.tasks = {name: Diabetes(replace(plain, **flags), device) for name, flags in RUNS.items()}
        self.model = torch.nn.ModuleDict({name: task.model for name, task in self.tasks.items()})
        self.model["record"] = Record()
        self.learners = {name: task.learner for name, task in self.tasks.items()}

    def watch_layers(self) -> None:
        for task in self.tasks.values():
            task.watch_layers()

    def layers(self) -> str:
        networks = {name: (task.model, task.data.train.x[None, :1]) for name, task in self.tasks.items()}
        return layer_tables({name: networks[name] for name in (FEW, OVERFIT, "fewer units")})

    def update(self) -> Stats:
        stats: Stats = {}
        for name, task in self.tasks.items():
            if self.steps < task.epochs:
                losses = []
                while task.steps < (self.steps + 1) * task.steps_per_epoch:
                    task.collect()
                    losses.append(task.update()["loss"])
                stats[f"{name}/loss"] = torch.stack(losses).mean()
                validation = task.evaluate()[1]["val/loss"]
                self.model["record"].note(name, stats[f"{name}/loss"].item(), validation)
                stats[f"{name}/val_loss"] = torch.tensor(validation)
        self.steps += 1
        return stats | {"loss": torch.stack([value for name, value in stats.items() if name.endswith("/loss")]).mean()}

    def shapes(self) -> dict[str, Shape]:
        return {name: Shape.of(self.model["record"].columns(name)[1]) for name in RUNS}

    def test(self) -> dict[str, float]:
        """`named` is the share of the runs that show what they are to: each pattern, and none where it is mended."""
        metrics: dict[str, float] = {}
        right = []
        for name, shape in self.shapes().items():
            right.append(shape.pattern() == (name if name in (FEW, JAGGED, OVERFIT) else NONE))
            lowest = min(self.model["record"].columns(name)[1])
            figures = shape._asdict() | {"lowest": lowest}
            metrics |= {f"{name.replace(', ', '_').replace(' ', '_')}_{key}": value for key, value in figures.items()}
        return metrics | {"named": float(np.mean(right))}

    def report(self, metrics: dict[str, float]) -> str:
        lines = ["validation losses                lowest  falling  jagged  end/lowest  seen"]
        for name, shape in self.shapes().items():
            shown = name if name in (FEW, JAGGED, OVERFIT) else f"  {name}"
            lowest = min(self.model["record"].columns(name)[1])
            lines.append(
                f"{shown:<32} {lowest:6.3f}  {shape.falling:7.3f}  {shape.rough:6.3f}  {shape.risen:10.2f}  "
                f"{shape.pattern()}"
            )
        lines += [
            "",
            f"{JAGGED}: above {ROUGH:g}; {OVERFIT}: end/lowest above {RISEN:g}; {FEW}: falling above {FALLING:g}",
            "each by itself, with its curves in TensorBoard:",
        ]
        return "\n".join([*lines, *(f"  {command(flags)}" for flags in RUNS.values())])

    def images(self) -> dict[str, np.ndarray]:
        panels = {}
        for name, shape in self.shapes().items():
            train, val = self.model["record"].columns(name)
            epochs = list(range(1, len(train) + 1))
            title = name if name in (FEW, JAGGED, OVERFIT) else f"mended by {name}"
            panels[f"{title} (seen: {shape.pattern()})"] = {"training": (epochs, train), "validation": (epochs, val)}
        return {"lesson/curves": curves_image(panels, "epoch")}

    def state_dict(self) -> dict:
        return super().state_dict() | {"tasks": {name: task.state_dict() for name, task in self.tasks.items()}}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        for name, task in self.tasks.items():
            task.load_state_dict(state["tasks"][name])
