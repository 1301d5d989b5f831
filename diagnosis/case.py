"""What is known of a run, gathered in one place for the rules. What is not known is None, and rules are silent then."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A scalar over the run."""

    steps: np.ndarray
    values: np.ndarray

    def __bool__(self) -> bool:
        return len(self.values) > 0

    def part(self, start: float, end: float = 1.0) -> np.ndarray:
        """The values between two shares of its length, at least one."""
        n = len(self.values)
        first = min(int(start * n), n - 1)
        return self.values[first : max(math.ceil(end * n), first + 1)]

    def early(self, share: float = 0.1) -> float:
        """The median of its first part."""
        return float(np.median(self.part(0.0, share)))

    def late(self, share: float = 0.2) -> float:
        """The median of its last part."""
        return float(np.median(self.part(1.0 - share)))

    def smooth(self, width: int = 0) -> np.ndarray:
        """Running means over `width` points, a twentieth of all by default."""
        width = width or max(len(self.values) // 20, 1)
        padded = np.pad(self.values, (width // 2, width - 1 - width // 2), mode="edge")
        return np.convolve(padded, np.ones(width) / width, mode="valid")

    def step_of(self, share: float) -> int:
        return int(self.steps[min(int(share * len(self.steps)), len(self.steps) - 1)])


@dataclass
class Case:
    """A run of an agent or a task, finished or under way."""

    kind: str
    """agent or task"""
    name: str
    """As on the command line."""
    config: dict[str, Any]
    usual: dict[str, Any] = field(default_factory=dict)
    """The settings that the run would have had where the user gives none: preset or defaults."""
    curves: dict[str, Curve] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    env: dict[str, Any] = field(default_factory=dict)
    """Of the environment; see diagnosis.probe."""
    play: dict[str, Any] = field(default_factory=dict)
    """Of episodes that the policy played; see diagnosis.playing."""
    layers: dict[str, Any] = field(default_factory=dict)
    """Of the networks on a batch; see diagnosis.layers."""
    data: dict[str, Any] = field(default_factory=dict)
    """Of a task's rows; see diagnosis.rows."""
    reference: float | None = None
    """The score that healthy runs of this environment reach, where it was measured."""
    siblings: list[float] = field(default_factory=list)
    """Scores of runs that differ in nothing but the seed."""
    step: int = 0
    total: int = 0
    live: bool = False
    """Under way: settings alone are then no reason to speak."""

    @property
    def logged(self) -> int:
        """The last step of the curves."""
        return max((int(curve.steps[-1]) for curve in self.curves.values() if len(curve.steps)), default=0)

    @property
    def done(self) -> float:
        """The share of the run that is behind it."""
        return self.step / self.total if self.total else 1.0

    def setting(self, name: str) -> Any:
        return self.config.get(name)

    def ratio(self, name: str) -> float | None:
        """A number of the settings over its usual value."""
        value, usual = self.config.get(name), self.usual.get(name)
        if not _number(value) or not _number(usual) or usual == 0:
            return None
        return float(value) / float(usual)

    def curve(self, *tags: str, points: int = 4) -> Curve | None:
        """The first of these curves with so many finite points."""
        for tag in tags:
            curve = self.curves.get(tag)
            if curve is None:
                continue
            good = np.isfinite(curve.values)
            if good.sum() >= points:
                return Curve(curve.steps[good], curve.values[good])
        return None

    @property
    def returns(self) -> Curve | None:
        """Returns of training episodes."""
        return self.curve("rollout/episode_return")

    @property
    def random_return(self) -> float | None:
        """What random actions score."""
        return self.env.get("random_return")

    @property
    def score(self) -> float | None:
        """What the run reached: the final evaluation, else the latest scores."""
        if _number(score := self.result.get("return_mean")) and math.isfinite(score):
            return float(score)
        for curve in (self.curve("eval/episode_return", points=1), self.curve("rollout/episode_return", points=1)):
            if curve is not None:
                return float(curve.values[-1])
        return None

    def gain(self) -> float | None:
        """How far the score lies above random actions, as a share of what healthy runs gain; None if unknown."""
        score, floor, top = self.score, self.random_return, self.reference
        if score is None or floor is None or top is None or top <= floor:
            return None
        return (score - floor) / (top - floor)

    def lift(self) -> float | None:
        """How far the score lies above random actions, in deviations of a random episode's return."""
        score, floor, spread = self.score, self.random_return, self.env.get("random_std")
        if score is None or floor is None or spread is None:
            return None
        return (score - floor) / max(spread, 0.01 * abs(floor), 1e-6)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
