"""Search: trials are groups of runs in processes, which the study asks for, prunes and is told of.

Trials that differ in nothing but numbers that can be rows of tensors are trained as one program, in one process.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_gym.agents.stacked import AGENTS, numbers_of
from agent_gym.diagnosis.curves import read_curves
from agent_gym.ground.errors import UserError, one_line
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group, is_group
from agent_gym.many.pool import Pool, Worker
from agent_gym.many.search import study as studies
from agent_gym.many.search.problem import Problem
from agent_gym.many.search.running import Running
from agent_gym.many.train_group import batches, new_group
from agent_gym.storage.events import PREFIX
from agent_gym.training.signals import StopSignal

SEVERAL = 8  # trials of one program where all settings that are searched can differ within it
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
    """Programs side by side; 0: as many as the usable cores hold."""
    seconds: float
    """0: no end."""
    engine: Engine = field(default_factory=Engine)
    several: int = 0
    """Trials of one program, which have all settings in common but numbers; 0: SEVERAL where only such are searched."""


class Sweep:
    """One search in a folder: trials/<number>/ are groups of runs."""

    def __init__(self, folder: Path, problem: Problem, study: Any, plan: Plan, quiet: bool) -> None:
        self.folder, self.problem, self.study, self.plan, self.quiet = folder, problem, study, plan, quiet
        self.running: list[Running] = []
        self.left_over: list[Any] = []
        """Trials that have begun and are not being trained."""
        self.apart: set[int] = set()
        """Those of them that are trained each by itself, by number."""
        self.tag, self.sign = OBJECTIVES[problem.kind]
        self.together = plan.engine.engine == "auto" and problem.name in AGENTS
        """Whether the seeds of a trial are one program, as far as is known."""
        numbers = numbers_of(problem.name)
        self.others = [name for name in problem.space if name not in numbers]
        """What is searched and has to be the same for all trials of a program."""
        self.several = (plan.several or (1 if self.others else SEVERAL)) if self.together else 1

    def search(self) -> int:
        """Until there are enough trials, the time is over, or a signal comes, whose exit code it returns (else 0).

        Trials that run then are saved and go on with the next call. Raises UserError.
        """
        end = time.monotonic() + self.plan.seconds if self.plan.seconds else float("inf")
        self.left_over, told = studies.unfinished(self.study), False
        with self.plan.engine.pool() as pool, StopSignal() as stop:  # in this order: Ray takes the signals for itself
            self.pool: Pool = pool
            while True:
                jobs = self.plan.jobs or max(pool.capacity() // (1 if self.together else self.plan.seeds), 1)
                late = bool(stop) or time.monotonic() >= end
                if late and not told:
                    pool.stop()
                    told = True
                while not late and self.programs() < jobs and self.wanted():
                    self.begin(self.asked())
                if not pool.workers and (late or not self.wanted()):
                    return stop.exit_code
                for worker, event in pool.events(LOOK):
                    self.hear(worker, event, stopping=told)

    def wanted(self) -> int:
        """How many more trials to train."""
        begun = len(studies.ended(self.study)) + sum(not running.over for running in self.running)
        return len(self.left_over) or max(self.plan.trials - begun, 0)

    def programs(self) -> int:
        """How many are being trained; trials whose seeds are no one program count as one each."""
        return len(self.pool.workers) if self.together else len(self.running)

    def asked(self) -> list[Any]:
        """The trials of the next program: those that were left over, or new ones."""
        count = min(self.several, self.wanted())
        if self.left_over:
            first, *others = self.left_over
            found = [first, *[trial for trial in others if self.alike(first, trial)][: count - 1]]
            self.left_over = [trial for trial in others if trial not in found]
            return found
        trials = [self.study.ask()]
        self.drawn(trials[0])
        with studies.holding(self.study, self.shared(trials[0])):
            for _ in range(count - 1):
                trials.append(self.study.ask())
                self.drawn(trials[-1])
        return trials

    def drawn(self, trial: Any) -> dict[str, Any]:
        """The settings of a trial."""
        return {name: what.draw(trial, name) for name, what in self.problem.space.items()}

    def shared(self, trial: Any) -> dict[str, Any]:
        """What other trials have to have in common with it to be trained with it, as the study has it."""
        return {name: trial.params.get(name) for name in self.others}

    def alike(self, trial: Any, other: Any) -> bool:
        """Whether they can be one program, as far as is known."""
        return not {trial.number, other.number} & self.apart and self.shared(trial) == self.shared(other)

    def begin(self, trials: list[Any]) -> None:
        """Train trials, on from where they stand."""
        begun = [running for trial in trials if (running := self.prepared(trial)) is not None]
        self.running += begun
        if self.together:
            self.train([running for running in begun if running.left()])
        for running in begun:
            if not self.together:
                running.workers = [
                    self.pool.start((running.group, seeds)) for seeds in batches(running.group, list(running.left()))
                ]
            if not running.workers:
                self.conclude(running)

    def train(self, several: list[Running]) -> None:
        """As one program."""
        if several:
            worker = self.pool.start(*((running.group, running.left()) for running in several))
            for running in several:
                running.workers.append(worker)

    def prepared(self, trial: Any) -> Running | None:
        """A trial with its group of runs; None where its settings do not go together. Raises UserError."""
        path, params = self.folder / "trials" / f"{trial.number:04d}", self.drawn(trial)
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
            return None
        known = {seed: self.known(group, seed) for seed in group.seeds}
        return Running(trial, group, known, told=set(studies.stages(self.study, trial)))

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
        trials = [running for running in self.running if worker in running.workers]
        if isinstance(event, dict):
            group = worker.parts[event["part"]][0]
            running = next(each for each in trials if each.group is group)
            score = event.get("score")
            if score is not None and not running.over:
                running.scores[event["seed"]][event["step"]] = self.sign * score
                self.report(running)
            return
        for running in trials:
            running.workers.remove(worker)
        left = [running for running in trials if not running.over]
        if stopping:
            self.running = [running for running in self.running if running.workers or running not in trials]
        elif left and len(trials) > 1 and (event or worker.alone):  # one failed, or they are too different
            self.several = 1 if worker.alone else self.several
            self.apart |= {running.trial.number for running in left}
            self.left_over += [running.trial for running in left]
            self.running = [running for running in self.running if running not in left]
        elif left and event:
            why = worker.problem()
            studies.fail(self.study, left[0].trial, why)
            self.say(left[0].trial, f"failed: {why[:100]}")
            self.leave(left[0])
            self.give_up(why)
        elif left and worker.alone:
            self.together, self.several = False, 1
            left[0].group.set_together(())
            left[0].workers += [self.pool.start((left[0].group, (seed,))) for seed in worker.seeds]
        else:
            for running in left:
                if not running.workers:
                    self.conclude(running)
        for running in trials:
            if running.over and not running.workers and running in self.running:
                self.clear(running)

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
        """A trial that the study has been told of: its workers end, or go on with others alone."""
        running.over = True
        for worker in running.workers:
            if all(each.over for each in self.running if worker in each.workers):
                worker.kill()
            else:
                running.group.give_up()
        if not running.workers:
            self.clear(running)

    def clear(self, running: Running) -> None:
        """Nobody trains it any more: its curves stay, its weights go."""
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
