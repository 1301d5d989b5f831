"""One process at a time writes to a run directory."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from agent_gym.ground.errors import UserError, unwritable

LOCK, PID = ".lock", ".pid"
LOCK_FILES = {LOCK, PID}
PATIENCE = 2.0  # seconds: forked workers of a killed process may hold its files for a moment


class RunLock:
    """Holds `folder` until `release` or the end of the process, however that comes. Raises UserError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / LOCK, timeout=PATIENCE)
        try:
            self.lock.acquire(poll_interval=0.05)
            (folder / PID).write_text(str(os.getpid()))
        except Timeout:
            raise UserError(
                f"the run directory {folder} is in use by {self._holder()}: wait until it is done or stop it, "
                "or choose another directory"
            ) from None
        except OSError as error:
            self.lock.release()
            raise unwritable("the run directory", folder, error, "try again, or choose another directory") from error

    def _holder(self) -> str:
        try:
            pid = (self.folder / PID).read_text()
        except OSError:
            pid = ""
        return f"process {pid}" if pid.isdecimal() else "another process"

    def release(self) -> None:
        self.lock.release()
