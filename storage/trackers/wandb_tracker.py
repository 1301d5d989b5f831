"""Weights & Biases: at its server, or into ./wandb where there is no key for one (`wandb sync` sends it later)."""

from __future__ import annotations

import os
import shutil
import uuid
from itertools import groupby
from pathlib import Path

import wandb

from agent_gym.storage.trackers.tracker import About, Ending, Point

SECONDS = 30.0  # for a server's first answer
CODES = {"finished": 0, "stopped": 130, "failed": 1}


class WeightsAndBiases:
    """A run at Weights & Biases. It keeps no point whose step is behind, and cannot be asked which it has offline."""

    def __init__(self) -> None:
        self.record: dict = {}
        self.run: wandb.Run | None = None

    def open(self, about: About, record: dict) -> None:
        name = record.get("run")
        self.record = {"run": name if isinstance(name, str) else uuid.uuid4().hex[:12]}
        self.run = wandb.init(
            project=about.experiment or os.environ.get("WANDB_PROJECT") or "agent-gym",
            id=self.record["run"],
            name=about.name,
            group=about.parent or None,
            config=about.params | {"tags": about.tags},
            resume="allow",
            mode=os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline"),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, init_timeout=SECONDS),
        )

    def last_steps(self) -> dict[str, int]:
        return {}

    def log(self, points: list[Point]) -> None:
        for step, row in groupby(points, key=lambda point: point.step):
            self.run.log({point.tag: point.value for point in row}, step=step)

    def add(self, file: Path, folder: str) -> None:
        copy = Path(self.run.dir) / folder / file.name  # it keeps what lies in its own folder
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
        self.run.save(str(copy), base_path=self.run.dir, policy="now")

    def add_model(self, file: Path) -> None:
        model = wandb.Artifact(f"{file.stem}-{self.run.id}", type="model")
        model.add_file(str(file))
        self.run.log_artifact(model)

    def close(self, ending: Ending) -> None:
        self.run.finish(exit_code=CODES[ending])
