"""What a replay buffer took in between two checkpoints, a file each, so that no checkpoint writes all of it again."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from agent_gym.ground.errors import unwritable
from agent_gym.storage import tensor_file
from agent_gym.storage.checkpoint import way_on
from agent_gym.storage.files import discard, sync_folder

NAME = re.compile(r"[1-9][0-9]{0,15}\.pt")


class History(Protocol):
    """What a trainee remembers that is too large to be written whole at every checkpoint."""

    def mark(self) -> dict:
        """The position of everything appended so far, as plain data and tensors."""

    def since(self, mark: dict | None) -> dict:
        """Everything appended after `mark` (None: ever) and still held, as plain data and tensors."""

    def extend(self, segment: dict) -> None:
        """Put back what `since` gave, the oldest first."""

    def alive(self, mark: dict) -> bool:
        """Whether anything appended before `mark` is still held."""


class Segments:
    """The folder of segment files. A checkpoint lists the ones it needs, oldest first: [{"name", "end"}], `end` a mark.

    A file is deleted once neither of the two checkpoints that are kept lists it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current: list[dict] = []  # of the latest checkpoint
        self.previous: list[dict] = []  # of the one before

    def append(self, history: History) -> list[dict]:
        """Write what is new to a file; the list for the next checkpoint. Raises UserError."""
        listed, new = self._read(history)
        path = self.folder / f"{1 + max(self._numbers(), default=0)}.pt"
        try:
            self.folder.mkdir(exist_ok=True)
            tensor_file.write(path, _dense(new))
            sync_folder(self.folder)
        except OSError as error:
            discard(path)
            raise unwritable("the replay buffer's segment", path, error, way_on(self.folder.parents[1])) from error
        return [*listed, {"name": path.name, "end": history.mark()}]

    def follow(self, history: History) -> None:
        """Ask a history what `append` and `commit` ask, and write nothing."""
        listed, _ = self._read(history)
        self.current = [*listed, {"end": history.mark()}]

    def _read(self, history: History) -> tuple[list[dict], dict]:
        """The entries that are still needed, and what has come since the latest."""
        listed = [entry for entry in self.current if history.alive(entry["end"])]
        return listed, history.since(self.current[-1]["end"] if self.current else None)

    def commit(self, listed: list[dict]) -> None:
        """A checkpoint with this list has been written: delete what is not needed any more."""
        self.previous, self.current = self.current, listed
        needed = {entry["name"] for entry in (*self.previous, *self.current)}
        for number in self._numbers():
            if f"{number}.pt" not in needed:
                discard(self.folder / f"{number}.pt")  # or after the next checkpoint

    def check(self, listed: Any) -> None:
        """Raise DamagedFile unless `listed`, from a checkpoint, names files that are there and whole."""
        if not isinstance(listed, list) or not all(
            isinstance(entry, dict)
            and isinstance(entry.get("name"), str)
            and NAME.fullmatch(entry["name"])
            and isinstance(entry.get("end"), dict)
            for entry in listed
        ):
            raise tensor_file.DamagedFile("its list of replay segments is damaged")
        for entry in listed:
            try:
                tensor_file.verify(self.folder / entry["name"])
            except (OSError, tensor_file.DamagedFile) as error:
                reason = getattr(error, "strerror", None) or error
                raise tensor_file.DamagedFile(f"its replay segment {entry['name']} cannot be read: {reason}") from error

    def restore(self, history: History, listed: list[dict]) -> None:
        """Fill an empty history from the files that a checkpoint lists. Raises OSError and DamagedFile."""
        self.current = listed
        for entry in listed:
            history.extend(tensor_file.read(self.folder / entry["name"]))

    def _numbers(self) -> list[int]:
        """Of the files that are there."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return [int(name.removesuffix(".pt")) for name in names if NAME.fullmatch(name)]


def _dense(tree: Any) -> Any:
    """The same without the rest of a storage that a tensor shows a part of, which would be written with it."""
    if isinstance(tree, Tensor):
        part = tree.untyped_storage().nbytes() > tree.numel() * tree.element_size()
        return tree.clone(memory_format=torch.contiguous_format) if part else tree
    if isinstance(tree, dict):
        return {key: _dense(value) for key, value in tree.items()}
    return [_dense(value) for value in tree] if isinstance(tree, list | tuple) else tree
