"""What is done about environments that fail: the run stops, or a new environment takes the place of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from agent_gym.envs.vector import EnvFailure

MOST = 10  # failures of one environment in a row, without a completed step between, before the run stops


LARGEST_LOG = 10_000_000  # bytes of a file of failures
ROOM = 100  # bytes of it for the line that says how many were left out


class Trouble(NamedTuple):
    """A failure as a backend tells it; plain data, for it may come from another process."""

    row: int | None  # None: a vector environment that does not say which
    reason: str
    traceback: str = ""
    in_reset: bool = False  # the step that ended the episode was complete
    recurs: bool = False  # the environment's code is at fault, which meets it again until it is mended


class Recovery:
    """Whether failed environments are replaced, how often that happened, and the seeds of the new ones."""

    def __init__(self, env_id: str, restart: bool = False, report: Callable[[EnvFailure], None] | None = None):
        self.env_id, self.restart, self.report = env_id, restart, report
        self.whose = ""  # of which environments: "of the evaluation"
        self.restarts = 0  # environments replaced in the whole run
        self.seed = 0
        self.streaks: dict[int | None, int] = {}  # by row: failures since its last completed step

    def take(self, trouble: Trouble, step: int) -> None:
        """Report a failure. Raises EnvFailure if the run is to stop."""
        streak = self.streaks[trouble.row] = self.streaks.get(trouble.row, 0) + 1
        if trouble.in_reset and step:
            trouble = trouble._replace(reason=f"in reset(): {trouble.reason}")
        if not self.restart:
            self.stop(trouble, step)
        if streak >= MOST:
            often = f"{MOST} times in a row without a completed step, which no restart mends; at last: "
            self.stop(trouble._replace(reason=often + trouble.reason), step)
        self._tell(trouble, step)

    def stop(self, trouble: Trouble, step: int) -> NoReturn:
        """Report a failure and raise it."""
        raise self._tell(trouble, step)

    def _tell(self, trouble: Trouble, step: int) -> EnvFailure:
        failure = EnvFailure(self.env_id, trouble.row, step, trouble.reason, trouble.traceback, self.whose)
        failure.recurs = trouble.recurs
        if self.report is not None:
            self.report(failure)
        return failure

    def completed(self, rows: Iterable[int] | None = None) -> None:
        """These environments (None: all) have completed a step."""
        if rows is None:
            self.streaks.clear()
        else:
            self.streaks = {row: n for row, n in self.streaks.items() if row is None or row not in set(rows)}

    def new_seeds(self, count: int) -> list[int]:
        """A seed for each replacement, which the seed of the last reset and the number of replacements determine."""
        numbers = range(self.restarts, self.restarts + count)
        self.restarts += count
        return [int(np.random.SeedSequence((self.seed, 1 + n)).generate_state(1)[0]) % 2**31 for n in numbers]


class ErrorLog:
    """Appends every failure with its traceback to a file, once that is known.

    The file stays below `limit` bytes; behind that stands how many more there were.
    """

    def __init__(self, restart: bool, limit: int = LARGEST_LOG) -> None:
        self.restart, self.told, self.limit = restart, False, limit
        self.path: Path | None = None
        self.full_at: int | None = None  # where the failures in it end, once it is full
        self.left_out = 0

    def open(self, path: Path) -> None:
        self.path = path

    def __call__(self, failure: EnvFailure) -> None:
        """Write it down, and tell the first one that does not stop the run on standard error."""
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._append(f"{failure}\n{failure.traceback}\n".encode(errors="backslashreplace"))
                failure.log = str(self.path)
            except OSError as error:  # the failure itself is what counts
                print(f"warning: {self.path} cannot be written ({error.strerror})", file=sys.stderr)
        if self.restart and not self.told:
            self.told = True
            print(f"warning: {failure}; --on-env-error restart goes on with a new one", file=sys.stderr)

    def _append(self, text: bytes) -> None:
        with self.path.open("ab") as file:
            if self.full_at is None and file.tell() + len(text) + ROOM <= self.limit:
                file.write(text)
                return
            if self.full_at is None:
                self.full_at = file.tell()
            file.truncate(self.full_at)  # the line about the others is written anew
            self.left_out += 1
            file.write(f"{self.left_out:,} more failures would not fit and are left out\n".encode())
