"""The model of a run on texts, without the data that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import restore_config
from agent_gym.ground.errors import UserError
from agent_gym.storage.checkpoint import open_checkpoint
from agent_gym.tasks import task_class


def open_text_run(path: Path, task: str) -> tuple[Any, Any]:
    """The network and the settings of a run of `task`. Raises UserError."""
    checkpoint = open_checkpoint(path, "best")
    stored = dict(checkpoint["config"])
    check_modules(stored, path)
    name = stored.pop("task", None)
    if name != task:
        raise UserError(f"--run {path} is of {stored.get('agent', name)!r}: expected a run of the task {task}")
    config = restore_config("task", name, stored)
    return task_class(name).network.restored(checkpoint["agent"].get("model"), config), config
