"""Search: trials are groups of runs in processes, which the study asks for, prunes and is told of."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.agents.stacked import AGENTS
from agent_gym.diagnosis.curves import read_curves
from agent_gym.ground.errors import UserError, one_line
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group, is_group
from agent_gym.many.pool import Pool, Worker
from agent_gym.many.search import study as studies
from agent_gym.many.search.problem import ROUNDS, Problem
from agent_gym.many.train_group import batches, new_group
from agent_gym.storage.events import PREFIX
from agent_gym.training.score import interquartile_mean
from agent_gym.training.signals import StopSignal

LAST = 2  # evaluations of each seed that its score is made of: one alone is noisy
HOPELESS = 3  # trials that fail before one succeeds
LOOK = 0.5
OBJECTIVES = {"agent": ("eval/episode_return", 1.0), "task": ("val/loss", -1.0)}


@dataclass(frozen=True)
class Plan:
    """How far to search."""

    trials: int
    """Ended trials, with those that the study has already."""
    seeds: int
    """Of each trial, trained as one program where that can be, else side by side."""
    jobs: int
    """Trials side by side; 0: as many as the usable cores hold."""
    seconds: float
    """0: no end."""
    engine: Engine = field(default_factory=Engine)


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


class Sweep:
    """One search in a folder: trials/<number>/ are groups of runs."""

    def __init__(self, folder: Path, problem: Problem, study: Any, plan: Plan, quiet: bool) -> None:
        self.folder, self.problem, self.study, self.plan, self.quiet = folder, problem, study, plan, quiet
        self.running: list[Running] = []
        self.tag, self.sign = OBJECTIVES[problem.kind]
        self.together = plan.engine.engine == "auto" and problem.name in AGENTS
        """Whether the seeds of a trial are one program, as far as is known."""

    def search(self) -> int:
        """Until there are enough trials, the time is over, or a signal comes, whose exit code it returns (else 0).

        Trials that run then are saved and go on with the next call. Raises UserError.
        """
        end = time.monotonic() + self.plan.seconds if self.plan.seconds else float("inf")
        left_over, told = studies.unfinished(self.study), False
        with self.plan.engine.pool() as pool, StopSignal() as stop:  # in this order: Ray takes the signals for itself
            self.pool: Pool = pool
            while True:
                processes = 1 if self.together else self.plan.seeds
                jobs = self.plan.jobs or max(pool.capacity() // processes, 1)
                late = bool(stop) or time.monotonic() >= end
                if late and not told:
                    pool.stop()
                    told = True
                while not late and len(self.running) < jobs and self.wanted(left_over):
                    self.begin(left_over.pop(0) if left_over else self.study.ask())
                if not pool.workers and (late or not self.wanted(left_over)):
                    return stop.exit_code
                for worker, event in pool.events(LOOK):
                    self.hear(worker, event, stopping=told)

    def wanted(self, left_over: list) -> bool:
        """Whether there is another trial to train."""
        return bool(left_over) or len(studies.ended(self.study)) + len(self.running) < self.plan.trials

    def begin(self, trial: Any) -> None:
        """Train a trial, on from where it stands."""
        path = self.folder / "trials" / f"{trial.number:04d}"
        params = {name: what.draw(trial, name) for name, what in self.problem.space.items()}
        try:
            if is_group(path):
                group = Group.open(path)
                if not self.together:
                    group.set_together(())
            else:
                shutil.rmtree(path, ignore_errors=True)  # killed before it was written
                first = self.problem.config.seed
                seeds = tuple(range(first, first + self.plan.seeds))
                config = self.problem.settings(params)
                how = {"engine": "auto" if self.together else "processes", "processes": 1}
                how["of"] = self.folder.resolve().name
                group = new_group(self.problem.kind, self.problem.name, config, seeds, path, **how)
        except UserError as error:  # settings that do not go together
            studies.fail(self.study, trial, one_line(error))
            self.say(trial, f"left out: {one_line(error, 100)}")
            self.give_up(one_line(error))
            return
        known = {seed: self.known(group, seed) for seed in group.seeds}
        running = Running(trial, group, known, told=set(studies.stages(self.study, trial)))
        self.running.append(running)
        left = [seed for seed in group.seeds if group.result(seed) is None]
        running.workers = [self.pool.start(group, *seeds) for seeds in batches(group, left)]
        if not running.workers:
            self.conclude(running)

    def known(self, group: Group, seed: int) -> dict[int, float]:
        """What a seed has been scored before a kill, by step."""
        if not list(group.folder(seed).glob(f"{PREFIX}*")):
            return {}
        try:
            curve = read_curves(group.folder(seed)).get(self.tag)
        except UserError:  # not one point yet
            return {}
        if curve is None:
            return {}
        return dict(zip(curve.steps.tolist(), (self.sign * curve.values).tolist(), strict=True))

    def hear(self, worker: Worker, event: dict | int, stopping: bool) -> None:
        """A worker has something to say, or has ended."""
        running = next(each for each in self.running if worker in each.workers)
        if isinstance(event, dict):
            score = event.get("score")
            if score is not None and not running.over:
                running.scores[event["seed"]][event["step"]] = self.sign * score
                self.report(running)
            return
        running.workers.remove(worker)
        if running.over or stopping:
            if not running.workers:
                self.running.remove(running)
        elif event:
            why = worker.problem()
            studies.fail(self.study, running.trial, why)
            self.say(running.trial, f"failed: {why[:100]}")
            self.leave(running)
            self.give_up(why)
        elif worker.alone:
            self.together = False
            running.group.set_together(())
            running.workers += [self.pool.start(running.group, seed) for seed in worker.seeds]
        elif not running.workers:
            self.conclude(running)

    def report(self, running: Running) -> None:
        """Tell the study of each new stage; end the trial where it says so."""
        while (stage := running.stage()) is not None:
            running.reported, value = stage
            place = running.place(self.problem)
            if place not in running.told:
                running.trial.report(value, place)
                running.told.add(place)
            if running.trial.should_prune():
                studies.prune(self.study, running.trial)
                self.say(running.trial, f"pruned at step {running.reported:,} with {value:.4g}")
                self.leave(running)
                return

    def conclude(self, running: Running) -> None:
        """All seeds of a trial have come to their end."""
        try:
            value = running.value()
        except UserError as error:
            studies.fail(self.study, running.trial, one_line(error))
            self.say(running.trial, f"failed: {one_line(error)}")
        else:
            self.study.tell(running.trial, value)
            self.say(running.trial, f"{value:.4g}")
        self.leave(running)

    def leave(self, running: Running) -> None:
        """A trial that the study has been told of: its workers end, its curves stay, its weights go."""
        running.over = True
        for worker in running.workers:
            worker.kill()
        if not running.workers:
            self.running.remove(running)
        for seed in running.group.seeds:
            shutil.rmtree(running.group.folder(seed) / "checkpoints", ignore_errors=True)

    def give_up(self, why: str) -> None:
        """Raise UserError where nothing but failures has come so far."""
        ended = studies.ended(self.study)
        if len(ended) >= HOPELESS and all(trial.state.name == "FAIL" for trial in ended):
            raise UserError(f"the first {len(ended)} trials failed, the last with: {why}")

    def say(self, trial: Any, text: str) -> None:
        if not self.quiet:
            done = len(studies.ended(self.study))
            print(f"trial {trial.number}: {text}   {done} of {self.plan.trials}", flush=True)
