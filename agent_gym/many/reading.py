"""A group of runs as scores and curves: a folder with runs at any depth, one a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.commands.runs import find_runs
from agent_gym.diagnosis.curves import read_curves
from agent_gym.ground.errors import UserError
from agent_gym.many.statistics import Scores

CURVE = "eval/episode_return"
POINTS = 50  # of a curve that is put together from runs with other steps
FALLING = ("mse", "loss")  # figures of tasks that are the better the lower


@dataclass
class Group:
    """Runs that stand for one setting."""

    folder: Path
    scores: Scores
    """Final scores by environment, the higher the better."""
    paths: dict[str, list[Path]]
    """The runs, in the order of `scores`."""
    unscored: list[str] = field(default_factory=list)
    """Runs without a score: not finished."""
    who: list[str] = field(default_factory=list)
    """Agents or tasks."""

    def count(self) -> int:
        return sum(map(len, self.scores.values()))

    def about(self) -> str:
        """What it is, in a line."""
        left = f", {len(self.unscored)} more without a score (not finished)" if self.unscored else ""
        return f"{self.folder}: {' and '.join(self.who)}, {self.count()} runs{left}"


def read_group(folder: Path) -> Group:
    """The finished runs in a folder. Raises UserError where there are none."""
    rows = [row for row in find_runs(folder) if "runs" not in row]
    if not rows:
        raise UserError(f"{folder} holds no runs: give a folder with one run a seed, such as --seeds 8 makes")
    scored: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["score"] is not None and np.isfinite(row["score"]):
            scored.setdefault(row["on"], []).append(row)
    if not scored:
        raise UserError(f"none of the {len(rows)} runs in {folder} has a score: they have one once they are finished")
    return Group(
        folder,
        {env: np.array([signed(row) for row in found], dtype=float) for env, found in scored.items()},
        {env: [path_of(row, folder) for row in found] for env, found in scored.items()},
        [row["run"] for row in rows if row["score"] is None],
        sorted({row["who"] for row in rows}),
    )


def signed(row: dict[str, Any]) -> float:
    """A run's score, the higher the better."""
    return -row["score"] if row["measure"] in FALLING else row["score"]


def path_of(row: dict[str, Any], folder: Path) -> Path:
    return folder if row["run"] == str(folder) else folder / row["run"]


def curves_of(paths: list[Path]) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps [K] and returns in evaluation [N, K] of runs, at the steps that all of them have evaluated at.

    Where they share fewer than two, at even steps over what all have gone, between whose neighbours a line is drawn.
    None where a run has not two evaluations. Raises UserError for events that cannot be read.
    """
    found = [read_curves(path).get(CURVE) for path in paths]
    if any(curve is None or len(curve.steps) < 2 for curve in found):
        return None
    shared = set.intersection(*(set(curve.steps.tolist()) for curve in found))
    steps = np.array(sorted(shared))
    if len(steps) < 2:
        first, last = max(curve.steps[0] for curve in found), min(curve.steps[-1] for curve in found)
        if first >= last:
            return None
        steps = np.linspace(first, last, POINTS)
    return steps, np.stack([np.interp(steps, curve.steps, curve.values) for curve in found])
