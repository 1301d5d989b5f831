"""The training process's side of a tracker: it starts the follower and tells it how the run ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agent_gym.storage.trackers.tracker import FOLDER, Ending

PATIENCE = 60.0  # seconds that the end of a run waits for what is left to be sent
DEAF = 10.0  # seconds that it waits for a tracker that has not answered at all
ACTIVE = {"mlflow": ("mlflow", "active_run")}  # how a program of the user's says which record it is writing


class Tracking:
    """Within this context the run directory `run` is followed by the tracker that its `config` names, if any.

    Leaving it waits until all is sent, for a while; `ending` is what the tracker is told then.
    """

    ending: Ending = "stopped"

    def __init__(self, run: Path, config: dict) -> None:
        self.run, self.config, self.name = run, config, config["track"]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Self:
        if self.name != "none":
            beside = str(Path(sys.modules["agent_gym"].__file__).parent.parent)
            path = os.pathsep.join(filter(None, (beside, os.environ.get("PYTHONPATH", ""))))
            module = "agent_gym.storage.trackers.follow"
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(self.run), self.name],
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the run
            )
            self._say(json.dumps([self.config, active_record(self.name)]))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is None:
            return
        if kind is not None:
            self.ending = "failed" if issubclass(kind, Exception) else "stopped"
        self._say(self.ending)
        try:
            self.process.wait(self._patience())
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            print(f"--track {self.name}: process {self.process.pid} sends the rest by itself", file=sys.stderr)

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # it could not even begin, and has said so
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def _patience(self) -> float:
        memory = self.run / FOLDER / f"{self.name}.json"
        until = time.monotonic() + DEAF
        while not memory.exists() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        return PATIENCE if memory.exists() else 0.1


def active_record(name: str) -> str:
    """The tracker's own id of the run that the user's program has open in this process; "" if none."""
    module, function = ACTIVE.get(name, ("", ""))
    if module not in sys.modules:
        return ""
    run = getattr(sys.modules[module], function)()
    return "" if run is None else run.info.run_id
