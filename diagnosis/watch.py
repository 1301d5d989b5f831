"""A run watched while it trains: what the rules find is told once, and written down at its step."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from agent_gym.diagnosis.case import Case, Curve
from agent_gym.diagnosis.diagnose import findings_of
from agent_gym.diagnosis.finding import Finding
from agent_gym.ground.errors import UserError

FILE = "findings.json"
FIRST = 0.1  # of the run that passes before anything is said
SHARE = 0.005  # of the time of training that the rules may take
COST = 0.01  # seconds that they take at first, until that is known


class View(Protocol):
    """A run as it is shown to callbacks (training.callbacks.RunView)."""

    agent: Any
    path: Any
    scalars: dict[str, float]
    steps: int
    seconds: float

    def log_text(self, tag: str, text: str) -> None: ...

    def write_text(self, name: str, text: str) -> None: ...

    def say(self, text: str) -> None: ...


class Watcher:
    """A callback. It changes nothing of the run, and takes no more than SHARE of its time."""

    def __init__(self, case: Case) -> None:
        """`case`: kind, name, settings and what they would have been; curves are added as they come."""
        self.case = case
        self.logs: list[tuple[int, dict[str, float]]] = []  # step and scalars
        self.told: list[Finding] = []
        self.known: set[str] = set()
        self.plain: list[dict] = []
        self.spent, self.cost = 0.0, COST

    def on_start(self, run: View) -> None:
        """Of a resumed run: take in what was logged and told before."""
        self.case.total = int(getattr(run.agent, "total_steps", 0))
        if run.steps == 0:
            return
        from agent_gym.diagnosis.curves import read_curves  # with TensorBoard's reader

        with suppress(UserError):  # nothing logged yet
            for tag, curve in read_curves(run.path).items():
                self.logs += [
                    (s, {tag: v}) for s, v in zip(*map(np.ndarray.tolist, curve), strict=True) if s <= run.steps
                ]
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):  # a file of no use is written anew
            before = json.loads((run.path / FILE).read_text("utf-8"))
            self.plain = [f for f in before if int(f["step"]) <= run.steps]
            self.known = {str(f["cause"]) for f in self.plain}

    def on_evaluation(self, run: View) -> None:
        self._take(run, evaluated=True)

    def on_update(self, run: View) -> None:
        began = time.perf_counter()
        self._take(run, evaluated=False)
        if run.steps >= FIRST * self.case.total and self.spent + self.cost <= SHARE * run.seconds:
            self._judge(run)
            self.cost = time.perf_counter() - began
        self.spent += time.perf_counter() - began

    def _take(self, run: View, evaluated: bool) -> None:
        """Keep the scalars of an evaluation, or all others: `run.scalars` holds the latest of both."""
        fresh = {tag: v for tag, v in run.scalars.items() if tag.startswith(("eval/", "val/")) == evaluated}
        self.logs.append((run.steps, fresh))

    def _curves(self) -> dict[str, Curve]:
        points: dict[str, dict[int, float]] = {}
        for step, scalars in self.logs:
            for tag, value in scalars.items():
                points.setdefault(tag, {})[step] = value
        return {tag: Curve(np.array([*p]), np.array([*p.values()], dtype=np.float64)) for tag, p in points.items()}

    def _judge(self, run: View) -> None:
        self.case.curves = self._curves()
        self.case.step = run.steps
        fresh = [f for f in findings_of(self.case, live=True) if not f.hint and f.cause not in self.known]
        for finding in fresh:
            self.known.add(finding.cause)
            self.plain.append(finding.at(run.steps).plain())
            run.say("\n".join([f"step {run.steps:,}:", *finding.lines()]))
            run.log_text(f"findings/{finding.cause}", "  \n".join(finding.lines()))
        if fresh:
            run.write_text(FILE, json.dumps(self.plain, indent=2) + "\n")
