"""The points of a run's curves, read from its TensorBoard files while they grow."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from agent_gym.storage.events import PREFIX
from agent_gym.storage.trackers.tracker import Point


class Points:
    """Reads on where it stopped; files that come later are read after those that are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, RawEventFileLoader] = {}

    def new(self) -> list[Point]:
        """What was written since the last call. A record that is still being written comes with the next."""
        for path in sorted(self.folder.glob(f"{PREFIX}*")):
            if path not in self.files:
                self.files[path] = RawEventFileLoader(str(path))
        return [point for loader in self.files.values() for data in loader.Load() for point in _points(data)]


def _points(data: bytes) -> list[Point]:
    event = Event.FromString(data)
    return [
        Point(value.tag, event.step, value.simple_value, event.wall_time)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    ]
