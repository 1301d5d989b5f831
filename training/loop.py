"""The training loop: collect, update, log, evaluate, save."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from agent_gym.storage.run import Run
from agent_gym.storage.segments import History
from agent_gym.training.callbacks import Callbacks
from agent_gym.training.progress import Progress
from agent_gym.training.signals import StopSignal


class Trainee(Protocol):
    """What the loop trains: an agent with its environments, or a task with its data."""

    steps: int
    """Position on the x-axis: environment steps or optimizer steps."""
    total_steps: int
    model: nn.Module
    """What acting or predicting needs; best.pt holds it alone."""
    history: History | None
    """What `state_dict` leaves out because it is too large to be written whole each time."""

    def collect(self) -> dict[str, float]:
        """Gather the next batches and advance `steps`; returns scalars under full tags."""

    def update(self) -> dict[str, Tensor]:
        """Learn from them; returns scalars, logged under train/."""

    def begin(self) -> None:
        """Called once before the first `collect` of a new run."""

    def restart(self) -> None:
        """Called at each checkpoint: bring what cannot be saved into a state that `steps` and the seed determine."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class Every:
    """Due once in each interval of `every` steps."""

    def __init__(self, every: int, step: int = 0) -> None:
        self.every, self.count = every, step // every

    def __call__(self, step: int) -> bool:
        due = step // self.every > self.count
        self.count = step // self.every
        return due


def train(
    agent: Trainee,
    run: Run,
    evaluate: Callable[[], tuple[float, dict[str, float]]],
    progress: Progress,
    stop: StopSignal,
    record: Callable[[int], None],
    callbacks: Callbacks,
    *,
    eval_every: int,
    checkpoint_every: int,
    log_every: int,
    pause: float,
    clock: dict,
    meter: Meter,
) -> None:
    """Train until `agent.total_steps` or until `stop`.

    `evaluate()` returns a score (higher is better, it picks best.pt) and scalars under full tags; `record(step)` may
    film the agent.
    `pause`: seconds without another last.pt after one; environments begin anew and curves have a point regardless.
    `clock` carries wall_time (seconds of training without evaluation) and best (score) across a resume, `meter` the
    scalars that are not logged yet.
    """
    eval_due, checkpoint_due, log_due = (Every(n, agent.steps) for n in (eval_every, checkpoint_every, log_every))
    saved = float("-inf")  # when
    while agent.steps < agent.total_steps and not stop:
        started = time.perf_counter()
        rollout = agent.collect()
        callbacks.at("on_rollout", rollout)
        meter.add(rollout, agent.update())
        if callbacks.take("stop"):
            agent.total_steps = agent.steps
        finished = agent.steps >= agent.total_steps
        clock["wall_time"] += time.perf_counter() - started
        meter.seconds += time.perf_counter() - started

        save = checkpoint_due(agent.steps) or finished or callbacks.take("checkpoint")
        if log_due(agent.steps) or save:
            scalars = meter.read(agent.steps)
            run.log(scalars, agent.steps)
            progress.show(agent.steps, scalars)
            callbacks.at("on_update", scalars)
        if eval_due(agent.steps) or finished or callbacks.take("evaluation"):
            score, scalars = evaluate()
            run.log(scalars, agent.steps)
            callbacks.at("on_evaluation", scalars)
            if score >= clock["best"]:
                clock["best"] = score
                run.save_best({"agent": {"model": agent.model.state_dict(), "steps": agent.steps}})
            finished = agent.steps >= agent.total_steps  # an evaluation may end the run
        record(agent.steps)
        if save or finished or stop:
            started = time.perf_counter()
            agent.restart()
            if finished or stop or started - saved >= pause:
                run.save_last({"agent": agent.state_dict(), "clock": clock, "meter": meter.state_dict()}, agent.history)
                saved = time.perf_counter()
                callbacks.at("on_checkpoint")
            clock["wall_time"] += time.perf_counter() - started


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
