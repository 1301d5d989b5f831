"""Supervised tasks by name. Importing a task happens when it is asked for; its settings come without torch."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_gym.ground.errors import UserError
from agent_gym.ground.foreign import foreign_class

if TYPE_CHECKING:
    import torch

    from agent_gym.tasks.config import TaskConfig

TASKS = {
    "heights": ("agent_gym.tasks.toy", "HeightsConfig", "Heights"),
    "xor": ("agent_gym.tasks.toy", "XorConfig", "Xor"),
    "iris": ("agent_gym.tasks.table", "IrisConfig", "Iris"),
    "breast-cancer": ("agent_gym.tasks.table", "BreastCancerConfig", "BreastCancer"),
    "diabetes": ("agent_gym.tasks.table", "DiabetesConfig", "Diabetes"),
    "table": ("agent_gym.tasks.table", "TableConfig", "Table"),
    "digits": ("agent_gym.tasks.digits", "DigitsConfig", "Digits"),
    "text": ("agent_gym.tasks.text.classify", "TextConfig", "Text"),
    "generate": ("agent_gym.tasks.text.generate", "GenerateConfig", "Generate"),
    "series": ("agent_gym.tasks.series", "SeriesConfig", "Series"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of task `name`, or of module:Class. Raises UserError."""
    if ":" in name:
        return task_class(name).config_class
    module, settings, _ = TASKS[name]
    return getattr(import_module(f"{module.rpartition('.')[0]}.settings"), settings)


def task_class(name: str) -> type:
    """The class of task `name`, or of module:Class, built as task_class(name)(config, device). Raises UserError."""
    if ":" in name:
        return foreign_class(name, "config_class", "a task (a subclass of agent_gym.tasks.task.Task)")
    module, _, task = TASKS[name]
    return getattr(import_module(module), task)


def load_task(name: str, config: TaskConfig, weights: Any, device: torch.device | str = "cpu") -> Any:
    """The task with the weights of a checkpoint and the data that its configuration names. Raises UserError."""
    model = task_class(name).network.restored(weights, config)
    task = task_class(name)(config, device)
    if _fixed(task.model.spec) != _fixed(model.spec):
        raise UserError(f"the weights were learned from other data than {task.subject} is now: use another checkpoint")
    task.model.load_state_dict(weights)
    return task


def _fixed(spec: Any) -> Any:
    """What a network is made for, without the figures that scale its inputs and outputs."""
    from agent_gym.tasks.tables.columns import Columns

    columns = Columns.restored(spec.columns, math.prod(spec.shape)).layout() if spec.columns else {}
    series = {name: spec.series.get(name) for name in ("names", "form", "steps")}
    return replace(spec, shift=0.0, scale=1.0, columns=columns, series=series)


def predict(name: str, config: TaskConfig, weights: dict, data: Path, device: torch.device | str = "cpu"):
    """Predictions (a DataFrame, one row for each of `data`) and scores, empty where `data` holds no target.

    `weights` is the model of a checkpoint; the data that it was trained on is not needed. Raises UserError.
    """
    model = task_class(name).network.restored(weights, config).to(device)
    return import_module(task_class(name).__module__).predict(model, config, data)
