"""Supervised tasks by name. Importing a task happens when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch

from tasks.config import TaskConfig, TaskError

TASKS = {
    "heights": ("tasks.toy", "HeightsConfig", "Heights"),
    "xor": ("tasks.toy", "XorConfig", "Xor"),
    "iris": ("tasks.table", "IrisConfig", "Iris"),
    "breast-cancer": ("tasks.table", "BreastCancerConfig", "BreastCancer"),
    "diabetes": ("tasks.table", "DiabetesConfig", "Diabetes"),
    "table": ("tasks.table", "TableConfig", "Table"),
    "digits": ("tasks.digits", "DigitsConfig", "Digits"),
    "series": ("tasks.series", "SeriesConfig", "Series"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of task `name`."""
    module, config, _ = TASKS[name]
    return getattr(import_module(module), config)


def task_class(name: str) -> type:
    """The class of task `name`, built as task_class(name)(config, device)."""
    module, _, task = TASKS[name]
    return getattr(import_module(module), task)


def restore_config(name: str, stored: dict) -> TaskConfig:
    """A configuration from its plain-data form. Raises TaskError."""
    if name not in TASKS:
        raise TaskError(f"the run was made by {name!r}, which is no task here: expected {', '.join(TASKS)}")
    stored = stored | {"encoder_from": ""}  # those weights, and what became of them, are in the checkpoint
    try:
        return config_class(name)(**{k: _tuples(v) for k, v in stored.items()})
    except TypeError as error:
        raise TaskError(f"the stored configuration does not fit {name} ({error}): it is of another version") from None


def predict(name: str, config: TaskConfig, weights: dict, data: Path, device: torch.device | str = "cpu"):
    """Predictions (a DataFrame, one row for each of `data`) and scores, empty where `data` holds no target.

    `weights` is the model of a checkpoint; the data that it was trained on is not needed. Raises TaskError.
    """
    from tasks.predictor import Predictor

    model = Predictor.restored(weights, config).to(device)
    return import_module(TASKS[name][0]).predict(model, config, data)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
