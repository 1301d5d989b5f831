"""How many episodes an evaluation in the course of training may play: a tenth of the training steps in all."""

from __future__ import annotations

import math
from typing import NamedTuple

from agent_gym.training.score import Score

SHARE = 10  # one step of evaluation for so many of training
EPISODES = 20  # of an evaluation where there is room for them
FEWEST = 5  # an evaluation of fewer is left out, but for the last
ROWS = 5  # environments that play: those that wait for others play steps too
SPARING = (
    "evaluations in training play at most a tenth of the training steps: some have fewer than 20 episodes or are left "
    "out (--periodic-eval-episodes N or --eval-every N plays them all)"
)


class Plan(NamedTuple):
    """An evaluation: its episodes, the environments for them, the steps it may take (0: any number)."""

    episodes: int
    rows: int
    budget: int


def plan(clock: dict, steps: int, length: float, asked: int, *, always: bool, last: bool) -> Plan | None:
    """The evaluation due after `steps` of training, where episodes take about `length` steps; None: it is left out.

    `asked` episodes (0: 20) are played `always` or as far as a tenth of the steps allows that earlier evaluations have
    not used, which `clock` tells. Nothing but steps decides, so that resumed runs evaluate where unbroken ones do.
    """
    if always:
        episodes = asked or EPISODES
        return Plan(episodes, min(episodes, EPISODES), 0)
    budget = steps // SHARE - clock["evaluation_steps"]
    longest = max(steps for steps in (length, clock["evaluation_length"], 1.0) if not math.isnan(steps))
    episodes = int(min(budget / longest, EPISODES))
    if episodes < (1 if last else FEWEST):
        return None
    return Plan(episodes, min(episodes, ROWS), budget)


def note(clock: dict, score: Score) -> None:
    """Remember what an evaluation played."""
    clock["evaluation_steps"] += score.steps
    clock["evaluation_length"] = float(score.lengths.mean())
