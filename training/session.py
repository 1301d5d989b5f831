"""One training run from its directory to its result: what agents and tasks share around the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.loop import Every, Trainee, train
from training.progress import Progress, print_config, print_result
from training.run import Run, default_run_dir, open_checkpoint
from training.signals import StopSignal
from training.video import Clip


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
    """Environment id or data set, for the run's name."""
    config: dict
    """Plain data that rebuilds the run; saved beside every checkpoint."""
    trainee: Trainee
    """Built, but not begun."""
    evaluate: Callable[[], tuple[float, dict[str, float]]]
    """The score (higher is better) and scalars under full tags, during training."""
    conclude: Callable[[], Conclusion]
    """The final evaluation, with the best model loaded."""
    commands: tuple[tuple[str, str], ...]
    """What to type next, and what for; {run} and {steps} stand for the run's path and twice its steps."""
    headline: str
    """Tag of the scalar that the progress bar shows."""
    eval_every: int = 0
    """Steps between evaluations; 0: ten times in the run."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: ten times in the run."""
    film: Callable[[Path], Clip] | None = None
    """Records an episode to a file and gives its beginning for TensorBoard."""
    video_every: int = 0
    """Steps between films; 0: none."""
    notes: tuple[str, ...] = ()
    """Lines for the terminal: backend, device, preset."""
    recoverable: tuple[type[Exception], ...] = ()
    """Failures of the outside world that leave the trainee's state good: it is saved before they go on."""


def run_session(session: Session, checkpoint: dict | None, device: object) -> int:
    """Train (from `checkpoint` if given), evaluate, save, print. Returns the exit code."""
    trainee, config = session.trainee, session.config
    clock = {"wall_time": 0.0, "best": float("-inf")}
    if checkpoint is None:
        trainee.begin()
        path = Path(config["run_dir"] or default_run_dir(session.name, session.subject, config["seed"]))
        run = Run.create(path, config)
    else:
        trainee.load_state_dict(checkpoint["agent"])
        clock = checkpoint["clock"]
        path = Path(config["run_dir"])
        run = Run.resume(path, config, trainee.steps)
    if not config["quiet"]:
        print_config(f"{session.name} on {session.subject}", config, [*session.notes, f"run directory {path}"])

    tenth = max(trainee.total_steps // 10, 1)
    progress = Progress(trainee.total_steps, session.headline, quiet=config["quiet"], start=trainee.steps)
    with StopSignal() as stop, progress:
        try:
            train(
                trainee,
                run,
                session.evaluate,
                progress,
                stop,
                recorder(session, run),
                eval_every=session.eval_every or tenth,
                checkpoint_every=session.checkpoint_every or tenth,
                log_every=max(trainee.total_steps // 200, 1),
                clock=clock,
            )
        except session.recoverable:
            run.save("last", {"agent": trainee.state_dict(), "clock": clock})
            print(f"saved at step {trainee.steps:,}; go on with: python train.py --resume {path}", file=sys.stderr)
            raise
        finally:
            run.writer.flush()
    if stop and trainee.steps < trainee.total_steps:
        print(f"stopped at step {trainee.steps:,} and saved; go on with: python train.py --resume {path}")
        run.close()
        return stop.exit_code

    trainee.model.load_state_dict(open_checkpoint(path, "best", device)["agent"]["model"])
    conclusion = session.conclude()
    timing = {
        "wall_time": clock["wall_time"],
        "total_steps": trainee.steps,
        "steps_per_second": trainee.steps / clock["wall_time"],
    }
    run.log_images(conclusion.images, trainee.steps)
    run.finish(timing | conclusion.fields, conclusion.tag, conclusion.score, trainee.steps)
    run.close()
    commands = [(c.format(run=path, steps=2 * trainee.steps), purpose) for c, purpose in session.commands]
    print_result(conclusion.text, timing, commands)
    return 0


def recorder(session: Session, run: Run) -> Callable[[int], None]:
    """Films the trainee into videos/ and TensorBoard whenever that is due."""
    if not session.video_every:
        return lambda step: None
    due = Every(session.video_every, session.trainee.steps)

    def record(step: int) -> None:
        if due(step):
            (run.path / "videos").mkdir(exist_ok=True)
            clip = session.film(run.path / "videos" / f"step-{step}.mp4")
            run.log_gif("video/episode", *clip.gif(), step)

    return record
