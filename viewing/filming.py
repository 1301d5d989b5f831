"""How far a film is, on standard error."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agent_gym.viewing.player import Show

SECONDS = 10.0  # between two lines where there is no terminal


class FilmProgress:
    """A bar on a terminal, a line every ten seconds elsewhere; called after each picture of the show."""

    def __init__(self, show: Show) -> None:
        self.show = show
        spec = show.taps[0].spec
        self.limit = (spec.max_episode_steps if spec else None) or 0
        self.rounds = show.episodes // len(show.taps)
        self.count = self.done = self.step = 0
        self.started = self.said = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("filming", total=self.rounds * self.limit or None)

    def __enter__(self) -> FilmProgress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self) -> None:
        self.count, self.step = self.count + 1, self.step + 1
        text = self.text()
        if self.show.round_over:
            self.done, self.step = self.done + 1, 0
        if self.bar:
            # The time limit is the most that an episode can take: the bar may jump ahead, and never back.
            completed = self.done * self.limit + min(self.step, self.limit)
            self.bar.update(self.task, completed=completed, description=text)
        elif time.monotonic() - self.said >= SECONDS:
            self.said = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def text(self) -> str:
        first = self.done * len(self.show.taps) + 1
        last = first + len(self.show.taps) - 1
        which = f"episode {first}" if first == last else f"episodes {first} to {last}"
        speed = self.count / max(time.monotonic() - self.started, 1e-9)
        return f"filming {which} of {self.show.episodes}: {self.count:,} pictures, {speed:,.0f} a second"
