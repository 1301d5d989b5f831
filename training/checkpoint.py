"""Checkpoints: tensors and plain data, written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch

from training.errors import UserError


def save_checkpoint(path: Path, state: dict) -> None:
    """Write `state` to `path` atomically: to a file beside it, to the disk, then renamed."""
    temporary = path.with_suffix(".tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch wraps a full disk in RuntimeError
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"cannot write the checkpoint {path} ({error}): free space there or mend its permissions, "
            "then continue with --resume; the previous checkpoint is untouched"
        ) from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """Read a checkpoint. Code in a file is never run: anything but tensors and plain data is refused."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint {path}: the run has saved none yet, or the folder is no run") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{path} is not a readable checkpoint ({reason[:160]}): it is cut off, damaged or of another program; "
            "use the run's other checkpoint (--checkpoint best or last) or train again"
        ) from error
    if not isinstance(state, dict) or "config" not in state or "agent" not in state:
        raise UserError(f"{path} is not a checkpoint of this project: it lacks a configuration or an agent")
    return state
