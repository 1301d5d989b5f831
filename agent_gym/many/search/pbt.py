"""Population-based training (Jaderberg et al. 2017): members train together, and the worst go on from the best.

At each tenth of the steps a member of the worst quarter takes over weights, statistics, optimizer and settings of one
of the best quarter, and its settings are then changed: numbers by a fifth, choices to a neighbour. How good a member
is, its latest 100 training episodes say. Whatever is drawn follows from seed and round, so a search that was killed
takes the same way.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.agents.stacked import CHANGEABLE, POPULATIONS
from agent_gym.agents.stacked.on_policy import StackedOnPolicy
from agent_gym.ground.errors import UserError, nearest, unwritable
from agent_gym.many.group import Group, is_group
from agent_gym.many.search.problem import Problem
from agent_gym.many.search.space import Choice, Space, Span, read
from agent_gym.many.stacked import NotTogether, train_stacked
from agent_gym.many.train_group import finish
from agent_gym.storage.files import write_text
from agent_gym.storage.lock import RunLock

ROUNDS = 10
CHANGE = 1.25
FILE = "pbt.json"


def tunable(space: Space, origin: str, own: bool) -> Space:
    """What of a space members may change. Raises UserError for what they may not, if the space is the user's `own`."""
    for name in space:
        if own and name not in CHANGEABLE:
            raise UserError(
                f"--pbt: {name} in {origin} cannot change while a network learns{nearest(name, CHANGEABLE)}; expected "
                f"some of {', '.join(CHANGEABLE)}"
            )
    found = {name: what for name, what in space.items() if name in CHANGEABLE}
    if not found:
        raise UserError(f"--pbt: {origin} holds none of {', '.join(CHANGEABLE)}")
    return found


def drawn(what: Span | Choice, rng: np.random.Generator) -> Any:
    """A first value."""
    if isinstance(what, Choice):
        return read(what.values[rng.integers(len(what.values))])
    low, high = (math.log(what.low), math.log(what.high)) if what.log else (what.low, what.high)
    value = rng.uniform(low, high)
    return min(max(math.exp(value) if what.log else value, what.low), what.high)


def changed(what: Span | Choice, value: Any, rng: np.random.Generator) -> Any:
    """A value near another."""
    up = bool(rng.integers(2))
    if isinstance(what, Choice):
        place = what.values.index(value) + (1 if up else -1)
        return what.values[min(max(place, 0), len(what.values) - 1)]
    return min(max(value * CHANGE if up else value / CHANGE, what.low), what.high)


class Population:
    """The members of a group with the settings that each has now."""

    def __init__(self, problem: Problem, members: int) -> None:
        self.space, self.seed = problem.space, problem.config.seed
        self.interval = max(problem.config.total_steps // ROUNDS, 1)
        rng = np.random.default_rng((self.seed, 0))
        self.settings = [{name: drawn(what, rng) for name, what in self.space.items()} for _ in range(members)]
        self.history: list[list[dict]] = [[] for _ in range(members)]
        self.views: list[Any] = [None] * members
        self.fresh = set(range(members))  # whose agents do not have their settings yet
        self.round = 0

    def before(self, member: int, run: Any) -> None:
        """Take in what a checkpoint says of a member. Raises UserError."""
        stored = {} if run.run is None else run.run.state.get("pbt", {})
        if not stored:
            return
        try:
            settings = {name: float(stored["settings"][name]) for name in self.space}
            self.round, self.history[member] = int(stored["round"]), list(stored["history"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{run.run.path} is of another search: choose another --run-dir") from error
        self.settings[member] = settings

    def position(self, member: int) -> dict:
        state = {"settings": self.settings[member], "round": self.round, "history": self.history[member]}
        return {"pbt": state}

    def callback(self, member: int) -> Any:
        return Kept(self.views, member)

    def __call__(self, stack: StackedOnPolicy) -> None:
        """Between two rounds of training."""
        for member in self.fresh:
            stack.set(member, **self.settings[member])
        self.fresh = set()
        steps = stack.agents[0].steps
        if steps // self.interval <= self.round or steps >= stack.agents[0].total_steps:
            return
        self.round = steps // self.interval
        scores = np.array([float(a.window[0].mean()) if a.window.numel() else -math.inf for a in stack.agents])
        order, rng = np.argsort(scores, kind="stable"), np.random.default_rng((self.seed, self.round))
        quarter = max(len(scores) // 4, 1)
        for target in order[:quarter]:
            source = int(rng.choice(order[-quarter:]))
            if not scores[source] > scores[target]:
                continue
            stack.copy(source, int(target))
            was = self.settings[source]
            self.settings[target] = {n: changed(what, was[n], rng) for n, what in self.space.items()}
            stack.set(int(target), **self.settings[target])
            self.history[target] = [*self.history[source], {"step": steps, "from": source, **self.settings[target]}]
        for member, view in enumerate(self.views):
            view.log({f"pbt/{name}": value for name, value in self.settings[member].items()})


class Kept:
    """A callback that keeps the view of its run."""

    def __init__(self, views: list[Any], member: int) -> None:
        self.views, self.member = views, member

    def on_start(self, view: Any) -> None:
        self.views[self.member] = view


def run_pbt(problem: Problem, members: int, folder: Path, quiet: bool) -> tuple[int, dict[str, Any]]:
    """Train a population, on from where it stands. The exit code, and what was found. Raises UserError."""
    if members < 2:
        raise UserError(f"--pbt --trials {members}: expected a population of 2 or more")
    if problem.name not in POPULATIONS:
        raise UserError(f"--pbt trains {' and '.join(POPULATIONS)}, and not {problem.name}: leave it out")
    population, path = Population(problem, members), folder / "members"
    folder.mkdir(parents=True, exist_ok=True)
    lock = RunLock(folder)
    try:
        config = replace(problem.config, num_threads=problem.config.num_threads or 1)
        if is_group(path):
            group = Group.open(path)
            if len(group.seeds) != members or group.stored.name != problem.name:
                raise UserError(f"{path} holds another population: choose another --run-dir, or the same --trials")
        else:
            settings = json.loads(json.dumps(asdict(config)))
            group = Group.create(path, problem.kind, problem.name, settings, tuple(range(members)))
        try:
            code = train_stacked([(group, member) for member in group.seeds], between=population)
        except NotTogether as reason:
            raise UserError(f"--pbt trains members as one program, and {reason}") from None
        if code:
            print("stopped: all members are saved; the same command goes on")
            return code, {}
        found = finish(group, quiet)
        best = int(np.argmax(found["scores"]))
        told = {"best": best, "score": found["scores"][best], "settings": population.settings}
        told |= {"history": population.history, "path": str(group.folder(best))}
        try:
            write_text(folder / FILE, json.dumps(told, indent=2) + "\n")
        except OSError as error:
            raise unwritable("what the population came to", folder, error, "the same command goes on") from error
        steps = len(population.history[best])
        print(f"best: member {best} with {told['score']:.4g}; its settings were changed {steps} times")
        return 0, told
    finally:
        lock.release()
