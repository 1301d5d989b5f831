"""Settings are frozen dataclasses; the range of a number stands beside its field and is checked in one place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_type_hints

from agent_gym.ground.errors import UserError

EVAL_SEED = 20_000  # of the final evaluation and of evaluate.py: not the seed of any training run
MAX_THREADS = 1024  # more than any machine has, and fewer than a system refuses to start


@dataclass(frozen=True)
class Range:
    """What a number, or each number of a tuple, may be."""

    low: float
    high: float = float("inf")
    open_low: bool = False
    """`low` itself is not allowed."""
    open_high: bool = False

    def holds(self, value: Any) -> bool:
        if value is None:
            return True
        if isinstance(value, tuple):
            return all(map(self.holds, value))
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"a number above {self.low:g}" if self.open_low else f"{self.low:g} or more"
        if self.open_low:
            return f"a number above {self.low:g}, at most {self.high:g}"
        return f"{self.low:g} or more and below {self.high:g}" if self.open_high else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Needs:
    """A setting has an effect only where another one has, or has not, one of some values."""

    field: str
    values: tuple = ()
    but: tuple = ()
    """Any value but these."""

    def met(self, settings: Any) -> bool:
        value = getattr(settings, self.field)
        if self.field == "encoder" and ":" in value:
            return True  # what a class of the user's takes cannot be known
        return value in self.values if self.values else value not in self.but

    def __str__(self) -> str:
        if self.values == (True,):
            return flag(self.field)
        if self.values:
            *others, last = map(str, self.values)
            return f"{flag(self.field)} {', '.join(others)}{' or ' if others else ''}{last}"
        others = ", ".join(str(value) for value in self.but if value != "")
        return f"another {flag(self.field)} than {others}" if others else flag(self.field)


POSITIVE = Range(0, open_low=True)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
STEP_SHARE = Range(0, 1, open_low=True)
BELOW_ONE = Range(0, 1, open_high=True)

Count = Annotated[int, Range(1)]
"""A whole number of at least 1."""


def flag(name: str) -> str:
    """The flag of a field: --learning-rate for learning_rate."""
    return f"--{name.replace('_', '-')}"


def check_ranges(settings: Any) -> None:
    """Raise UserError, which names the flag, for a number outside the range that stands beside its field.

    A subclass that only changes a default need not repeat the range.
    """
    ranges = _beside(type(settings), Range)
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, str):  # a word in the place of a number
            continue
        if field.name in ranges and not ranges[field.name].holds(value):
            raise UserError(f"{flag(field.name)} {value}: expected {ranges[field.name]}")


def check_effects(settings: Any, given: Iterable[str]) -> None:
    """Raise UserError, which names the flag, for a setting of the user's that changes nothing."""
    needs = _beside(type(settings), Needs)
    for name in sorted(needs.keys() & set(given)):
        if not needs[name].met(settings):
            other, value = flag(needs[name].field), getattr(settings, needs[name].field)
            how = f"with {other} {value}: it goes with {needs[name]}" if value != "" else f"without {other}"
            raise UserError(f"{flag(name)} has no effect {how}")


_known: dict[tuple[type, type], dict[str, Any]] = {}


def _beside(cls: type, kind: type) -> dict[str, Any]:
    """What stands beside the fields of a class, by name."""
    if (cls, kind) not in _known:
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            own = base.__dict__.get("__annotations__", {})
            hints = get_type_hints(base, include_extras=True) if own else {}
            for name in own:
                for extra in getattr(hints[name], "__metadata__", ()):
                    if isinstance(extra, kind):
                        found[name] = extra
        _known[cls, kind] = found
    return _known[cls, kind]


@dataclass(frozen=True)
class RunSettings:
    """What every run has, of an agent or a task."""

    seed: Annotated[int, NOT_NEGATIVE] = 0
    """Seed of everything random in the run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks and data live."""
    num_threads: Annotated[int, Range(0, MAX_THREADS)] = 0
    """CPU threads of torch; 0: as many as the networks can use."""
    run_dir: str = ""
    """Directory of the run; empty: runs/<environment or data>/<name>-s<seed>-<time>."""
    eval_every: Annotated[int | Literal["auto", "never"], NOT_NEGATIVE] = "auto"
    """Steps (tasks: epochs) between evaluations; auto: ten times in the run (tasks: up to a hundred); 0: never."""
    checkpoint_every: Annotated[int, NOT_NEGATIVE] = 0
    """Steps (tasks: epochs) between checkpoints; 0: ten times in the run."""
    schedule_over: Literal["rest", "whole"] = "rest"
    """When a run goes on to another end: schedules go on over the rest, or are spread over the whole run."""
    log_layers: bool = False
    """Log the gradient norm and the share of dead units of each layer; updates take up to three times as long."""
    track: Literal["none", "mlflow", "wandb"] = "none"
    """Experiment tracker beside TensorBoard, at the server that its own variables name, or in a local file."""
    experiment: Annotated[str, Needs("track", but=("none",))] = ""
    """The tracker's experiment or project; empty: what its own variables say, or agent-gym."""
    run_name: Annotated[str, Needs("track", but=("none",))] = ""
    """The run's name at the tracker; empty: the run directory's."""
    parent_run: Annotated[str, Needs("track", but=("none",))] = ""
    """Name of the tracker's run that this one is nested under, made if there is none; empty: under none."""
    profile: Literal["no", "yes", "try"] = "no"
    """Say at the end where the time went and what would help; try: measure the first suggestion (agents)."""
    track_model: bool = True
    """Export what was learned at the end of the run for the tracker, which takes some seconds."""
    summary: bool = False
    """Print the network layer by layer and stop."""
    verbose: bool = False
    """Print every setting before the run, not only those that differ from the defaults."""
    quiet: bool = False
    """Print the result only."""

    @property
    def scheduled(self) -> bool:
        """Whether anything changes over the run by its settings, such as the learning rate."""
        return any(getattr(self, name, "constant") != "constant" for name in ("schedule", "clip_schedule"))

    @property
    def usual_threads(self) -> int:
        """CPU threads of a task where --num-threads leaves them open."""
        return 1

    def evaluation_interval(self, auto: int | None = None) -> int | None:
        """Steps (tasks: epochs) between evaluations; 0: none; `auto` where it is left open."""
        return {"auto": auto, "never": 0}.get(self.eval_every, self.eval_every)
