"""The process beside a run that brings its directory to a tracker: python -m agent_gym.storage.trackers.follow.

It ends once its standard input does, in whatever way the training process came to its end.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from agent_gym.ground.errors import one_line
from agent_gym.storage.commit import commit
from agent_gym.storage.files import MODEL_FILE, read_object, write_text
from agent_gym.storage.trackers.points import Points
from agent_gym.storage.trackers.tracker import FOLDER, About, Ending, Point, Tracker, make_tracker

BEAT = 1.0  # seconds between two looks at the run directory
PAUSES = (0.0, 2.0, 10.0, 30.0, 60.0)  # seconds before it is tried again after so many failures in a row
LAST_PAUSES = (0.0, 1.0, 2.0, 4.0)  # seconds before each try to send what is left at the end of a run
LARGEST_PARAM = 500  # characters: what every tracker takes
EXPORT_SECONDS = 300.0
FILES = {  # what is kept of a run, by the folder it is kept in, as soon as it is there
    "": ("config.json", "model_summary.txt", "findings.json", "env_errors.log"),
    "videos": ("videos/*.mp4", "videos/*.gif"),
}
LAST_FILES = {"": ("result.json",), "checkpoints": ("checkpoints/best.pt",)}  # and at its end
OPTIONS = ("track", "experiment", "run_name", "parent_run", "track_model")  # settings of the tracker's own
LIBRARIES = ("agent-gym", "torch", "gymnasium", "stable-baselines3", "numpy")


class Follower:
    """Sends a run directory to a tracker, again and again until all is there."""

    def __init__(self, run: Path, name: str, config: dict, joined: str = "") -> None:
        self.run, self.name, self.config = run, name, config
        self.tracker: Tracker | None = None
        self.points, self.waiting = Points(run), []
        self.steps: dict[str, int] | None = None  # the last of each tag that is sent; None: not opened
        self.memory = run / FOLDER / f"{name}.json"
        self.known = read_object(self.memory)
        if joined:
            self.known["record"] = {"run": joined, "joined": True}
        self.failures, self.retry_at, self.warned = 0, 0.0, False

    def attempt(self, ending: Ending | None = None) -> bool:
        """Send what is new; with `ending`, all that is left. False and at most one warning if the tracker fails."""
        if ending is None and time.monotonic() < self.retry_at:
            return False
        self.waiting += self.points.new()
        try:
            self._send(ending)
        except Exception as error:  # whatever a server, a network or a full disk leads to
            self.failures = min(self.failures + 1, len(PAUSES) - 1)
            self.retry_at = time.monotonic() + PAUSES[self.failures]
            if not self.warned and (self.failures > 1 or self.steps is None):
                self.warned = True
                print(
                    f"warning: --track {self.name}: {one_line(error, 300)}: the run goes on without; what is missing "
                    "is sent when it answers",
                    file=sys.stderr,
                )
            return False
        self.failures = 0
        return True

    def _send(self, ending: Ending | None) -> None:
        if self.tracker is None:
            self.tracker = make_tracker(self.name)
        if self.steps is None:
            self.tracker.open(about(self.run, self.config), self.tracker.record or self.known.get("record", {}))
            self.steps = self.known.get("steps", {}) | self.tracker.last_steps()
            self._remember()
        while self.waiting:
            some, rest = self.waiting[:500], self.waiting[500:]
            new = [point for point in some if point.step > self.steps.get(point.tag, -1)]
            if new:
                self.tracker.log(new)
                self.steps |= {point.tag: point.step for point in new}
            self.waiting = rest
            if new:
                self._remember()
        self._send_files(FILES if ending is None else {k: FILES.get(k, ()) + LAST_FILES.get(k, ()) for k in KINDS})
        if ending is not None:
            self._send_result()
            if ending == "finished" and self.config.get("track_model"):
                self._send_model()
            self.tracker.close(ending)

    def _send_files(self, kinds: dict[str, tuple[str, ...]]) -> None:
        sent = self.known.setdefault("files", {})
        for folder, patterns in kinds.items():
            for path in (path for pattern in patterns for path in sorted(self.run.glob(pattern))):
                name, now = path.relative_to(self.run).as_posix(), [path.stat().st_size, path.stat().st_mtime_ns]
                if sent.get(name) != now:
                    self.tracker.add(path, folder)
                    sent[name] = now
                    self._remember()

    def _send_result(self) -> None:
        """The figures of result.json as points of their own, to sort runs by."""
        result = read_object(self.run / "result.json")
        step = result.get("total_steps")
        if type(step) is not int:
            return
        figures = {f"result/{name}": value for name, value in figures_of(result)}
        self.tracker.log(
            [Point(tag, step, value, time.time()) for tag, value in figures.items() if step > self.steps.get(tag, -1)]
        )
        self.steps |= dict.fromkeys(figures, step)
        self._remember()

    def _send_model(self) -> None:
        """What was learned as one exported file, where this installation can export."""
        if (self.run / MODEL_FILE).exists():
            self.tracker.add_model(self.run / MODEL_FILE)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy.onnx"
            command = [sys.executable, "-P", "-m", "agent_gym", "export", str(self.run), str(path)]
            subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=EXPORT_SECONDS, check=False)
            if path.exists():
                self.tracker.add_model(path)

    def _remember(self) -> None:
        self.known |= {"record": self.tracker.record, "steps": self.steps}
        write_text(self.memory, json.dumps(self.known, indent=1) + "\n")


KINDS = tuple(FILES | LAST_FILES)


def figures_of(result: dict) -> Iterator[tuple[str, float]]:
    """Names and values of all numbers in result.json, metrics of tasks included."""
    for name, value in (result | result.get("metrics", {})).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def about(run: Path, config: dict) -> About:
    """What a run's configuration says of it, and what else is known."""
    options = {name: config.get(name, "") for name in OPTIONS}
    config = {name: value for name, value in config.items() if name not in OPTIONS}
    tags = {name: str(config[name]) for name in ("agent", "task", "env", "seed") if name in config}
    tags |= {"run_dir": str(run.resolve()), "git_commit": commit(), **versions()}
    return About(
        name=options["run_name"] or run.resolve().name,
        experiment=options["experiment"],
        parent=options["parent_run"],
        params={name: str(value)[:LARGEST_PARAM] for name, value in flat(config)},
        tags={name: value for name, value in tags.items() if value},
    )


def flat(config: dict, above: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested settings, dotted."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def versions() -> dict[str, str]:
    found = {}
    for package in LIBRARIES:
        with suppress(PackageNotFoundError):  # a checkout that is not installed has no version
            found[f"version.{package}"] = version(package)
    return found


def main(run: Path, name: str) -> None:
    """Follow `run` to tracker `name` until the training process ends.

    It says on standard input the configuration and the tracker's record to write to ("": one of the run's own) as one
    line of JSON, and later how the run ended.
    """
    logging.disable(logging.ERROR)  # trackers tell of each retry
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  they print links to their pages; lives as long as the process
    config, joined = json.loads(sys.stdin.readline())
    words: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: words.put(sys.stdin.readline().strip()), daemon=True).start()
    (run / FOLDER).mkdir(exist_ok=True)
    with FileLock(run / FOLDER / f"{name}.lock"):  # the follower before a resume may not be done yet
        follower = Follower(run, name, config, joined)
        while True:
            with suppress(queue.Empty):
                word = words.get(timeout=BEAT)
                break
            follower.attempt()
        ending: Ending = word if word in ("finished", "failed") else "stopped"
        tries = 2 if follower.steps is None else len(LAST_PAUSES)  # a server that is busy for a moment gets the end too
        for pause in LAST_PAUSES[:tries]:
            time.sleep(pause)
            if follower.attempt(ending):
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
