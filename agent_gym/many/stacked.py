"""Seeds of one group or more trained in this process as one batched program, each in a run directory of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from agent_gym.agents.agent import Agent
from agent_gym.agents.stacked.kinds import refusal, stack
from agent_gym.agents.stacked.members import Members
from agent_gym.composing.agent_run import AgentRun
from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import restore_config
from agent_gym.composing.resume import reopen
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.stacked import stacked
from agent_gym.ground.errors import UserError
from agent_gym.many.group import Group
from agent_gym.storage.checkpoint import FOLDER, latest_checkpoint
from agent_gym.training.callbacks import Callbacks
from agent_gym.training.loop import Pause
from agent_gym.training.running import PAUSE, Rounds, begin_session
from agent_gym.training.signals import StopSignal


class Clock:
    """A run's time where many are trained by one call: its own, and its share of that."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return time.perf_counter() + self.offset


class Together:
    """What each run asks for once a round, done for all of them when the first one asks."""

    def __init__(self, work: Callable[[], list[Any]], clocks: Sequence[Clock]) -> None:
        self.work, self.clocks = work, clocks
        self.waiting: dict[int, Any] = {}
        self.share = 0.0

    def take(self, member: int) -> Any:
        """The result of one of them."""
        if not self.waiting:
            began = time.perf_counter()
            self.waiting = dict(enumerate(self.work()))
            took = time.perf_counter() - began
            self.clocks[member].offset -= took
            self.share = took / len(self.clocks)
        self.clocks[member].offset += self.share
        return self.waiting.pop(member)


class Between(Protocol):
    """What is done with all members between two rounds."""

    def before(self, member: int, run: AgentRun) -> None:
        """A member is built, and if it goes on not yet brought to its checkpoint."""

    def __call__(self, members: Members) -> None: ...

    def position(self, member: int) -> dict:
        """What a member's checkpoints hold of it."""

    def callback(self, member: int) -> Any:
        """See training.callbacks."""


Place = tuple[Group, int]
"""A seed of a group."""


def train_stacked(
    places: Sequence[Place],
    callbacks_of: Callable[[Group, int], tuple] = lambda group, seed: (),
    between: Between | None = None,
) -> int:
    """Train these seeds to the end, on from where they stand. Returns the exit code.

    A group that is given up meanwhile is left as it is. Raises NotTogether where they cannot be trained as one program,
    before anything is written, and UserError.
    """
    line_up(places)
    with ExitStack() as held:
        runs = [opened(group, seed, held) for group, seed in places]
        agents = [run.agent for run in runs]
        if reason := "--record writes down one run" if runs[0].recording is not None else refusal(agents):
            raise NotTogether(reason)
        clocks = [Clock() for _ in runs]
        pause = Pause(0.0 if agents[0].config.checkpoint_every else PAUSE)
        sessions = []
        for run, clock, place in zip(runs, clocks, places, strict=True):
            run.stopwatch.now = clock.now
            sessions.append(replace(run.session(callbacks=callbacks_of(*place)), pause=pause))
        for member, run in enumerate(runs if between else ()):
            between.before(member, run)
            callbacks = Callbacks((*sessions[member].callbacks.callbacks, between.callback(member)))
            position = partial(between.position, member)
            sessions[member] = replace(sessions[member], callbacks=callbacks, position=position)
        stop = held.enter_context(StopSignal())
        rounds = [begin_session(session, run.run, run.device) for session, run in zip(sessions, runs, strict=True)]
        for each in rounds:
            held.callback(each.close)
        codes = [0]
        going = advance(dict(enumerate(rounds)), codes)
        members: Members | None = None
        while going:
            left = {member: each for member, each in going.items() if not places[member][0].given_up}
            for each in (each for member, each in going.items() if member not in left):
                each.close()
            if members is None or len(left) < len(going):
                going, members = left, bound([agents[k] for k in left], [clocks[k] for k in left]) if left else None
            if not stop.settle() and between is not None:
                between(members)
            going = advance(going, codes)
        return max(codes)


def bound(agents: Sequence[Agent], clocks: Sequence[Clock]) -> Members:
    """Let what each agent is asked for be done for all of them."""
    members = stack(agents, stacked([agent.env for agent in agents]))
    collect, update = Together(members.collect, clocks), Together(members.update, clocks)
    for member, agent in enumerate(agents):
        agent.collect = partial(collect.take, member)
        agent.update = partial(update.take, member)
    return members


class NotTogether(Exception):
    """These runs cannot be trained as one program; the text says why."""


def advance(rounds: dict[int, Rounds], codes: list[int]) -> dict[int, Rounds]:
    """Those that are not over after another round each; the exit codes of those that are go to `codes`."""
    going = {}
    for member, each in rounds.items():
        try:
            next(each)
            going[member] = each
        except StopIteration as end:
            codes.append(end.value.code)
    return going


def opened(group: Group, seed: int, held: ExitStack) -> AgentRun:
    """A seed's run, ready to train; `held` closes it. Raises UserError."""
    stored, run = group.stored, None
    if group.begun(seed):
        resumed = reopen(group.folder(seed), dict(stored.changes))
        run, config = held.enter_context(closing(resumed.run)), resumed.config
    else:
        check_modules({stored.kind: stored.name} | stored.config, group.path)
        config = restore_config(stored.kind, stored.name, stored.config | stored.changes)
        config = replace(config, **group.own(seed))
    return held.enter_context(closing(AgentRun(stored.name, config, NamedSource(config), run)))


def line_up(places: Sequence[Place]) -> None:
    """Bring runs that a kill has left at neighbouring checkpoints to the earlier one, from which all take the same way.

    Raises NotTogether where they are further apart.
    """
    steps = [steps_of(group, seed) if group.begun(seed) else 0 for group, seed in places]
    earliest = min(steps)
    for (group, seed), step in zip(places, steps, strict=True):
        if step == earliest:
            continue
        folder = group.folder(seed) / FOLDER
        if earliest == 0:
            shutil.rmtree(group.folder(seed))
            continue
        if (folder / "previous.pt").exists():
            os.replace(folder / "previous.pt", folder / "last.pt")
        if steps_of(group, seed) != earliest:
            raise NotTogether("their checkpoints are of different steps")


def steps_of(group: Group, seed: int) -> int:
    """How far a seed's latest checkpoint is. Raises UserError."""
    steps = latest_checkpoint(group.folder(seed))[0]["agent"].get("steps")
    if not isinstance(steps, int):
        raise UserError(f"{group.folder(seed)} has no readable checkpoint: train again")
    return steps
