"""TensorBoard's event file, written in the calling thread: an error comes up where it can be told, and what is
written before a checkpoint is on the disk with it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from agent_gym.ground.errors import unwritable
from agent_gym.storage.checkpoint import way_on

PREFIX = "events.out.tfevents."


class EventFile:
    """A new event file in `folder`. TensorBoards that are running hide what they have read from `purge_step` on.

    Every method raises UserError where the file cannot be written.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        # TensorBoard reads the files of a folder in the order of their names.
        newest = max((_second(path) for path in folder.glob(f"{PREFIX}*")), default=0)
        second = max(int(time.time()), newest + 1)
        self.path = folder / f"{PREFIX}{second:010d}.{socket.gethostname()}.{os.getpid()}"
        self.size = 0
        try:
            self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        except OSError as error:
            raise self._unwritable(error) from error
        self._append([Event(file_version="brain.Event:2")])
        if purge_step is not None:
            self._append([Event(step=purge_step, session_log=SessionLog(status=SessionLog.START))])

    def add(self, *summaries: Summary, step: int = 0) -> None:
        """Append summaries at `step`: all of them or none."""
        self._append([Event(step=step, summary=summary) for summary in summaries])

    def _append(self, events: list[Event]) -> None:
        records = BytesIO()
        writer = RecordWriter(records)
        for event in events:
            event.wall_time = time.time()
            writer.write(event.SerializeToString())
        left = records.getbuffer()
        size = self.size + len(left)
        try:
            os.stat(f"{self.path.parent}/.")  # an open file takes data long after its folder has gone
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            with suppress(OSError):
                self.file.truncate(self.size)  # no half records
            raise self._unwritable(error) from error
        self.size = size

    def sync(self) -> dict[str, int]:
        """Bring what was added to the disk; bytes of each event file of the folder, for `rewind`."""
        try:
            os.fsync(self.file.fileno())
            return {path.name: path.stat().st_size for path in self.path.parent.glob(f"{PREFIX}*")}
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        self.file.close()

    def _unwritable(self, error: OSError) -> Exception:
        return unwritable("TensorBoard events", self.path, error, way_on(self.path.parent))


def _second(path: Path) -> int:
    """The time in an event file's name."""
    second = path.name.removeprefix(PREFIX).partition(".")[0]
    return int(second) if second.isdecimal() and len(second) == 10 else 0


def rewind(folder: Path, kept: dict[str, Any]) -> None:
    """Cut event files back to the sizes that `EventFile.sync` gave once; younger files go. Raises OSError."""
    for path in folder.glob(f"{PREFIX}*"):
        size = kept.get(path.name)
        if type(size) is not int or size <= 0:
            path.unlink()
        elif size < path.stat().st_size:
            os.truncate(path, size)
