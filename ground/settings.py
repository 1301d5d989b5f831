"""Settings are frozen dataclasses; the range of a number stands beside its field and is checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_type_hints

from agent_gym.ground.errors import UserError

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
    ranges = _ranges(type(settings))
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in ranges and not ranges[field.name].holds(value):
            raise UserError(f"{flag(field.name)} {value}: expected {ranges[field.name]}")


_known: dict[type, dict[str, Range]] = {}


def _ranges(cls: type) -> dict[str, Range]:
    if cls not in _known:
        found: dict[str, Range] = {}
        for base in reversed(cls.__mro__):
            own = base.__dict__.get("__annotations__", {})
            hints = get_type_hints(base, include_extras=True) if own else {}
            for name in own:
                for extra in getattr(hints[name], "__metadata__", ()):
                    if isinstance(extra, Range):
                        found[name] = extra
        _known[cls] = found
    return _known[cls]


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
    eval_every: Annotated[int, NOT_NEGATIVE] = 0
    """Steps (tasks: epochs) between evaluations; 0: ten times in the run."""
    checkpoint_every: Annotated[int, NOT_NEGATIVE] = 0
    """Steps (tasks: epochs) between checkpoints; 0: ten times in the run."""
    log_layers: bool = False
    """Log the gradient norm and the share of dead units of each layer; updates take up to three times as long."""
    track: Literal["none", "mlflow", "wandb"] = "none"
    """Experiment tracker beside TensorBoard, at the server that its own variables name, or in a local file."""
    experiment: str = ""
    """The tracker's experiment or project; empty: what its own variables say, or agent-gym."""
    run_name: str = ""
    """The run's name at the tracker; empty: the run directory's."""
    parent_run: str = ""
    """Name of the tracker's run that this one is nested under, made if there is none; empty: under none."""
    summary: bool = False
    """Print the network layer by layer and stop."""
    quiet: bool = False
    """Print the result only."""
