"""One training run from its directory to its result: what agents and tasks share around the loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agent_gym.ground.errors import Interrupted, one_line
from agent_gym.nets.ranks import RANKS
from agent_gym.storage.checkpoint import open_checkpoint
from agent_gym.storage.files import ERROR_LOG, MODEL_FILE
from agent_gym.storage.provenance import provenance
from agent_gym.storage.run import Run, default_run_dir
from agent_gym.storage.trackers.launch import Tracking
from agent_gym.storage.trackers.tracker import require_tracker
from agent_gym.storage.unwritten import Unwritten
from agent_gym.training.callbacks import CallbackFailed
from agent_gym.training.distributed import AgreedStop, ranked
from agent_gym.training.evaluation import Watch
from agent_gym.training.loop import Intervals, Meter, Moment, Pause, new_clock, train
from agent_gym.training.progress import Progress, print_opening, print_result
from agent_gym.training.resume import Position, go_on
from agent_gym.training.session import Conclusion, Ending, Session
from agent_gym.training.signals import StopSignal

FINAL = "final evaluation"
PAUSE = 1.0  # seconds between two checkpoints where the user has not said how often: what a short run would lose


AUTOLOG: dict[str, Any] = {}
"""The tracker's settings for runs that name none; see agent_gym.autolog."""


Rounds = Generator[None, None, Ending]
"""A session that stops before each round of training and goes on when asked for the next; it gives its ending."""


def run_session(session: Session, run: Run | None, device: torch.device) -> Ending:
    """Train (on from where `run` is, if given), evaluate, save, print."""
    rounds = begin_session(session, run, device)
    with AgreedStop() if RANKS.size > 1 else nullcontext() as stop:
        while True:
            if stop is not None:
                stop.agree()
            try:
                next(rounds)
            except StopIteration as end:
                return end.value


def begin_session(session: Session, run: Run | None, device: torch.device) -> Rounds:
    """The same round by round, for runs that train together."""
    if session.config["track"] == "none":
        session = replace(session, config=session.config | AUTOLOG)
    if RANKS.size > 1:
        session = ranked(session)
    config = session.config
    require_tracker(config["track"])
    if run is not None:
        session.log_failures(run.path / ERROR_LOG)
        return (yield from tracked(session, run, go_on(session, run, device), device))
    path = Path(config["run_dir"] or default_run_dir(session.group, session.name, config["seed"]))
    session.log_failures(path / ERROR_LOG)
    session.trainee.begin()
    with closing(Unwritten(path, config) if RANKS.rank else Run.create(path, config, session.charts)) as run:
        run.made_with = provenance(device)
        return (yield from tracked(session, run, Position(new_clock(), Meter(0), []), device))


def tracked(session: Session, run: Run, position: Position, device: torch.device) -> Rounds:
    """`train_and_score`, followed by the tracker that --track names."""
    if session.config["track"] != "none":
        run.write_text("model_summary.txt", session.layers() + "\n")
    with Tracking(run.path, session.config) as tracking:
        ending = yield from train_and_score(session, run, position, device)
        if session.export and tracking.process is not None and session.config["track_model"] and not ending.code:
            export_model(session.export, run.path / MODEL_FILE)
        tracking.ending = "stopped" if ending.code else "finished"
    return ending


def export_model(export: Callable[[Path], object], path: Path) -> None:
    """Write the model for a tracker, which must not cost the run its good end."""
    try:
        export(path)
    except Exception as error:  # whatever torch's exporter says of a module of the user's
        print(f"warning: the tracker gets no model: it cannot be exported ({one_line(error, 200)})", file=sys.stderr)


def train_and_score(session: Session, run: Run, position: Position, device: torch.device) -> Rounds:
    """Train the trainee as it is, then evaluate, save and print."""
    trainee, config, path, clock = session.trainee, session.config, run.path, position.clock
    run.extra, run.position = session.extra, session.position
    if not config["quiet"]:
        print_opening(config, [*session.notes, *trainee.notes, f"run directory {path}"], verbose=config["verbose"])

    def evaluate(moment: Moment) -> tuple[float, dict[str, float]]:
        run.show(session.samples(), trainee.steps, numbered=True)
        return session.evaluate(moment)

    again, began = f"go on with: {session.resume(path)}", trainee.steps
    progress = Progress(
        trainee.total_steps, session.headline, stand_in=session.stand_in, quiet=config["quiet"], start=trainee.steps
    )
    with StopSignal(session.busy) as stop, progress:
        if RANKS.size == 1:  # several have to stop in the same place, between two rounds
            trainee.interrupted = stop.asked
        try:
            session.callbacks.begin(trainee, run, clock, progress.say)
            yield from train(
                trainee,
                run,
                evaluate,
                recorder(session, run),
                progress,
                stop,
                session.callbacks,
                every=intervals(session),
                pause=session.pause or Pause(0.0 if session.checkpoint_every else PAUSE),
                clock=clock,
                meter=position.meter,
                owed=position.owed,
                stopwatch=session.stopwatch,
            )
        except Exception as error:
            if RANKS.size > 1:
                raise
            if not trainee.steps and run.made and config["track"] == "none":
                run.withdraw()
                raise
            if not isinstance(error, (*session.recoverable, CallbackFailed)):
                raise
            run.save_last({"agent": trainee.state_dict(), "clock": clock}, trainee.history)
            if getattr(error, "recurs", False) or trainee.steps == began:
                again = "it would happen again until the cause is mended"
            if trainee.steps:
                print(f"saved at step {trainee.steps:,}; {again}", file=sys.stderr)
            raise
        if RANKS.rank:
            return Ending(stop.exit_code, path)
        done = trainee.steps >= trainee.total_steps
        conclusion = conclude(session, run, clock, progress, stop, device) if done else None
    if conclusion is None:
        where = "in the evaluation at the end" if done else f"at step {trainee.steps:,}"
        print(f"stopped {where} and saved; {again}")
        return Ending(stop.exit_code, path)

    timing = {
        "wall_time": clock["wall_time"],
        "evaluation_time": clock["evaluation_time"],
        "total_steps": trainee.steps,
        "steps_per_second": trainee.steps / max(clock["wall_time"], 1e-9),
        "best_step": clock["best_step"],
        "seed": config["seed"],
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    run.show(conclusion.images, trainee.steps)
    result = timing | conclusion.fields
    run.finish(result, conclusion.tag, conclusion.score, trainee.steps)
    session.callbacks.at("on_end")
    print_result(conclusion.text, timing, session.commands(path))
    return Ending(0, path, result)


def intervals(session: Session) -> Intervals:
    """What the flags leave open: ten times in the run."""
    total = session.trainee.total_steps
    tenth = max(total // 10, 1)
    return Intervals(
        evaluate=tenth if session.eval_every is None else session.eval_every,
        checkpoint=session.checkpoint_every or tenth,
        log=max(total // 200, 1),
        film=session.video_every,
    )


def conclude(
    session: Session, run: Run, clock: dict, progress: Progress, stop: StopSignal, device: torch.device
) -> Conclusion | None:
    """The final evaluation of the best model; None where a signal ends it."""
    session.trainee.model.load_state_dict(open_checkpoint(run.path, "best", device)["agent"]["model"])
    started = time.perf_counter()
    moment = Moment(
        session.trainee.steps, True, clock, Watch(stop.asked, partial(progress.evaluating, FINAL), progress.say)
    )
    try:
        if stop:
            raise Interrupted
        return session.conclude(moment)
    except Interrupted:
        return None
    finally:
        clock["evaluation_time"] += time.perf_counter() - started
        progress.evaluated()


def recorder(session: Session, run: Run) -> Callable[[Moment], None]:
    """Films the trainee into videos/ and TensorBoard."""

    def record(moment: Moment) -> None:
        clip = session.film(run.make_folder("videos") / f"step-{moment.step}.mp4", moment.watch)
        if clip is not None:
            run.log_gif("video/episode", *clip.gif(), moment.step)

    return record
