"""What a tracker is to the follower, and which there are."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from agent_gym.ground.errors import UserError

TRACKERS = {  # module and class, package, extra
    "mlflow": ("agent_gym.storage.trackers.mlflow_tracker", "MLflow", "mlflow", "mlflow"),
    "wandb": ("agent_gym.storage.trackers.wandb_tracker", "WeightsAndBiases", "wandb", "wandb"),
}
FOLDER = "tracking"  # in the run directory: what is remembered of each tracker
Ending = Literal["finished", "stopped", "failed"]


class Point(NamedTuple):
    """One scalar of a curve."""

    tag: str
    step: int
    value: float
    seconds: float
    """When it was written, since 1970."""


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run when it begins."""

    name: str
    """Of the run."""
    experiment: str = ""
    """What it belongs to; empty: what the tracker's own variables say, else agent-gym."""
    parent: str = ""
    """Name of the run that it is nested under; empty: none."""
    params: dict[str, str] = field(default_factory=dict)
    """Settings by dotted name."""
    tags: dict[str, str] = field(default_factory=dict)
    """What it is, where it lies and what made it."""


class Tracker(Protocol):
    """One run at a tracker. Every method may raise any Exception: the follower calls it again later.

    So each may be called twice with the same things, which must not be there twice then.
    """

    record: dict
    """Plain data by which a resumed run finds its record again; kept in the run directory."""

    def open(self, about: About, record: dict) -> None:
        """Begin a record, or go on with the one that an earlier `record` names."""

    def last_steps(self) -> dict[str, int]:
        """The last step of each tag that the tracker has."""

    def log(self, points: list[Point]) -> None:
        """Add points of curves, in order."""

    def add(self, file: Path, folder: str) -> None:
        """Keep a file under `folder` ("": at the top)."""

    def add_model(self, file: Path) -> None:
        """Keep an exported model so that the tracker can load and serve it."""

    def close(self, ending: Ending) -> None:
        """The run has ended, or stopped for now."""


def require_tracker(name: str) -> None:
    """Raise UserError unless the package of tracker `name` is there; "none" needs none."""
    if name == "none":
        return
    _, _, package, extra = TRACKERS[name]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"--track {name} needs the package {package}: pip install 'agent-gym[{extra}]'")


def make_tracker(name: str) -> Tracker:
    """Tracker `name`, not opened. Imports its package."""
    module, cls, _, _ = TRACKERS[name]
    return getattr(import_module(module), cls)()
