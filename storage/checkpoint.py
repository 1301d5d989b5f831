"""Checkpoints: written whole or not at all, verified before they are read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from agent_gym.ground.errors import UserError, unwritable
from agent_gym.storage import tensor_file
from agent_gym.storage.files import discard, sync_folder

FOLDER = "checkpoints"  # in the run directory
Check = Callable[[dict], None]  # raises DamagedFile for a state that cannot be used


def save_checkpoint(path: Path, state: dict, *, keep: Path | None = None) -> None:
    """Write `state` to `path`: to a file beside it, to the disk, then renamed; what was there becomes `keep`.

    At every instant `path` or `keep` is a whole checkpoint if one of them was. Raises UserError.
    """
    temporary = path.with_suffix(".tmp")
    try:
        tensor_file.write(temporary, state)
        if keep is not None and path.exists():
            _keep(path, keep)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        discard(temporary)
        raise unwritable("the checkpoint", path, error, way_on(path.parent.parent)) from error


def _keep(path: Path, keep: Path) -> None:
    """Give the file at `path` the name `keep` as well, or, where files cannot have two names, instead."""
    link = keep.with_suffix(".tmp")
    discard(link)
    try:
        os.link(path, link)
        os.replace(link, keep)
    except OSError:
        os.replace(path, keep)
    discard(link)  # still there where both were names of one file already


def way_on(run: Path) -> str:
    """What to do once a run that could not write can."""
    if run.is_dir() and not any((run / FOLDER / f"{name}.pt").exists() for name in ("last", "previous")):
        return "train again: there is no checkpoint yet"
    return f"continue with --resume {run}: its latest checkpoint is whole"


def load_checkpoint(path: Path, device: torch.device | str = "cpu", check: Check | None = None) -> dict:
    """Read a checkpoint, a dict with a "config" and an "agent" that `check` finds good too. Raises UserError."""
    try:
        if path.exists() and not path.is_file():
            raise tensor_file.DamagedFile("it is no file")
        state = tensor_file.read(path, device)
        if not isinstance(state.get("config"), dict) or not isinstance(state.get("agent"), dict):
            raise tensor_file.DamagedFile("it is of another program: it lacks a configuration or an agent")
        _modernise(state["agent"])
        if check is not None:
            check(state)
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except (OSError, tensor_file.DamagedFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} is not a readable checkpoint ({reason})") from error
    return state


def _modernise(agent: dict) -> None:
    """Names of weights from before November 2026, when a policy's network was called policy, in place."""
    model = agent.get("model")
    if isinstance(model, dict):
        for key in [key for key in model if isinstance(key, str) and key.startswith("policy.")]:
            model[f"network.{key.removeprefix('policy.')}"] = model.pop(key)


def open_checkpoint(run: Path, name: str, device: torch.device | str = "cpu") -> dict:
    """The state of checkpoint `name` (best or last) of a run. Raises UserError.

    A run that was stopped before its first evaluation has no best.pt: its last weights stand in, which is said.
    """
    if name == "last":
        return latest_checkpoint(run, device)[0]
    require_run(run)
    folder = run / FOLDER
    if name == "best" and not (folder / "best.pt").exists() and (folder / "last.pt").is_file():
        print(f"note: {run} has not been evaluated yet and has no best.pt: taking last.pt", file=sys.stderr)
        return latest_checkpoint(run, device)[0]
    try:
        return load_checkpoint(run / FOLDER / f"{name}.pt", device)
    except UserError as error:
        raise UserError(f"{error}; use --checkpoint last, or train again") from error


def latest_checkpoint(run: Path, device: torch.device | str = "cpu", check: Check | None = None) -> tuple[dict, str]:
    """last.pt if it can be used, else, with a warning, previous.pt; the state and "last" or "previous".

    Raises UserError if neither can.
    """
    require_run(run)
    problems = []
    for name in ("last", "previous"):
        path = run / FOLDER / f"{name}.pt"
        try:
            state = load_checkpoint(path, device, check)
        except UserError as error:
            problems.append(str(error))
            continue
        if problems:
            print(f"warning: {problems[0]}: taking the one before it, {path.name}", file=sys.stderr)
        return state, name
    if not any((run / FOLDER / f"{name}.pt").exists() for name in ("last", "previous")):
        raise UserError(f"{run} has no checkpoint: the run has saved none yet, or the folder is no run")
    raise UserError(f"{problems[0]}, and nothing before it can be used ({problems[1]}): train again")


def require_run(path: Path) -> None:
    """Raise UserError unless `path` is a run directory."""
    if not path.is_dir():
        raise UserError(f"{path} is no run directory: give the folder that train.py printed, such as runs/x")
    if not (path / FOLDER).is_dir():
        raise UserError(f"{path} is no run: it has no {FOLDER} folder")


def require_own_files(path: Path) -> None:
    """Raise UserError where a run holds a link or a device: a stranger's would lead what is written elsewhere."""
    for folder, folders, files in os.walk(path):
        for entry in (Path(folder, name) for name in (*folders, *files)):
            try:
                mode = os.lstat(entry).st_mode
            except FileNotFoundError:  # a temporary file of a process that is saving
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{entry} is a link or a device, which no run holds: put the file itself there")
