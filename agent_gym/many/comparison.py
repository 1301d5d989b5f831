"""Two groups of runs side by side: scores with intervals, and how likely one is the better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.many.reading import Group, read_group
from agent_gym.many.statistics import Scores, improvement, improvement_interval, interval, iqm

FEW = 5  # runs; with fewer an interval says little
ALL = "all environments"


@dataclass(frozen=True)
class Row:
    """One environment, or all: the IQM of A and of B with 95 % intervals, and the chance that A is better."""

    on: str
    a: float
    a_interval: tuple[float, float]
    b: float
    b_interval: tuple[float, float]
    chance: float
    chance_interval: tuple[float, float]

    def plain(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "a_iqm": self.a,
            "a_ci95": list(self.a_interval),
            "b_iqm": self.b,
            "b_ci95": list(self.b_interval),
            "probability_of_improvement": self.chance,
            "probability_ci95": list(self.chance_interval),
        }


@dataclass(frozen=True)
class Comparison:
    """Groups A and B on the environments that both have."""

    a: Group
    b: Group
    shared: list[str]
    rows: list[Row]
    """An environment each; of several, the last is all of them, scaled."""

    def scaled(self, group: Group) -> Scores:
        """Scores on the shared environments; of several, from 0 (the lowest of either group there) to 1."""
        if len(self.shared) == 1:
            return {self.shared[0]: group.scores[self.shared[0]]}
        return scaled(group.scores, self.a.scores, self.b.scores, self.shared)

    def verdict(self) -> str:
        """What may be concluded."""
        low, high = self.rows[-1].chance_interval
        if low > 0.5:
            return "A is better: the interval of its chance lies above one half"
        if high < 0.5:
            return "B is better: the interval of A's chance lies below one half"
        return "no difference is shown: the interval of A's chance holds one half; more seeds make it narrower"

    def notes(self) -> list[str]:
        """What a reader has to know of the numbers."""
        lines = []
        for name, own, other in (("A", self.a, self.b), ("B", self.b, self.a)):
            if only := sorted(own.scores.keys() - other.scores.keys()):
                lines.append(f"left out, since {name} alone has runs of it: {', '.join(only)}")
        if len(self.shared) > 1:
            lines.append(f"{ALL}: on each, 0 is the lowest score of either group and 1 the highest")
        fewest = min(len(group.scores[env]) for group in (self.a, self.b) for env in self.shared)
        if fewest < FEW:
            runs = "one run" if fewest == 1 else f"{fewest} runs"
            lines.append(f"there is an environment with {runs} of a group: intervals of so few say little")
        return lines

    def plain(self) -> dict[str, Any]:
        """For --json."""
        groups = {
            name: {"folder": str(group.folder), "runs": {env: len(group.scores[env]) for env in self.shared}}
            for name, group in (("a", self.a), ("b", self.b))
        }
        return groups | {"rows": [row.plain() for row in self.rows], "verdict": self.verdict(), "notes": self.notes()}


def scaled(scores: Scores, a: Scores, b: Scores, shared: list[str]) -> Scores:
    """Scores from 0, the lowest of `a` and `b` in that environment, to 1, the highest."""
    found = {}
    for env in shared:
        both = np.concatenate([a[env], b[env]])
        spread = np.ptp(both)
        found[env] = (scores[env] - both.min()) / spread if spread else np.full(len(scores[env]), 0.5)
    return found


def compare(folder_a: Path, folder_b: Path) -> Comparison:
    """Compare the runs of two folders. Raises UserError where they have no environment in common."""
    a, b = read_group(folder_a), read_group(folder_b)
    shared = sorted(a.scores.keys() & b.scores.keys())
    if not shared:
        raise UserError(
            f"{folder_a} has runs of {', '.join(sorted(a.scores))} and {folder_b} of {', '.join(sorted(b.scores))}: "
            "expected groups with runs of the same environment"
        )
    rows = [row(env, {env: a.scores[env]}, {env: b.scores[env]}) for env in shared]
    if len(shared) > 1:
        rows.append(row(ALL, *(scaled(group.scores, a.scores, b.scores, shared) for group in (a, b))))
    return Comparison(a, b, shared, rows)


def row(on: str, a: Scores, b: Scores) -> Row:
    chance, between = improvement(a, b), improvement_interval(a, b)
    return Row(on, iqm(a), interval(a), iqm(b), interval(b), chance, between)
