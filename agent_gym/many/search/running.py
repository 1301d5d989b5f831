"""A trial while it is trained: its scores so far, and what the study is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.many.group import Group
from agent_gym.many.pool import Worker
from agent_gym.many.search.problem import ROUNDS, Problem
from agent_gym.training.score import interquartile_mean

LAST = 2  # evaluations of each seed that its score is made of: one alone is noisy


@dataclass
class Running:
    """A trial that is being trained."""

    trial: Any
    group: Group
    scores: dict[int, dict[int, float]]
    """By seed and step."""
    workers: list[Worker] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    """Stages that the study has been told of, by an earlier process too."""
    reported: int = -1
    over: bool = False
    """The study has been told how it ended."""

    def left(self) -> tuple[int, ...]:
        """The seeds that have not come to their end."""
        return tuple(seed for seed in self.group.seeds if self.group.result(seed) is None)

    def value(self) -> float:
        """IQM of the seeds' last evaluations. Raises UserError where there are none."""
        last = [by_step[step] for by_step in self.scores.values() for step in sorted(by_step)[-LAST:]]
        if not last or not np.isfinite(last).all():
            raise UserError("its evaluations are missing or no finite numbers")
        return interquartile_mean(np.array(last))

    def stage(self) -> tuple[int, float] | None:
        """The next step that all seeds have been evaluated at, and the IQM there."""
        shared = set.intersection(*(set(by_step) for by_step in self.scores.values()))
        for step in sorted(step for step in shared if step > self.reported):
            values = np.array([by_step[step] for by_step in self.scores.values()])
            if np.isfinite(values).all():
                return step, interquartile_mean(values)
        return None

    def place(self, problem: Problem) -> int:
        """The latest stage, as pruners count: full tenths of the environment steps, of tasks evaluations.

        Rollouts of other lengths are evaluated a little later, and have to be compared all the same.
        """
        if problem.kind == "agent":
            tenth = max(problem.steps() // ROUNDS, 1)
            return self.reported // tenth * tenth
        shared = set.intersection(*(set(by_step) for by_step in self.scores.values()))
        return sum(step <= self.reported for step in shared)
