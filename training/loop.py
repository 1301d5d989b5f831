"""The training loop: collect, update, log, save, evaluate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from agent_gym.ground.errors import Interrupted
from agent_gym.storage.run import Run
from agent_gym.storage.segments import History
from agent_gym.training.callbacks import Callbacks
from agent_gym.training.evaluation import Watch
from agent_gym.training.progress import Progress
from agent_gym.training.signals import StopSignal
from agent_gym.training.stopwatch import Stopwatch


class Trainee(Protocol):
    """What the loop trains: an agent with its environments, or a task with its data."""

    steps: int
    """Position on the x-axis: environment steps or optimizer steps."""
    total_steps: int
    model: nn.Module
    """What acting or predicting needs; best.pt holds it alone."""
    history: History | None
    """What `state_dict` leaves out because it is too large to be written whole each time."""

    notes: list[str]
    """Lines for the reader, about a state that was taken over."""
    interrupted: Callable[[], bool]
    """Asked in the midst of `collect` and `update` whether to stop there."""

    def collect(self) -> dict[str, float] | None:
        """Gather the next batches and advance `steps`; returns scalars under full tags.

        None where it was interrupted: `state_dict` holds what there is, and the next call goes on with it.
        """

    def update(self) -> dict[str, Tensor] | None:
        """Learn from them; returns scalars, logged under train/. None where it was interrupted, as for `collect`."""

    def facts(self) -> dict[str, float]:
        """Numbers that whoever acts with the model wants to know."""

    def begin(self) -> None:
        """Called once before the first `collect` of a new run."""

    def settle(self) -> None:
        """Called where a checkpoint is due, written or not: prepare to be saved at less cost."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class Intervals(NamedTuple):
    """Steps between the things that are done now and then; 0: never."""

    evaluate: int
    checkpoint: int
    log: int
    film: int = 0


class Every:
    """Due once in each interval of `every` steps; never where that is 0."""

    def __init__(self, every: int, step: int = 0) -> None:
        self.every, self.count = every, step // every if every else 0

    def __call__(self, step: int) -> bool:
        if not self.every:
            return False
        due = step // self.every > self.count
        self.count = step // self.every
        return due


class Moment(NamedTuple):
    """When the trainee is looked at, and by whom."""

    step: int
    last: bool
    """Nothing more is learned after it, unless it says so."""
    clock: dict
    """What a checkpoint keeps of the looking; see `train`."""
    watch: Watch


class Pause:
    """Whether it is time for another checkpoint. Runs that share one are answered alike at the same step."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.saved, self.answer = seconds, -math.inf, (-1, True)

    def over(self, step: int) -> bool:
        if self.answer[0] != step:
            self.answer = step, time.perf_counter() - self.saved >= self.seconds
        return self.answer[1]

    def begin(self) -> None:
        """A checkpoint has been written."""
        self.saved = time.perf_counter()


Look = Callable[[Moment], "tuple[float, dict[str, float]] | None"]


def new_clock() -> dict:
    """The clock of a run that begins: see `train`."""
    numbers = {"wall_time": 0.0, "evaluation_time": 0.0, "evaluation_steps": 0, "evaluation_length": 0.0}
    numbers |= {"asked": 0}
    return numbers | {"best": -math.inf, "best_step": 0, "last": math.nan, "last_step": -1}


def train(
    agent: Trainee,
    run: Run,
    evaluate: Look,
    record: Callable[[Moment], None],
    progress: Progress,
    stop: StopSignal,
    callbacks: Callbacks,
    *,
    every: Intervals,
    pause: Pause,
    clock: dict,
    meter: Meter,
    owed: list[str],
    stopwatch: Stopwatch,
) -> Iterator[None]:
    """Train until `agent.total_steps` or until `stop`; save first, look then. Between rounds others may have a turn.

    `evaluate` returns a score (higher is better, it picks best.pt) and scalars under full tags, or None where it was
    left out; `record` films the agent. Both may be given up in the middle: a checkpoint says in `owed` what is still
    to be done at its step, and a resumed run begins with that.
    `pause`: when there may be another last.pt; environments settle and curves have a point regardless.
    `clock` carries seconds of training and of evaluation, the best and the last score with their steps, what
    evaluations have played, and the step at which it was last asked what is due, across a resume; `meter` the scalars
    that are not logged yet. `stopwatch` tells the time and learns where it goes.
    """
    changed = bool(owed)  # is there anything that the latest checkpoint does not hold?
    due = {name: Every(interval, clock["asked"]) for name, interval in every._asdict().items()}

    def save() -> None:
        with stopwatch.part("checkpoints"):
            _save()
        callbacks.at("on_checkpoint")

    def _save() -> None:
        nonlocal changed
        state = {"agent": agent.state_dict(), "clock": clock, "meter": meter.state_dict(), "owed": list(owed)}
        run.save_last(state, agent.history)
        pause.begin()
        changed = False

    while True:
        while owed and not stop:
            moment = Moment(
                agent.steps,
                agent.steps >= agent.total_steps,
                clock,
                Watch(stop.asked, partial(progress.evaluating, "evaluation"), progress.say),
            )
            try:
                with stopwatch.part("evaluation"), stopwatch.paused():
                    look(agent, run, evaluate, progress, callbacks, moment) if owed[0] == "evaluate" else record(moment)
            except Interrupted:
                break
            owed, changed = owed[1:], True
        if agent.steps >= agent.total_steps:
            break
        yield
        if stop:
            break
        started = stopwatch.now()
        changed = True
        with stopwatch.part("acting"):
            scalars = agent.collect()
        if scalars is not None:
            callbacks.at("on_rollout", scalars)
        with stopwatch.part("learning"):
            stats = None if scalars is None else agent.update()
        if callbacks.take("stop"):
            agent.total_steps = agent.steps
        finished = agent.steps >= agent.total_steps
        clock["wall_time"] += stopwatch.now() - started
        meter.seconds += stopwatch.now() - started
        if stats is None:
            break
        meter.add(scalars, stats)

        clock["asked"] = agent.steps
        owed = [name for name in ("evaluate", "film") if due[name](agent.steps)]
        if (callbacks.take("evaluation") or (finished and every.evaluate)) and "evaluate" not in owed:
            owed.insert(0, "evaluate")
        checkpoint = due["checkpoint"](agent.steps) or finished or callbacks.take("checkpoint")
        if due["log"](agent.steps) or checkpoint:
            with stopwatch.part("logging"):
                scalars = meter.read(agent.steps) | stopwatch.read()
                run.log(scalars, agent.steps)
                progress.show(agent.steps, scalars)
                callbacks.at("on_update", scalars)
        started = stopwatch.now()
        if checkpoint:
            agent.settle()
        if finished or ((checkpoint or owed) and pause.over(agent.steps)):
            save()
        clock["wall_time"] += stopwatch.now() - started
    if clock["best"] == -math.inf and agent.steps >= agent.total_steps and not owed:
        clock["best_step"], changed = agent.steps, True
        run.save_best(best_state(agent))
    if changed:
        save()


def look(agent: Trainee, run: Run, evaluate: Look, progress: Progress, callbacks: Callbacks, moment: Moment) -> None:
    """Evaluate, log the scalars and keep the model where it is the best so far. Raises Interrupted."""
    clock, started = moment.clock, time.perf_counter()
    try:
        found = evaluate(moment)
    finally:
        clock["evaluation_time"] += time.perf_counter() - started
        progress.evaluated()
    if found is None:
        return
    score, scalars = found
    run.log(scalars, moment.step)
    callbacks.at("on_evaluation", scalars)
    clock["last"], clock["last_step"] = score, moment.step
    if score >= clock["best"]:
        clock["best"], clock["best_step"] = score, moment.step
        run.save_best(best_state(agent))


def best_state(agent: Trainee) -> dict:
    """What best.pt holds of a trainee."""
    return {"agent": {"model": agent.model.state_dict(), "steps": agent.steps, **agent.facts()}}


class Meter:
    """Means of the scalars since the last reading. Tensors are read here, once per log interval."""

    def __init__(self, step: int) -> None:
        self.step, self.seconds = step, 0.0
        self.scalars: dict[str, float] = {}
        self.stats: dict[str, list[Tensor]] = {}

    def add(self, scalars: dict[str, float], stats: dict[str, Tensor]) -> None:
        self.scalars |= scalars
        for name, value in stats.items():
            self.stats.setdefault(name, []).append(value)

    def read(self, step: int) -> dict[str, float]:
        scalars = dict(self.scalars)
        for name, values in self.stats.items():
            scalars[f"train/{name}"] = sum(map(float, values)) / len(values)
        if self.seconds > 0:
            scalars["time/steps_per_second"] = (step - self.step) / self.seconds
        self.__init__(step)
        return scalars

    def state_dict(self) -> dict:
        """What was added since the last reading, as tensors and plain data."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "scalars": {tag: float(value) for tag, value in self.scalars.items()},
            "stats": {name: torch.stack(values) for name, values in self.stats.items()},
        }

    def load_state_dict(self, state: dict) -> None:
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.scalars = {str(tag): float(value) for tag, value in state["scalars"].items()}
        self.stats = {str(name): list(values.flatten()) for name, values in state["stats"].items() if len(values)}
