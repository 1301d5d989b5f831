"""The run directory: configuration, TensorBoard events, checkpoints, result."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars, hparams, image, text

from agent_gym.ground.errors import UserError, unwritable
from agent_gym.storage.checkpoint import (
    FOLDER,
    latest_checkpoint,
    require_own_files,
    require_run,
    save_checkpoint,
    way_on,
)
from agent_gym.storage.events import PREFIX, EventFile, rewind
from agent_gym.storage.files import ERROR_LOG, discard, write_text
from agent_gym.storage.lock import LOCK, LOCK_FILES, RunLock
from agent_gym.storage.segments import History, Segments
from agent_gym.storage.tensor_file import DamagedFile

BOOKKEEPING = {  # no hyperparameters: left out of TensorBoard's table, which shows few columns at once
    *("run_dir", "quiet", "verbose", "summary", "device", "num_threads", "backend", "eval_episodes", "eval_every"),
    *("checkpoint_every", "video_every", "on_env_error", "track", "experiment", "run_name", "parent_run"),
    *("track_model", "profile", "record"),
}


CLOCK = {  # what a checkpoint says of the looking, see training.loop.train
    **dict.fromkeys(("wall_time", "evaluation_time", "evaluation_length", "best", "last"), float),
    **dict.fromkeys(("evaluation_steps", "best_step", "last_step", "asked"), int),
}


class Savable(Protocol):
    """What a checkpoint is of."""

    history: History | None

    def load_state_dict(self, state: dict) -> None: ...


FINAL = "final"  # folder of the HParams entry and the final score, a run of its own to TensorBoard


def default_run_dir(group: str, name: str, seed: int) -> Path:
    """runs/<group>/<name>-s<seed>-<time>, with a number behind it if that one is taken.

    TensorBoard sorts runs by their paths, so those of a group stand together.
    """
    folder = Path("runs") / group.replace("/", "-").replace(":", "-").replace(" ", "-")
    stem = f"{name.replace(' ', '-')}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = folder / stem, 1
    while path.exists():
        count += 1
        path = folder / f"{stem}-{count}"
    return path


class Run:
    """One run on disk, which no other process writes to. `config` is the plain-data dict that rebuilds it.

    Whatever cannot be written raises UserError.
    """

    def __init__(self, path: Path, config: dict, lock: RunLock) -> None:
        self.path, self.config, self.lock = path, config, lock
        self.segments = Segments(path / FOLDER / "replay")
        self.events: EventFile | None = None
        self.state: dict = {}
        """The checkpoint to go on from."""
        self.extra: dict = {}
        """What every checkpoint holds beside the trainee: the spaces that a policy acts in."""
        self.position: Callable[[], dict] = dict
        """What last.pt holds besides, when it is written."""
        self.made_with: dict[str, str] = {}
        """See storage/provenance.py; saved with last.pt."""
        self.fallen_back = False
        """`state` is that of previous.pt because last.pt cannot be used."""
        self.made: bool = False
        """The directory was made for this run, by this process."""

    @classmethod
    def create(cls, path: Path, config: dict, charts: dict | None = None) -> Run:
        """Make the directory; refuse one that holds anything or that another process has just made.

        charts: see storage.charts.
        """
        full = UserError(
            f"--run-dir {path} exists and is not empty: choose another, or continue it with --resume {path}"
        )
        lock = None
        try:
            if path.exists() and (not path.is_dir() or (contents(path) and not (path / LOCK).exists())):
                raise full
            path.mkdir(parents=True, exist_ok=True)
            lock = RunLock(path)
            if contents(path):
                raise full
            run = cls(path, config, lock)
            run.made = True
            write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
            (path / FOLDER).mkdir()
            run.events = EventFile(path)
            if charts:
                run.events.add(custom_scalars(charts))
        except (OSError, UserError) as error:
            if lock is not None:
                lock.release()
            if isinstance(error, UserError):
                raise
            raise unwritable("the run directory", path, error, "try again, or choose another with --run-dir") from error
        return run

    @classmethod
    def reopen(cls, path: Path) -> Run:
        """An existing run and, in `state`, its latest good checkpoint; written to after `go_on`."""
        require_run(path)
        require_own_files(path)
        run = cls(path, {}, RunLock(path))
        try:
            run.state, name = latest_checkpoint(path, check=run.check)
        except UserError:
            run.close()
            raise
        run.fallen_back = name == "previous"
        return run

    def check(self, state: dict) -> None:
        """Raise DamagedFile unless training can go on from a checkpoint."""
        clock = state.get("clock")
        clock = clock if isinstance(clock, dict) else {}
        fits = all(isinstance(clock[name], kind) for name, kind in CLOCK.items() if name in clock)
        if not fits or not {"wall_time", "best"} <= clock.keys():
            raise DamagedFile("it lacks the training's clock")
        if not all(0 <= clock.get(name, 0) < math.inf for name in CLOCK if name not in ("best", "last", "last_step")):
            raise DamagedFile("its clock is none")
        self.segments.check(state.get("segments", []))

    def restore(self, trainee: Savable) -> dict:
        """Put a trainee where the checkpoint left off; returns its clock. Raises whatever a foreign file leads to."""
        if trainee.history is not None:
            self.segments.restore(trainee.history, self.state.get("segments", []))
        trainee.load_state_dict(self.state["agent"])
        return self.state["clock"]

    def go_on(self, config: dict, step: int) -> None:
        """Write to a reopened run from `step` on; TensorBoard forgets what was logged after the checkpoint."""
        self.config = config
        sizes_then = self.state.get("events")
        try:
            rewind(self.path, sizes_then if isinstance(sizes_then, dict) else {})
            last = self.path / FOLDER / "last.pt"
            if self.fallen_back and last.exists():
                os.replace(last, last.with_suffix(".damaged"))  # it must never take the place of previous.pt
        except OSError as error:
            raise unwritable("the run directory", self.path, error, "try again") from error
        self.events = EventFile(self.path, purge_step=step + 1)
        self.state = {}  # may take as much memory as the trainee

    def log(self, scalars: dict[str, float], step: int) -> None:
        """Write scalars under their tags at `step`."""
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in scalars.items()]
        self.events.add(Summary(value=values), step=step)

    def log_gif(self, tag: str, gif: bytes, width: int, height: int, step: int) -> None:
        """Write an animated GIF at `step`; it plays in TensorBoard's Images."""
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        self.events.add(Summary(value=[Summary.Value(tag=tag, image=picture)]), step=step)

    def show(self, things: dict[str, np.ndarray | str], step: int, *, numbered: bool = False) -> None:
        """Write pictures uint8 [H, W, 3] and texts under their tags at `step`; pictures also to pictures/<tag>.png.

        `numbered`: with the step in the file's name, for what is shown again and again.
        """
        for tag, thing in things.items():
            if isinstance(thing, str):
                self.log_text(tag, thing, step)
                continue
            picture = image(tag, thing, dataformats="HWC")
            self.events.add(picture, step=step)
            name = tag.replace("/", "-") + (f"-{step}" if numbered else "")
            path = self.make_folder("pictures") / f"{name}.png"
            try:
                path.write_bytes(picture.value[0].image.encoded_image_string)
            except OSError as error:
                raise unwritable("the picture", path, error, way_on(self.path)) from error

    def log_text(self, tag: str, words: str, step: int) -> None:
        """Write a text under its tag at `step`; TensorBoard shows it as Markdown."""
        self.events.add(text(tag, words), step=step)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of text in the run directory."""
        try:
            write_text(self.path / name, text)
        except OSError as error:
            raise unwritable(name, self.path / name, error, way_on(self.path)) from error

    def make_folder(self, name: str) -> Path:
        """A folder in the run directory."""
        try:
            (self.path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable("the folder", self.path / name, error, way_on(self.path)) from error
        return self.path / name

    def save_best(self, state: dict) -> None:
        """Write best.pt."""
        save_checkpoint(self.path / FOLDER / "best.pt", {"config": self.config, **self.extra, **state})

    def save_last(self, state: dict, history: History | None = None) -> None:
        """Write last.pt, from which a run goes on; the one before becomes previous.pt."""
        extra = {
            "config": self.config,
            **self.extra,
            **self.position(),
            "made_with": self.made_with,
            "events": self.events.sync(),
        }
        listed = [] if history is None else self.segments.append(history)
        last, previous = (self.path / FOLDER / f"{name}.pt" for name in ("last", "previous"))
        save_checkpoint(last, {**extra, "segments": listed, **state}, keep=previous)
        self.segments.commit(listed)

    def finish(self, result: dict, score_tag: str, score: float, step: int) -> None:
        """Write result.json and the HParams entry."""
        self.write_text("result.json", json.dumps(result, indent=2) + "\n")
        given = {k: v for k, v in self.config.items() if k not in BOOKKEEPING and v != ""}
        flat = {k: v if isinstance(v, int | float | bool | str) else str(v) for k, v in given.items()}
        # All scalars beside a session's start become columns of the table, so it has a folder to itself. Without an
        # experiment summary TensorBoard takes the columns from all runs; with one, from the run that it meets first.
        _, *session = hparams(flat, {score_tag: score})
        last = EventFile(self.make_folder(FINAL))
        last.add(*session)
        last.add(Summary(value=[Summary.Value(tag=score_tag, simple_value=score)]), step=step)
        last.close()
        self.log({score_tag: score}, step)  # among the run's own points, which trackers follow
        for older in set((self.path / FINAL).glob(f"{PREFIX}*")) - {last.path}:  # TensorBoard keeps the first it finds
            older.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Take back what was written where nothing came of it, so that the folder can be used again; its log stays."""
        self.events.close()
        self.events = None
        for name in contents(self.path):
            path = self.path / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else discard(path)

    def close(self) -> None:
        """Let other processes write. May be called twice."""
        if self.events is not None:
            self.events.close()
        self.lock.release()


def contents(path: Path) -> set[str]:
    """Names in a folder, without what a lock or an environment that failed early leaves there."""
    return {file.name for file in path.iterdir()} - LOCK_FILES - {ERROR_LOG}
