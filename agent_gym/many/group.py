"""A group on disk: group.json, and a run directory for each seed."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_gym.ground.errors import UserError, unwritable
from agent_gym.ground.plain import from_plain
from agent_gym.storage.files import read_object, write_text
from agent_gym.storage.lock import RunLock

FILE, RESULT, LOGS = "group.json", "result.json", "logs"  # commands/runs.py knows them too
GIVEN_UP = "given-up"
ENDS = ("total_steps", "epochs")


@dataclass(frozen=True)
class Stored:
    """group.json."""

    kind: str
    """agent or task"""
    name: str
    seeds: tuple[int, ...]
    config: dict
    """The settings of each run but for seed and directory, as a run stores them."""
    changes: dict = field(default_factory=dict)
    """What is different since: a run goes on with it."""
    together: tuple[tuple[int, ...], ...] = ()
    """Seeds that one process trains as one program; the others have a process each."""


class Group:
    """Runs of one setting that differ in their seeds."""

    def __init__(self, path: Path, stored: Stored) -> None:
        self.path, self.stored = path, stored

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.stored.seeds

    @classmethod
    def create(
        cls,
        path: Path,
        kind: str,
        name: str,
        config: dict,
        seeds: tuple[int, ...],
        together: tuple[tuple[int, ...], ...] = (),
    ) -> Group:
        """A new group in a folder that is empty or not there. Raises UserError."""
        kept = {setting: value for setting, value in config.items() if setting not in ("seed", "run_dir")}
        group = cls(path, Stored(kind, name, seeds, kept, {}, together))
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(
                    f"the directory {path} is not empty: choose another with --run-dir, or go on with --resume {path}"
                )
            (path / LOGS).mkdir(parents=True)
        except OSError as error:
            raise unwritable("the group of runs", path, error, "try again") from error
        group.save()
        return group

    @classmethod
    def open(cls, path: Path) -> Group:
        """The group in a folder. Raises UserError."""
        found = read_object(path / FILE)
        try:
            stored = from_plain(Stored, found)
        except TypeError as error:
            raise UserError(f"{path / FILE} is no group of runs ({error}): take it from a whole copy") from None
        if stored.kind not in ("agent", "task") or not stored.seeds or min(stored.seeds) < 0:
            raise UserError(f"{path / FILE} is no group of runs: it lacks seeds, or is of neither an agent nor a task")
        return cls(path, stored)

    def save(self) -> None:
        try:
            write_text(self.path / FILE, json.dumps(asdict(self.stored), indent=2) + "\n")
        except OSError as error:
            raise unwritable("the group of runs", self.path, error, "try again") from error

    def change(self, changes: dict[str, Any]) -> None:
        """Go on with other settings. Raises UserError for an end of the other kind."""
        other = next((end for end in ENDS if end in changes and end not in self.stored.config), "")
        if other:
            raise UserError(f"--{other.replace('_', '-')} does not fit {self.stored.name}")
        if changes:
            for (
                seed,
                found,
            ) in self.results().items():  # before group.json says so: what is cut short here is done again
                if "epochs" in changes or found.get("total_steps", 0) < changes.get("total_steps", 0):
                    (self.folder(seed) / RESULT).unlink()
            stored = asdict(self.stored) | {"changes": self.stored.changes | changes}
            self.stored = from_plain(Stored, stored)
            self.save()

    def folder(self, seed: int) -> Path:
        return self.path / f"seed-{seed}"

    def own(self, seed: int) -> dict[str, Any]:
        """The settings of a seed's run alone."""
        name = self.stored.config.get("run_name", "")  # a tracker's runs have names of their own
        return {"seed": seed, "run_dir": str(self.folder(seed)), "run_name": name and f"{name}-seed-{seed}"}

    def log(self, first: int, last: int | None = None) -> Path:
        """What is printed while a seed is trained, or the seeds from `first` to `last`."""
        name = f"seed-{first}" if last in (None, first) else f"seeds-{first}-to-{last}"
        return self.path / LOGS / f"{name}.txt"

    def set_together(self, together: tuple[tuple[int, ...], ...]) -> None:
        """Change which seeds are trained as one program."""
        if together != self.stored.together:
            self.stored = replace(self.stored, together=together)
            self.save()

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for its runs any more, which whoever trains them may ask between two rounds."""
        return (self.path / GIVEN_UP).exists()

    def give_up(self) -> None:
        """Say so. Raises UserError."""
        try:
            (self.path / GIVEN_UP).touch()
        except OSError as error:
            raise unwritable("the group of runs", self.path, error, "the same command goes on") from error

    def result(self, seed: int) -> dict | None:
        """The result of a seed's run that has come to its end; None where there is more to do."""
        return read_object(self.folder(seed) / RESULT) or None

    def results(self) -> dict[int, dict]:
        """The results of all seeds that have one."""
        return {seed: found for seed in self.seeds if (found := self.result(seed)) is not None}

    def begun(self, seed: int) -> bool:
        """Whether a seed's run has saved something to go on from; what is left of one that has not is cleared away."""
        from agent_gym.storage.checkpoint import FOLDER  # imports torch

        folder = self.folder(seed)
        if any((folder / FOLDER / f"{name}.pt").exists() for name in ("last", "previous")):
            return True
        if folder.is_dir():
            RunLock(folder).release()  # whoever writes there is asked for first
            shutil.rmtree(folder)
        return False


def is_group(path: Path) -> bool:
    return (path / FILE).is_file()
