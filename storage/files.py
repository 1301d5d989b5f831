"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

ERROR_LOG = "env_errors.log"  # in a run directory: failures of environments
MODEL_FILE = "model.onnx"  # what was learned, for a tracker


def write_text(path: Path, text: str) -> None:
    """Write `path` to the disk through a file beside it. Raises OSError and leaves nothing half-written."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError:
        discard(temporary)
        raise


def read_object(path: Path) -> dict:
    """The JSON object in a file; {} where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system lets one open folders."""
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def discard(path: Path) -> bool:
    """Delete a file that nothing needs; False where that cannot be done."""
    try:
        path.unlink()
    except OSError:
        return False
    return True
