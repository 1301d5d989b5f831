"""A run as ranks beside the first have it: nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_gym.storage.checkpoint import latest_checkpoint, require_run
from agent_gym.storage.run import Run
from agent_gym.storage.segments import History


class Unwritten(Run):
    """Takes what a Run takes and writes none of it."""

    def __init__(self, path: Path, config: dict) -> None:
        super().__init__(path, config, None)

    @classmethod
    def reopen(cls, path: Path) -> Unwritten:
        """With the latest good checkpoint of the run at `path` in `state`. Raises UserError."""
        require_run(path)
        run = cls(path, {})
        run.state, _ = latest_checkpoint(path, check=run.check)
        return run

    def go_on(self, config: dict, step: int) -> None:
        self.config, self.state = config, {}

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Stands for all that writes."""

    log = log_gif = show = log_text = write_text = save_best = finish = close = _nothing

    def save_last(self, state: dict, history: History | None = None) -> None:
        if history is not None:  # which asks all ranks for their parts
            self.segments.follow(history)

    def make_folder(self, name: str) -> Path:
        return self.path / name
