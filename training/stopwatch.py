"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PARTS = ("environment", "acting", "learning", "evaluation", "logging", "checkpoints")


class Stopwatch:
    """Seconds by part, and how many of them this thread had no processor: it waited for workers, a disk, a device, or
    because other programs had the cores. Acting is what collecting takes beside the environment's own steps."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.perf_counter
        """The time in seconds, from no particular moment."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.waited = dict.fromkeys(PARTS, 0.0)
        self._read = self._now()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done in this context."""
        began, worked = self.now(), time.thread_time()
        try:
            yield
        finally:
            took = self.now() - began
            self.seconds[name] += took
            self.waited[name] += took - (time.thread_time() - worked)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted under `name` and taken from that of acting, in which it is called."""
        seconds, waited, clock, work = self.seconds, self.waited, time.perf_counter, time.thread_time

        def call(*args: Any) -> Any:
            began, worked = clock(), work()
            try:
                return function(*args)
            finally:
                took = clock() - began
                idle = took - (work() - worked)
                seconds[name] += took
                seconds["acting"] -= took
                waited[name] += idle
                waited["acting"] -= idle

        return call

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What `timed` counts in this context does not count: it is part of an evaluation."""
        clocks = (self.seconds, self.waited)
        kept = [{name: clock[name] for name in ("environment", "acting")} for clock in clocks]
        try:
            yield
        finally:
            for clock, before in zip(clocks, kept, strict=True):
                clock |= before

    def read(self) -> dict[str, float]:
        """Shares of the time since the last reading, as scalars; nothing where no time has passed. The parts add up to
        1, `time/waiting` lies within them."""
        before, self._read = self._read, self._now()
        took = {name: value - before[name] for name, value in self._read.items()}
        total = sum(took[name] for name in PARTS)
        return {f"time/{name}": max(value, 0.0) / total for name, value in took.items()} if total > 0 else {}

    def _now(self) -> dict[str, float]:
        return self.seconds | {"waiting": sum(self.waited.values())}
