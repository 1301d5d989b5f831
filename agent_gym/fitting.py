"""Supervised tasks from Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.plain import fitted_fields
from agent_gym.tasks import TASKS, config_class


@dataclass
class Fitted:
    """A task that has been learned."""

    task: Any
    """The task with its best weights: `task.model`."""
    run_dir: Path
    metrics: dict[str, float]
    """The figures on the test part."""


def fit(name: str, callbacks: Iterable[Any] = (), **settings: Any) -> Fitted:
    """Train a task by its name, such as fit("iris", epochs=50); settings have the names of the flags."""
    from agent_gym.composing.task_run import train_task
    from agent_gym.training.callbacks import CallbackFailed

    if name not in TASKS:
        raise UserError(f"{name!r} is no task: expected one of {', '.join(TASKS)}{nearest(name, TASKS)}")
    cls = config_class(name)
    known = {field.name for field in fields(cls)}
    for setting in settings:
        if setting not in known:
            raise UserError(f"{name} has no setting {setting!r}{nearest(setting, known)}")
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}
    try:
        config = cls(**fitted_fields(cls, settings))
    except TypeError as error:
        raise UserError(f"{name}: setting {error}") from None
    try:
        ending, task = train_task(name, config, callbacks=callbacks)
    except CallbackFailed as error:
        raise error.__cause__ from None
    if ending.code:
        raise KeyboardInterrupt
    return Fitted(task, ending.path, ending.result["metrics"])
