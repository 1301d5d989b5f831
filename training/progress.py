"""What the terminal shows while a run trains."""

from __future__ import annotations

import sys
import time

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from agent_gym.ground.stdout import let_go

PATIENCE = 5.0  # seconds until a line about an evaluation where there is no bar; then twice as long each time


class Progress:
    """A bar on a terminal; a plain line per tenth of the run elsewhere; nothing when quiet.

    `stand_in` is shown, and logged, in the place of a missing headline.
    """

    def __init__(self, total: int, headline: str, *, stand_in: str = "", quiet: bool = False, start: int = 0) -> None:
        self.total, self.headline, self.stand_in, self.quiet = total, headline, stand_in, quiet
        self.started, self.start, self.tenth = time.perf_counter(), start, 10 * start // total
        self.said: set[str] = set()
        self.evaluation, self.told, self.patience = None, time.perf_counter(), PATIENCE
        self.bar = None
        if not quiet and sys.stdout.isatty():
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self.bar = RichProgress(*columns, console=Console())
            self.task = self.bar.add_task("", total=total, completed=start)

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar:
            self.bar.stop()

    def show(self, step: int, scalars: dict[str, float]) -> None:
        """Show the headline scalar, the speed and the time left at `step`."""
        if self.quiet:
            return
        tag = self.headline if self.headline in scalars or self.stand_in not in scalars else self.stand_in
        value = scalars.get(tag)
        name = tag.rsplit("/", 1)[-1].replace("episode_", "").replace("_", " ")
        text = f"{name} {value:9.4g}" if value is not None else f"{name}         –"
        text += f"   {scalars.get('time/steps_per_second', 0.0):,.0f} steps/s"
        if tag == self.stand_in:
            self.say("no episode has ended yet: the reward per step is shown in place of the return")
        if self.bar:
            self.bar.update(self.task, completed=min(step, self.total), description=text)
        elif 10 * step // self.total > self.tenth:
            self.tenth = 10 * step // self.total
            elapsed = time.perf_counter() - self.started
            left = elapsed * max(self.total - step, 0) / max(step - self.start, 1)
            self.line(f"{step:>12,} / {self.total:,} steps   {text}   {left:.0f} s left")

    def line(self, text: str) -> None:
        """Print it; where nobody reads any more, the run goes on without."""
        try:
            print(text, flush=True)
        except OSError:
            let_go()
            self.say("nobody reads what is printed any more: the run goes on in silence")

    def say(self, text: str) -> None:
        """A line for the reader, once; nothing when quiet."""
        if self.quiet or text in self.said:
            return
        self.said.add(text)
        if self.bar:
            self.bar.console.print(text, style="yellow", highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def evaluating(self, what: str, finished: int, episodes: int) -> None:
        """Show how far an evaluation is: a second bar, or a line every few seconds."""
        now = time.perf_counter()
        if self.quiet or now - self.told < (0.2 if self.bar else self.patience):
            return
        self.told, self.patience = now, 2 * self.patience
        if not self.bar:
            self.line(f"{what}: {finished} of {episodes} episodes")
        elif self.evaluation is None:
            self.evaluation = self.bar.add_task(what, total=episodes, completed=finished)
        else:
            self.bar.update(self.evaluation, total=episodes, completed=finished, description=what)

    def evaluated(self) -> None:
        """An evaluation is over: its bar goes."""
        self.told, self.patience = time.perf_counter(), PATIENCE
        if self.evaluation is not None:
            self.bar.remove_task(self.evaluation)
            self.evaluation = None


def print_opening(config: dict, notes: list[str], *, verbose: bool = False) -> None:
    """A line for each note, in front of them all settings if that is asked for."""
    console = Console(highlight=False)
    if verbose:
        cells = [f"{name} = {value}" for name, value in config.items() if value != ""]
        console.print(Columns(cells, padding=(0, 3)), style="dim")
    for note in notes:
        console.print(note, soft_wrap=True, markup=False)


def print_result(text: str, timing: dict, commands: list[tuple[str, str]]) -> None:
    """The final score and what to type next; no line is broken, so that a log can be searched."""
    console = Console(highlight=False)
    console.print(f"\n{text}", soft_wrap=True, markup=False)
    evaluated = f"; evaluations took {timing['evaluation_time']:.1f} s" if timing["evaluation_time"] >= 0.05 else ""
    console.print(
        f"trained {timing['total_steps']:,} steps in {timing['wall_time']:.1f} s, "
        f"{timing['steps_per_second']:,.0f} steps/s{evaluated}\n",
        soft_wrap=True,
    )
    for command, purpose in commands:
        console.print(f"  {escape(command)}   [dim]# {purpose}[/dim]", soft_wrap=True)
