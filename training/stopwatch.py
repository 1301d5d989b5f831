"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PARTS = ("environment", "acting", "learning", "evaluation", "logging", "checkpoints")


class Stopwatch:
    """Seconds by part. Acting is what collecting takes beside the environment's own steps."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._read = dict(self.seconds)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done in this context."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - began

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted under `name` and taken from that of acting, in which it is called."""
        seconds, clock = self.seconds, time.perf_counter

        def call(*args: Any) -> Any:
            began = clock()
            try:
                return function(*args)
            finally:
                took = clock() - began
                seconds[name] += took
                seconds["acting"] -= took

        return call

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What `timed` counts in this context does not count: it is part of an evaluation."""
        kept = {name: self.seconds[name] for name in ("environment", "acting")}
        try:
            yield
        finally:
            self.seconds |= kept

    def read(self) -> dict[str, float]:
        """Shares of the time since the last reading, as scalars; nothing where no time has passed."""
        now = {name: self.seconds[name] - self._read[name] for name in PARTS}
        self._read = dict(self.seconds)
        total = sum(now.values())
        return {f"time/{name}": max(value, 0.0) / total for name, value in now.items()} if total > 0 else {}
