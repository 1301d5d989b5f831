"""What a training run is made of: all that is asked of an agent or a task around the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent_gym.training.callbacks import Callbacks
from agent_gym.training.evaluation import Watch
from agent_gym.training.loop import Look, Moment, Pause, Trainee
from agent_gym.training.stopwatch import Stopwatch

if TYPE_CHECKING:
    from agent_gym.viewing.clip import Clip


class Conclusion(NamedTuple):
    """The final evaluation: fields for result.json, the score for TensorBoard's HParams, a line to print."""

    fields: dict
    tag: str
    score: float
    text: str
    images: dict[str, np.ndarray] = {}
    """uint8 [H, W, 3] for TensorBoard, by tag."""


@dataclass(frozen=True)
class Session:
    """Everything that `run_session` needs to know of an agent or a task."""

    name: str
    """Agent or task, as on the command line."""
    subject: str
    """Environment id or data set."""
    group: str
    """Folder below runs/ in which the run lies where the user names no other."""
    config: dict
    """Plain data that rebuilds the run; saved beside every checkpoint."""
    trainee: Trainee
    """Built, but not begun."""
    evaluate: Look
    """The score (higher is better) and scalars under full tags, during training."""
    conclude: Callable[[Moment], Conclusion]
    """The final evaluation, with the best model loaded. Raises Interrupted."""
    charts: dict
    """For TensorBoard's Custom Scalars; see storage.charts."""
    commands: Callable[[Path], list[tuple[str, str]]]
    """What to type next, and what for, of a run directory; the last is to train on."""
    resume: Callable[[Path], str]
    """What to type to go on with a run that was stopped."""
    headline: str
    """Tag of the scalar that the progress bar shows."""
    stand_in: str = ""
    """Tag of what is shown in its place while there is none."""
    eval_every: int | None = None
    """Steps between evaluations; 0: never, None: ten times in the run."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: ten times in the run, of which none is written within a second of another."""
    samples: Callable[[], dict[str, np.ndarray | str]] = dict
    """Pictures uint8 [H, W, 3] and texts by tag: what it makes so far, shown at each evaluation during training."""
    film: Callable[[Path, Watch], Clip | None] | None = None
    """Records an episode to a file and gives its beginning for TensorBoard; None if that went wrong and is let be."""
    video_every: int = 0
    """Steps between films; 0: none."""
    notes: tuple[str, ...] = ()
    """Lines for the terminal: backend, device, preset."""
    scored: bool = False
    """The score is a mean return, which is compared and printed as one."""
    busy: Callable[[float], str] = lambda seconds: ""
    """What has been running for more than so many seconds; "": nothing."""
    log_failures: Callable[[Path], None] = lambda path: None
    """Told the file for failures of environments, before the trainee begins."""
    layers: Callable[[], str] = lambda: ""
    """The network as a table of its layers, for a tracker."""
    export: Callable[[Path], object] | None = None
    """Writes what was learned to an .onnx file for a tracker, where a run directory alone cannot be exported."""
    callbacks: Callbacks = field(default_factory=Callbacks)
    """What a program of the user's does on the way."""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    """Where the time goes; the environments tell it of theirs."""
    extra: dict = field(default_factory=dict)
    """Plain data and tensors that every checkpoint holds beside the trainee."""
    position: Callable[[], dict] = dict
    """Plain data and tensors that the latest checkpoint holds besides, when it is written."""
    recoverable: tuple[type[Exception], ...] = ()
    """Failures of the outside world that leave the trainee's state good: it is saved before they go on."""
    pause: Pause | None = None
    """When there may be another checkpoint, where runs that train together share it."""


class Ending(NamedTuple):
    """How a session ended: the exit code, the run directory, and what result.json holds (None if it was stopped)."""

    code: int
    path: Path
    result: dict | None = None
